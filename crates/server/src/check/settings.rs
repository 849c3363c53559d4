use walship_protocol::Conninfo;
use walship_settings::{Settings, Typed as _};

use super::{Area, Finding};
use crate::run::{Program, check_listening};

const AREA: Area = Area::Settings;

/// What is valid, and will not do what was meant.
pub(super) fn check(settings: &Settings, program: Program, findings: &mut Vec<Finding>) {
    if let Err(failure) = check_listening(settings) {
        findings.push(Finding::error(AREA, &failure.message).maybe_mend(failure.hint));
    }
    if settings.bool("listen_without_tls") && !settings.bool("ssl") {
        let message = format!(
            "listen_without_tls = on, ssl = off, listen_addresses = '{}': data goes over the network in clear",
            settings.text("listen_addresses")
        );
        findings
            .push(Finding::warning(AREA, message).mend("set ssl = on with ssl_cert_file and ssl_key_file"));
    }
    if settings.bytes_limit("max_slot_wal_keep_size").is_none() {
        findings.push(
            Finding::warning(AREA, "max_slot_wal_keep_size = -1: a follower that stays away fills the disk")
                .mend("set it to what the disk has room for"),
        );
    }
    if settings.text("archive_mode") != "off"
        && settings.text("archive_command").is_empty()
        && settings.text("archive_directory").is_empty()
    {
        findings.push(
            Finding::error(AREA, format!("archive_mode = {} without archive_command or archive_directory: no log can be archived, and none is removed", settings.text("archive_mode")))
                .mend("set archive_command or archive_directory, or archive_mode = off"),
        );
    }
    if settings.bytes("checksum_scrub_rate") == 0 {
        findings.push(
            Finding::warning(
                AREA,
                "checksum_scrub_rate = 0: damaged pages are found only when they are read or replayed",
            )
            .mend("set it to 1MB or more"),
        );
    }
    if settings.timeout("wal_sender_timeout").is_none() {
        findings.push(
            Finding::warning(AREA, "wal_sender_timeout = 0: a follower that has gone is never given up")
                .mend("set it to 1min"),
        );
    }
    primary(settings, program, findings);
}

fn primary(settings: &Settings, program: Program, findings: &mut Vec<Finding>) {
    let text = settings.text("primary_conninfo");
    let follows = program == Program::WalReceiver;
    match text.parse::<Conninfo>() {
        _ if text.is_empty() && follows => findings.push(
            Finding::error(AREA, "standby.signal makes this a follower, and primary_conninfo is empty")
                .mend("start it once with walreceiver --primary CONNINFO, or set primary_conninfo"),
        ),
        Err(error) => findings.push(Finding::error(AREA, format!("invalid primary_conninfo: {error}"))),
        Ok(_) if text.contains("password=") || has_password_in_uri(&text) => findings.push(
            Finding::warning(
                AREA,
                "primary_conninfo holds a password, which every backup of this directory then has",
            )
            .mend("keep it in ~/.pgpass (mode 0600) or in PGPASSWORD"),
        ),
        Ok(_) => {}
    }
}

/// `postgresql://user:password@host/`
fn has_password_in_uri(text: &str) -> bool {
    let authority = text.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or(rest));
    authority.and_then(|authority| authority.rsplit_once('@')).is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_uri_is_seen() {
        assert!(has_password_in_uri("postgresql://u:secret@host:5433/db"));
        assert!(!has_password_in_uri("postgresql://u@host:5433/db"));
        assert!(!has_password_in_uri("host=a port=1"));
    }
}
