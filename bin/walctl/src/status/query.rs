use serde_json::{Value, json};
use walship_client::{Connection, Purpose};
use walship_protocol::Target;
use walship_types::Lsn;

use crate::connection::connect;
use crate::failure::Failure;
use crate::slot::{objects, slots};

const LEADER_POSITIONS: &str = "SELECT pg_current_wal_insert_lsn() AS insert_lsn, \
     pg_current_wal_lsn() AS write_lsn, pg_current_wal_flush_lsn() AS flush_lsn";
const FOLLOWER_POSITIONS: &str = "SELECT pg_last_wal_receive_lsn() AS receive_lsn, \
     pg_last_wal_replay_lsn() AS replay_lsn, pg_last_xact_replay_timestamp() AS last_replayed_commit_time, \
     pg_get_wal_replay_pause_state() AS replay_pause_state, \
     CASE WHEN pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn() THEN 0 \
     ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp()) END AS replay_lag_seconds";
const DATABASES: &str = "SELECT datname AS name, page_size, pages, checksum, verified_lsn, verified_time, \
     last_commit_lsn, stopped_because, commits, log_bytes, waiting_writers, writer_pid, oldest_reader_pid, \
     oldest_reader_holds_bytes, (SELECT checksum_failures FROM pg_stat_database d WHERE d.datid = o.datid) \
     AS checksum_failures FROM walship_stat_database o ORDER BY datname";
const FOLLOWERS: &str = "SELECT application_name AS name, client_addr, state, sync_state, sent_lsn, write_lsn, \
     flush_lsn, replay_lsn, replay_lag FROM pg_stat_replication ORDER BY application_name";
const WAITS: &str = "SELECT pid, datname, application_name, wait_event_type, wait_event, \
     pg_blocking_pids(pid) AS blocked_by, extract(epoch FROM clock_timestamp() - query_start) AS seconds, query \
     FROM pg_stat_activity WHERE wait_event_type IN ('Lock', 'IPC') ORDER BY query_start";
const RECEIVER: &str = "SELECT status, written_lsn, flushed_lsn, latest_end_lsn, last_msg_receipt_time, slot_name, \
     sender_host, sender_port FROM pg_stat_wal_receiver";

const FAILOVER: &str = "SELECT role, leader_silent_ms, fenced_by, fenced_timeline, fenced_lsn, fenced_time \
     FROM walship_stat_failover";

/// Everything that a node says, as one JSON object.
pub(super) async fn node(target: &Target) -> Result<Value, Failure> {
    let mut replication = connect(target, Purpose::Replication).await?;
    let system = one(&mut replication, "IDENTIFY_SYSTEM").await?;
    let server = replication.host().to_string();
    replication.close().await;
    let mut sql = connect(target, Purpose::Sql).await?;
    let in_recovery = one(&mut sql, "SELECT pg_is_in_recovery() AS follows").await?;
    let follows = text(&in_recovery, "follows") == Some("t");
    let positions = one(&mut sql, if follows { FOLLOWER_POSITIONS } else { LEADER_POSITIONS }).await?;
    let failover = one(&mut sql, FAILOVER).await?;
    let mut node = json!({
        "server": server,
        "role": failover.get("role"),
        "fence": (text(&failover, "role") == Some("fenced")).then(|| json!({
            "node": failover.get("fenced_by"),
            "timeline": failover.get("fenced_timeline"),
            "lsn": failover.get("fenced_lsn"),
            "time": failover.get("fenced_time"),
        })),
        "leader_silent_ms": failover.get("leader_silent_ms"),
        "system_identifier": system.get("systemid"),
        "timeline": system.get("timeline"),
        "positions": positions,
        "databases": all(&mut sql, DATABASES).await?,
        "followers": all(&mut sql, FOLLOWERS).await?,
        "slots": slots(&mut sql).await?,
        "receiver": all(&mut sql, RECEIVER).await?.into_iter().next(),
        "waits": all(&mut sql, WAITS).await?,
    });
    sql.close().await;
    add_lags(&mut node);
    Ok(node)
}

async fn one(connection: &mut Connection, query: &str) -> Result<Value, Failure> {
    let rows = all(connection, query).await?;
    let row = rows.into_iter().next();
    row.ok_or_else(|| {
        Failure::new(format!("server at \"{}\" answered nothing to {query}", connection.host()))
    })
}

async fn all(connection: &mut Connection, query: &str) -> Result<Vec<Value>, Failure> {
    Ok(objects(&connection.query(query).await?))
}

/// A member as text.
pub(super) fn text<'a>(object: &'a Value, member: &str) -> Option<&'a str> {
    object.get(member).and_then(Value::as_str)
}

pub(super) fn lsn(object: Option<&Value>, member: &str) -> Option<Lsn> {
    text(object?, member)?.parse().ok()
}

/// Distances: in bytes, of each follower behind this node, of what each slot holds back, and of this node behind its
/// sender; in seconds, of this node behind what it has received, by its own clock. Numbers, not text.
pub(super) fn add_lags(node: &mut Value) {
    let positions = node.get("positions").cloned();
    let here = lsn(positions.as_ref(), "flush_lsn").or_else(|| lsn(positions.as_ref(), "receive_lsn"));
    let followers = node.get_mut("followers").and_then(Value::as_array_mut);
    for follower in followers.into_iter().flatten() {
        let there = lsn(Some(follower), "replay_lsn");
        let behind = here.zip(there).map(|(here, there)| here.saturating_distance_from(there));
        if let Some(object) = follower.as_object_mut() {
            object.insert("replay_lag_bytes".to_owned(), json!(behind));
        }
    }
    let slots = node.get_mut("slots").and_then(Value::as_array_mut);
    for slot in slots.into_iter().flatten() {
        let from = lsn(Some(slot), "restart_lsn");
        let held = here.zip(from).map(|(here, from)| here.saturating_distance_from(from));
        if let Some(object) = slot.as_object_mut() {
            object.insert("retained_bytes".to_owned(), json!(held));
        }
    }
    let sender = lsn(node.get("receiver"), "latest_end_lsn");
    let replayed = lsn(positions.as_ref(), "replay_lsn");
    let behind = sender.zip(replayed).map(|(sender, here)| sender.saturating_distance_from(here));
    let positions = node.get_mut("positions").and_then(Value::as_object_mut);
    let seconds = positions.and_then(|positions| positions.remove("replay_lag_seconds"));
    let seconds = seconds.as_ref().and_then(Value::as_str).and_then(|text| text.parse::<f64>().ok());
    if let (Some(object), true) = (node.as_object_mut(), replayed.is_some()) {
        object.insert("replay_lag_bytes".to_owned(), json!(behind));
        object.insert("replay_lag_seconds".to_owned(), json!(seconds));
    }
}
