use serde_json::{Value, json};
use walship_sql::catalog::{ClientAddress, ReplayPause};
use walship_types::Timestamp;

use super::MonitoringSource;
use super::board::Board;
use super::health::{self, Wanted};
use super::machine::Machine;
use super::query;
use super::reading::Reading;
use crate::logging::LoggedEvent;

/// What the page shows, as one JSON object. Samples and events are those after the numbers that the query names, so
/// that a page that stays open is sent each of them once.
///
/// # Errors
/// What in the query is not understood.
pub(super) fn json(source: &dyn MonitoringSource, board: &Board, query_text: &str) -> Result<Value, String> {
    let (mut sample, mut event) = (0, 0);
    for (name, value) in query::pairs(query_text) {
        let number = value.parse().map_err(|_| format!("invalid number \"{value}\" for {name}"))?;
        match name {
            "sample" => sample = number,
            "event" => event = number,
            other => return Err(format!("unknown parameter \"{other}\": there are sample and event")),
        }
    }
    let reading = Reading::take(source);
    let identity = source.identity();
    let machine = Machine::read(&identity.data_directory);
    let positions = &reading.positions;
    Ok(json!({
        "name": reading.monitored.name,
        "version": env!("CARGO_PKG_VERSION"),
        "system_identifier": identity.system_id.to_string(),
        "port": reading.monitored.port,
        "role": reading.role(),
        "timeline": positions.timeline,
        "started_unix_ms": unix_ms(identity.started_at),
        "unix_ms": unix_ms(reading.at),
        "problems": health::reasons(&reading, &Wanted::default()),
        "insert": positions.insert.to_string(),
        "flush": positions.flush.to_string(),
        "replay_paused": reading.pause != ReplayPause::NotPaused,
        "receive": positions.receive.map(|lsn| lsn.to_string()),
        "replay": positions.replay.map(|lsn| lsn.to_string()),
        "lag_bytes": reading.replay_lag_bytes(),
        "lag_seconds": reading.replay_lag_seconds(),
        "connections": reading.backends.iter().filter(|row| row.kind == "client backend").count(),
        "connections_max": reading.monitored.connections_max,
        "free_bytes": machine.space.map(|space| space.free),
        "size_bytes": machine.space.map(|space| space.size),
        "wal_directory_bytes": machine.log_files.map(|files| files.bytes),
        "leader": leader(&reading),
        "followers": followers(&reading),
        "slots": slots(&reading),
        "databases": databases(&reading),
        "samples": board.history().after(sample),
        "events": board.events().after(event).iter().map(event_json).collect::<Vec<_>>(),
    }))
}

fn leader(reading: &Reading) -> Option<Value> {
    let silent = reading.monitored.leader_silent;
    reading.in_recovery.then(|| {
        let receiver = reading.receiver.as_ref();
        json!({
            "host": receiver.and_then(|row| row.sender_host.clone()),
            "port": receiver.and_then(|row| row.sender_port),
            "status": receiver.map_or("disconnected", |row| row.status),
            "slot": receiver.and_then(|row| row.slot_name.clone()),
            "error": reading.monitored.receiver_error,
            "silent_seconds": silent.map(|silent| silent.as_secs_f64()),
        })
    })
}

fn followers(reading: &Reading) -> Vec<Value> {
    let end = reading.end_of_log();
    let row = |row: &walship_sql::catalog::ReplicationRow| {
        json!({
            "name": row.application_name,
            "address": address(&row.client),
            "state": row.state,
            "sync_state": row.sync_state,
            "replay": row.replay.map(|lsn| lsn.to_string()),
            "lag_bytes": row.replay.map(|lsn| end.saturating_distance_from(lsn)),
            "lag_seconds": row.replay.map(|_| row.replay_lag.unwrap_or_default().as_secs_f64()),
        })
    };
    reading.replication.iter().map(row).collect()
}

fn address(client: &ClientAddress) -> String {
    match (client.address, client.port) {
        (Some(address), Some(port)) => {
            std::net::SocketAddr::new(address, u16::try_from(port).unwrap_or(0)).to_string()
        }
        (Some(address), None) => address.to_string(),
        (None, _) => "Unix socket".to_owned(),
    }
}

fn slots(reading: &Reading) -> Vec<Value> {
    let row = |slot: &walship_sql::catalog::SlotRow| {
        json!({
            "name": slot.name,
            "active": slot.active_pid.is_some(),
            "wal_status": slot.wal_status,
            "retained_bytes": reading.retained_bytes(slot),
            "safe_bytes": slot.safe_wal_size,
        })
    };
    reading.slots.iter().map(row).collect()
}

fn databases(reading: &Reading) -> Vec<Value> {
    let row = |row: &walship_sql::catalog::DatabaseRow| {
        json!({
            "name": row.name,
            "bytes": row.pages * u64::from(row.page_size),
            "connections": row.sessions,
            "waiting_writers": row.waiting_writers,
            "verified_seconds": row.verified_at.map(|at| reading.at.since(at).as_secs_f64()),
            "checksum_failures": row.checksum_failures,
            "stopped_because": row.stopped_because,
        })
    };
    reading.databases.iter().map(row).collect()
}

fn event_json(event: &LoggedEvent) -> Value {
    json!({
        "number": event.number,
        "unix_ms": unix_ms(event.at),
        "event": event.kind,
        "severity": event.severity,
        "text": event.text,
    })
}

fn unix_ms(at: Timestamp) -> i64 {
    at.unix_micros() / 1000
}
