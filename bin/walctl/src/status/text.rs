use std::fmt::Write as _;

use serde_json::Value;

use super::query::text;
use crate::table::Table;

const DATABASES: [&str; 6] = ["name", "page_size", "pages", "checksum", "verified_lsn", "verified_time"];
const FOLLOWERS: [&str; 9] = [
    "name",
    "state",
    "sync_state",
    "sent_lsn",
    "write_lsn",
    "flush_lsn",
    "replay_lsn",
    "replay_lag_bytes",
    "replay_lag",
];
const SLOTS: [&str; 4] = ["slot_name", "active_pid", "restart_lsn", "wal_status"];
const RECEIVER: [&str; 6] =
    ["status", "sender_host", "sender_port", "slot_name", "latest_end_lsn", "last_msg_receipt_time"];

/// A node for people.
pub(super) fn node(node: &Value) -> String {
    let server = text(node, "server").unwrap_or("?");
    let Some(role) = text(node, "role") else {
        return format!("{server}: not reachable\n");
    };
    let mut out = format!(
        "{server}: {role}, timeline {}, system identifier {}\n",
        shown(node.get("timeline")),
        shown(node.get("system_identifier"))
    );
    let positions = node.get("positions").and_then(Value::as_object).into_iter().flatten();
    let lag = |name: &'static str| node.get(name).map(|lag| (name, lag));
    let lags = lag("replay_lag_bytes").into_iter().chain(lag("replay_lag_seconds"));
    let all = positions.map(|(name, value)| (name.as_str(), value)).chain(lags);
    for (name, value) in all.filter(|(_, value)| !value.is_null()) {
        // writing to a string cannot fail
        let _ = writeln!(out, "  {}: {}", name.replace('_', " "), shown(Some(value)));
    }
    if let Some(silent) = node.get("leader_silent_ms").filter(|silent| !silent.is_null()) {
        let _ = writeln!(out, "  leader silent for: {} ms", shown(Some(silent)));
    }
    if let Some(fence) = node.get("fence").filter(|fence| fence.is_object()) {
        let field = |name| shown(fence.get(name));
        let (by, timeline, lsn) = (field("node"), field("timeline"), field("lsn"));
        let _ =
            writeln!(out, "  fenced: node {by} leads timeline {timeline}, which left this node's at {lsn}");
    }
    let receiver = node.get("receiver").filter(|receiver| !receiver.is_null());
    out + &section("databases", &DATABASES, list(node, "databases"))
        + &section("followers", &FOLLOWERS, list(node, "followers"))
        + &section("slots", &SLOTS, list(node, "slots"))
        + &section("receiver", &RECEIVER, receiver.into_iter().collect())
}

fn list<'a>(node: &'a Value, name: &str) -> Vec<&'a Value> {
    node.get(name).and_then(Value::as_array).into_iter().flatten().collect()
}

fn section(title: &str, columns: &[&str], rows: Vec<&Value>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new(columns);
    for row in rows {
        table.row(columns.iter().map(|column| shown(row.get(*column))));
    }
    let lines = table.to_string();
    lines.lines().fold(format!("  {title}\n"), |out, line| out + "    " + line + "\n")
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::query::add_lags;
    use super::*;

    #[test]
    fn a_leader_with_a_follower() {
        let mut leader = json!({
            "server": "127.0.0.1:5433", "role": "leader", "timeline": "1", "system_identifier": "7",
            "positions": {"insert_lsn": "0/300", "write_lsn": "0/300", "flush_lsn": "0/300"},
            "databases": [{"name": "shop", "page_size": "4096", "pages": "12", "checksum": "00ff"}],
            "followers": [{"name": "one", "state": "streaming", "replay_lsn": "0/2F0"}],
            "slots": [], "receiver": null,
        });
        add_lags(&mut leader);
        let expected = "127.0.0.1:5433: leader, timeline 1, system identifier 7
  flush lsn: 0/300
  insert lsn: 0/300
  write lsn: 0/300
  databases
    name  page_size  pages  checksum  verified_lsn  verified_time
    shop  4096       12     00ff      -             -
  followers
    name  state      sync_state  sent_lsn  write_lsn  flush_lsn  replay_lsn  replay_lag_bytes  replay_lag
    one   streaming  -           -         -          -          0/2F0       16                -
";
        assert_eq!(node(&leader), expected);
        assert_eq!(node(&json!({"server": "a:1", "role": null})), "a:1: not reachable\n");
    }

    #[test]
    fn a_follower_that_is_behind() {
        let mut follower = json!({
            "server": "127.0.0.1:5434", "role": "follower", "timeline": "1", "system_identifier": "7",
            "positions": {"receive_lsn": "0/300", "replay_lsn": "0/2F0", "replay_lag_seconds": "1.25"},
            "databases": [], "followers": [], "slots": [],
            "receiver": {"status": "streaming", "latest_end_lsn": "0/310"},
        });
        add_lags(&mut follower);
        let shown = node(&follower);
        let lines =
            "  receive lsn: 0/300\n  replay lsn: 0/2F0\n  replay lag bytes: 32\n  replay lag seconds: 1.25\n";
        assert!(shown.contains(lines), "{shown}");
    }
}
