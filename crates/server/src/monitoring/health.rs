use serde_json::{Value, json};

use super::query;
use super::reading::Reading;

/// What a load balancer wants of a node before it sends clients there.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Wanted {
    /// `leader` or `follower`; either if not said.
    pub(super) role: Option<&'static str>,
    /// The most that a follower may be behind, in bytes.
    pub(super) lag_bytes_max: Option<u64>,
    /// The same in seconds.
    pub(super) lag_seconds_max: Option<f64>,
}

impl Wanted {
    /// From the path behind `/readyz` and from the query.
    ///
    /// # Errors
    /// What is not understood, and what would be.
    pub(super) fn parse(path: &str, query_text: &str) -> Result<Wanted, String> {
        let mut wanted = Wanted::default();
        match path.trim_matches('/') {
            "" => {}
            role => wanted.role = Some(role_named(role)?),
        }
        for (name, value) in query::pairs(query_text) {
            match name {
                "role" => wanted.role = Some(role_named(value)?),
                "lag_bytes" => {
                    let invalid = || format!("invalid lag_bytes \"{value}\": write it as 16MB, 1GB or 4096");
                    wanted.lag_bytes_max = Some(query::bytes(value).ok_or_else(invalid)?);
                }
                "lag_seconds" => {
                    let invalid = || format!("invalid lag_seconds \"{value}\": write it as 5, 2.5 or 500ms");
                    wanted.lag_seconds_max = Some(query::seconds(value).ok_or_else(invalid)?);
                }
                other => {
                    return Err(format!(
                        "unknown parameter \"{other}\": there are role, lag_bytes and lag_seconds"
                    ));
                }
            }
        }
        Ok(wanted)
    }
}

fn role_named(text: &str) -> Result<&'static str, String> {
    match text {
        "leader" | "primary" => Ok("leader"),
        "follower" | "standby" | "replica" => Ok("follower"),
        other => Err(format!("unknown role \"{other}\": there are leader (primary) and follower (standby)")),
    }
}

/// Why a node does not have what is wanted; nothing if it has.
pub(super) fn reasons(reading: &Reading, wanted: &Wanted) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Some(role) = wanted.role.filter(|role| *role != reading.role()) {
        reasons.push(match reading.role() {
            "fenced" => format!("this node is fenced, not a {role}"),
            own => format!("this node is a {own}, not a {role}"),
        });
    }
    if let Some(fence) = &reading.failover.fence {
        reasons.push(format!(
            "the node is fenced: {} leads timeline {} since {}",
            fence.node, fence.timeline, fence.switch_lsn
        ));
    }
    for database in &reading.databases {
        if let Some(why) = &database.stopped_because {
            reasons.push(format!("database \"{}\" is stopped: {why}", database.name));
        }
    }
    if reading.wal.stalled {
        reasons.push("the disk is full: the log waits for room".to_owned());
    }
    if let Some(max) = wanted.lag_bytes_max.filter(|_| reading.in_recovery) {
        if !reading.is_streaming() {
            reasons.push(format!("lag_bytes is not known: {}", no_leader(reading)));
        } else if reading.replay_lag_bytes() > max {
            reasons.push(format!("replay is {} bytes behind, {max} are allowed", reading.replay_lag_bytes()));
        }
    }
    if let Some(max) = wanted.lag_seconds_max {
        match reading.replay_lag_seconds() {
            Some(lag) if lag <= max => {}
            Some(lag) => reasons.push(format!("replay is {lag:.1} s behind, {max} are allowed")),
            None => reasons.push(format!("lag_seconds is not known: {}", no_leader(reading))),
        }
    }
    reasons
}

fn no_leader(reading: &Reading) -> String {
    match &reading.monitored.receiver_error {
        Some(error) => format!("there is no connection to the leader: {error}"),
        None => "there is no connection to the leader".to_owned(),
    }
}

/// What a caller is told besides the HTTP status.
pub(super) fn answer(reading: &Reading, reasons: &[String]) -> Value {
    json!({
        "ready": reasons.is_empty(),
        "reasons": reasons,
        "role": reading.role(),
        "timeline": reading.positions.timeline,
        "position": reading.positions.replay.unwrap_or(reading.positions.flush).to_string(),
        "lag_bytes": reading.replay_lag_bytes(),
        "lag_seconds": reading.replay_lag_seconds(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_read_or_refused() {
        let wanted = Wanted::parse("/leader", "lag_bytes=16MB&lag_seconds=2");
        let expected =
            Wanted { role: Some("leader"), lag_bytes_max: Some(16 << 20), lag_seconds_max: Some(2.0) };
        assert_eq!(wanted, Ok(expected));
        assert_eq!(Wanted::parse("", "role=standby").map(|wanted| wanted.role), Ok(Some("follower")));
        for (path, query) in [("/boss", ""), ("", "role="), ("", "lag=5"), ("", "lag_bytes=many")] {
            assert!(Wanted::parse(path, query).is_err(), "{path} {query}");
        }
    }
}
