use walship_sql::catalog::{BackendRow, NodeIdentity, TURN_WAIT};

use super::log::unix_seconds;
use crate::monitoring::exposition::{Exposition, Kind};
use crate::monitoring::reading::Reading;

const STATES: [&str; 4] = ["active", "idle", "idle in transaction", "idle in transaction (aborted)"];
const CLIENT: &str = "client backend";

/// What the node is, and who is connected.
pub(super) fn put(out: &mut Exposition, reading: &Reading, identity: &NodeIdentity) {
    let system = identity.system_id.to_string();
    let mut info =
        out.family("walship_info", Kind::Gauge, "What this node is: always 1, the facts are in the labels.");
    let labels = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("sqlite_version", rusqlite::version()),
        ("system_identifier", system.as_str()),
        ("name", reading.monitored.name.as_str()),
    ];
    info.sample(&labels, 1);
    out.gauge("walship_in_recovery", "1 on a follower, 0 on a leader.", u8::from(reading.in_recovery));
    let fenced = u8::from(reading.failover.fence.is_some());
    out.gauge(
        "walship_fenced",
        "1 when another node leads a newer timeline, and this one takes no writes.",
        fenced,
    );
    out.gauge("walship_timeline", "Timeline that is written or replayed.", reading.positions.timeline);
    out.gauge_if(
        "walship_certificate_expiry_timestamp_seconds",
        "When the TLS certificate in use is no longer valid.",
        reading.monitored.certificate_expires.map(unix_seconds),
    );
    connections(out, reading);
    commits(out, reading);
}

fn connections(out: &mut Exposition, reading: &Reading) {
    let clients: Vec<&BackendRow> = reading.backends.iter().filter(|row| row.kind == CLIENT).collect();
    let mut states = out.family("walship_connections", Kind::Gauge, "SQL connections, by what they do.");
    for state in STATES {
        let there = clients.iter().filter(|row| row.state.is_some_and(|of| of.as_str() == state));
        states.sample(&[("state", state)], there.count());
    }
    let monitored = &reading.monitored;
    out.gauge("walship_connections_max", "max_connections.", monitored.connections_max);
    let senders = reading.backends.iter().filter(|row| row.kind == "walsender").count();
    out.gauge("walship_replication_connections", "Replication connections.", senders);
    out.gauge("walship_replication_connections_max", "max_wal_senders.", monitored.senders_max);
    let waits = |wait| clients.iter().filter(|row| row.wait == Some(wait)).count();
    let mut waiting = out.family(
        "walship_waiting_sessions",
        Kind::Gauge,
        "Sessions that wait, by what for: their turn to write, or synchronous followers.",
    );
    waiting.sample(&[("for", "turn")], waits(TURN_WAIT));
    waiting.sample(&[("for", "followers")], waits(("IPC", "SyncRep")));
    let oldest = clients.iter().filter_map(|row| row.transaction_started_at).min();
    let age = oldest.map_or(0.0, |since| reading.at.since(since).as_secs_f64());
    out.gauge(
        "walship_oldest_transaction_seconds",
        "Age of the oldest transaction of a session; 0 without one.",
        age,
    );
}

fn commits(out: &mut Exposition, reading: &Reading) {
    let monitored = &reading.monitored;
    out.histogram(
        "walship_commit_wait_seconds",
        "How long commits waited: until the log was durable here, or until synchronous followers had it.",
        &[
            (&[("for", "flush")], &monitored.commit_flush),
            (&[("for", "followers")], &monitored.commit_followers),
        ],
    );
}
