use serde_json::Value;

use super::query::text;

/// Everything that is wrong, in words; empty if all is well.
pub(super) fn all(nodes: &[Value]) -> Vec<String> {
    let mut problems: Vec<String> = nodes.iter().flat_map(of_node).collect();
    let mut systems: Vec<&str> = nodes.iter().filter_map(|node| text(node, "system_identifier")).collect();
    systems.sort_unstable();
    systems.dedup();
    if systems.len() > 1 {
        problems.push(format!("nodes of different clusters: system identifiers {}", systems.join(", ")));
    }
    problems
}

fn of_node(node: &Value) -> Vec<String> {
    if let Some(error) = text(node, "error") {
        return vec![error.to_owned()];
    }
    let server = text(node, "server").unwrap_or("?");
    let mut problems = Vec::new();
    if let Some(fence) = node.get("fence").filter(|fence| fence.is_object()) {
        let (by, timeline) = (text(fence, "node").unwrap_or("?"), text(fence, "timeline").unwrap_or("?"));
        let lsn = text(fence, "lsn").unwrap_or("?");
        problems.push(format!(
            "{server}: takes no writes: node {by} leads timeline {timeline}, which left this node's timeline at {lsn}"
        ));
    }
    for database in members(node, "databases") {
        if let (Some(name), Some(why)) = (text(database, "name"), text(database, "stopped_because")) {
            problems.push(format!("{server}: database \"{name}\" is stopped: {why}"));
        }
    }
    for database in members(node, "databases") {
        let failures = text(database, "checksum_failures").filter(|failures| *failures != "0");
        if let (Some(name), Some(failures)) = (text(database, "name"), failures) {
            problems.push(format!(
                "{server}: database \"{name}\" failed verification: {failures} pages did not have their logged content"
            ));
        }
    }
    for follower in members(node, "followers") {
        let (name, state) = (text(follower, "name").unwrap_or("?"), text(follower, "state").unwrap_or("?"));
        if !matches!(state, "streaming" | "backup") {
            problems.push(format!("{server}: follower \"{name}\" is not streaming: its state is {state}"));
        }
    }
    for slot in members(node, "slots") {
        if let (Some(name), Some("lost")) = (text(slot, "slot_name"), text(slot, "wal_status")) {
            problems.push(format!("{server}: slot \"{name}\" has lost log that its follower needs"));
        }
    }
    if text(node, "role") == Some("follower") {
        match node.get("receiver").and_then(|receiver| text(receiver, "status")) {
            Some("streaming") => {}
            Some(status) => {
                problems.push(format!("{server}: receiver is not streaming: its status is {status}"));
            }
            None => problems.push(format!("{server}: receiver is not running")),
        }
    }
    problems
}

fn members<'a>(node: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    node.get(name).and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_healthy_pair_has_none() {
        let leader = json!({"server": "a:1", "role": "leader", "system_identifier": "7",
            "followers": [{"name": "f", "state": "streaming"}, {"name": "b", "state": "backup"}],
            "slots": [{"slot_name": "f", "wal_status": "reserved"}], "receiver": null});
        let follower = json!({"server": "b:1", "role": "follower", "system_identifier": "7",
            "databases": [{"name": "x", "stopped_because": null}], "receiver": {"status": "streaming"}});
        assert_eq!(all(&[leader, follower]), Vec::<String>::new());
    }

    #[test]
    fn each_fault_is_named() {
        let leader = json!({"server": "a:1", "role": "leader", "system_identifier": "7",
            "followers": [{"name": "f", "state": "catchup"}],
            "slots": [{"slot_name": "f", "wal_status": "lost"}]});
        let follower = json!({"server": "b:1", "role": "follower", "system_identifier": "8",
            "databases": [{"name": "x", "stopped_because": "page 3 differs"}]});
        let found = all(&[leader, follower, json!({"error": "connection failed"})]);
        assert_eq!(
            found,
            [
                "a:1: follower \"f\" is not streaming: its state is catchup",
                "a:1: slot \"f\" has lost log that its follower needs",
                "b:1: database \"x\" is stopped: page 3 differs",
                "b:1: receiver is not running",
                "connection failed",
                "nodes of different clusters: system identifiers 7, 8",
            ]
        );
    }
}
