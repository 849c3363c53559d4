use std::fmt;

use crate::{Settings, Typed};

/// Settings that are valid one by one and cannot work together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// The settings, each with its value.
    pub settings: Vec<String>,
    /// Why they cannot both hold.
    pub reason: &'static str,
    /// The numbers that would do.
    pub hint: String,
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.settings.join(" and "), self.reason)
    }
}

/// Every pair of settings that cannot hold together; empty if all is well.
pub fn contradictions(settings: &Settings) -> Vec<Contradiction> {
    let checks = [receiver_timeout, status_interval, connections, wal_sizes, recovery_targets, archive];
    checks.iter().filter_map(|check| check(settings)).collect()
}

fn named(settings: &Settings, name: &str) -> String {
    format!("{name} = {}", settings.show(name).unwrap_or_default())
}

fn contradiction(
    settings: &Settings,
    names: [&'static str; 2],
    reason: &'static str,
    hint: String,
) -> Option<Contradiction> {
    Some(Contradiction { settings: names.iter().map(|name| named(settings, name)).collect(), reason, hint })
}

/// A leader that has nothing to send is heard of once in half its own time-out. The other end's value is not known
/// here; a cluster's nodes are expected to be configured alike.
fn receiver_timeout(settings: &Settings) -> Option<Contradiction> {
    let receiver = settings.timeout("wal_receiver_timeout")?;
    let keepalive = settings.timeout("wal_sender_timeout")? / 2;
    if receiver > keepalive {
        return None;
    }
    let hint = format!(
        "Set wal_receiver_timeout above {} ms, or wal_sender_timeout below {} ms.",
        keepalive.as_millis(),
        receiver.as_millis() * 2
    );
    let reason = "an idle leader sends a keepalive every half wal_sender_timeout, too late for the receiver";
    contradiction(settings, ["wal_receiver_timeout", "wal_sender_timeout"], reason, hint)
}

/// Reports that come less often than the sender's patience lasts make it ask each time; that is legal, but a sender
/// whose question comes at half its time-out must not have to wait for a timer beyond the other half.
fn status_interval(settings: &Settings) -> Option<Contradiction> {
    let interval = settings.timeout("wal_receiver_status_interval")?;
    let sender = settings.timeout("wal_sender_timeout")?;
    if interval < sender {
        return None;
    }
    let hint = format!("Set wal_receiver_status_interval below {} s.", sender.as_secs_f64());
    let reason = "a follower would report less often than its sender waits for it";
    contradiction(settings, ["wal_receiver_status_interval", "wal_sender_timeout"], reason, hint)
}

fn connections(settings: &Settings) -> Option<Contradiction> {
    let (reserved, all) =
        (settings.integer("superuser_reserved_connections"), settings.integer("max_connections"));
    if reserved < all {
        return None;
    }
    let hint = format!("Set superuser_reserved_connections below {all}.");
    let reason = "no connection would be left for ordinary users";
    contradiction(settings, ["superuser_reserved_connections", "max_connections"], reason, hint)
}

fn wal_sizes(settings: &Settings) -> Option<Contradiction> {
    let segment = settings.bytes("wal_segment_size");
    let (least, most) = (settings.bytes("min_wal_size"), settings.bytes("max_wal_size"));
    if most < 2 * segment {
        let hint = format!("Set max_wal_size to at least {}MB.", 2 * (segment >> 20));
        let reason = "the log must be allowed at least two segments";
        return contradiction(settings, ["max_wal_size", "wal_segment_size"], reason, hint);
    }
    if least > most {
        let hint = format!("Set min_wal_size to at most {}MB.", most >> 20);
        let reason = "more log would be kept for use than may be used";
        return contradiction(settings, ["min_wal_size", "max_wal_size"], reason, hint);
    }
    None
}

fn recovery_targets(settings: &Settings) -> Option<Contradiction> {
    const TARGETS: [&str; 4] =
        ["recovery_target", "recovery_target_name", "recovery_target_time", "recovery_target_lsn"];
    let mut given = TARGETS.into_iter().filter(|name| !settings.text(name).is_empty());
    let pair = [given.next()?, given.next()?];
    contradiction(
        settings,
        pair,
        "recovery can have one target only",
        format!("Remove {} or {}.", pair[0], pair[1]),
    )
}

fn archive(settings: &Settings) -> Option<Contradiction> {
    let both = !settings.text("archive_command").is_empty() && !settings.text("archive_directory").is_empty();
    let reason = "a segment is archived in one way only";
    let hint = "Remove archive_command or archive_directory.".to_owned();
    both.then(|| contradiction(settings, ["archive_command", "archive_directory"], reason, hint)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Source, definition};

    fn with(values: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::defaults();
        for (name, text) in values {
            let value = definition(name).unwrap().parse(text).unwrap();
            settings.put(name, value, Source::CommandLine);
        }
        settings
    }

    #[test]
    fn defaults_agree() {
        assert_eq!(contradictions(&Settings::defaults()), []);
    }

    #[test]
    fn refuses_what_cannot_work_and_says_what_would() {
        for (values, message, hint) in [
            (
                &[("wal_receiver_timeout", "20s")][..],
                "wal_receiver_timeout = 20s and wal_sender_timeout = 1min: an idle leader",
                "Set wal_receiver_timeout above 30000 ms, or wal_sender_timeout below 40000 ms.",
            ),
            (
                &[("wal_receiver_status_interval", "60s")],
                "wal_receiver_status_interval = 1min and wal_sender_timeout = 1min: a follower",
                "Set wal_receiver_status_interval below 60 s.",
            ),
            (
                &[("max_connections", "3")],
                "superuser_reserved_connections = 3 and max_connections = 3: no connection",
                "Set superuser_reserved_connections below 3.",
            ),
            (
                &[("max_wal_size", "16MB"), ("min_wal_size", "2MB")],
                "max_wal_size = 16MB and wal_segment_size = 16MB: the log",
                "Set max_wal_size to at least 32MB.",
            ),
            (
                &[("recovery_target_lsn", "0/1"), ("recovery_target", "immediate")],
                "recovery_target = immediate and recovery_target_lsn = 0/1: recovery",
                "Remove recovery_target or recovery_target_lsn.",
            ),
        ] {
            let found = contradictions(&with(values));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].to_string().starts_with(message), "{}", found[0]);
            assert_eq!(found[0].hint, hint);
        }
        assert_eq!(contradictions(&with(&[("wal_receiver_timeout", "0"), ("wal_sender_timeout", "1h")])), []);
    }
}
