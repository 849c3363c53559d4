//! Each change that an operator wants to know is one log line with stable fields, as JSON on request, and
//! docs/monitoring.md lists all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use regex::Regex;
use serde_json::Value;
use walship_tests::{Lab, repository_root, wait_caught_up, wait_until};

/// `event` in the first column of the table of docs/monitoring.md, with the fields in the second.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(repository_root().join("docs/monitoring.md")).unwrap();
    let (_, section) = text.split_once("## Events\n").expect("docs/monitoring.md has a section \"Events\"");
    let section = section.split("\n## ").next().unwrap_or(section);
    let code = Regex::new("`([a-z_]+)`").unwrap();
    let words = |cell: &str| code.captures_iter(cell).map(|found| found[1].to_owned()).collect::<Vec<_>>();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.flat_map(|line| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let fields: BTreeSet<String> = words(cells[2]).into_iter().collect();
        words(cells[1]).into_iter().map(move |event| (event, fields.clone()))
    });
    rows.collect()
}

fn sources(directory: &Path, found: &mut BTreeSet<String>) {
    let event = Regex::new(r#"event = "([a-z_]+)""#).unwrap();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            found.extend(event.captures_iter(&text).map(|name| name[1].to_owned()));
        }
    }
}

#[test]
fn the_documentation_lists_every_event() {
    let mut found = BTreeSet::new();
    for part in ["crates", "bin"] {
        sources(&repository_root().join(part), &mut found);
    }
    assert!(found.len() > 15, "{found:?}");
    let listed: BTreeSet<String> = documented().into_keys().collect();
    assert_eq!(listed, found, "docs/monitoring.md (left) and the source");
}

/// The JSON lines of a log, by event.
fn events(log: &str) -> BTreeMap<String, Vec<Value>> {
    let mut events: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    // what a program prints before it begins to log is for whoever started it
    for line in log.lines().filter(|line| !line.starts_with("walreceiver: ")) {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("no JSON ({e}): {line}"));
        if let Some(event) = value.get("event").and_then(Value::as_str) {
            events.entry(event.to_owned()).or_default().push(value.clone());
        }
    }
    events
}

#[test]
fn the_life_of_a_follower_is_a_series_of_json_lines() {
    let lab = Lab::new();
    let leader = lab.leader_with(&["-c", "log_destination=jsonlog"]);
    leader.sql("ALTER SYSTEM SET synchronous_standby_names = 'follower'");
    leader.sql("SELECT pg_reload_conf()");
    let mut follower = lab.follower_with("follower", leader.port(), &["-c", "log_destination=jsonlog"]);
    leader.sql("CREATE TABLE t(v); CHECKPOINT");
    wait_caught_up(&leader, &follower);
    follower.kill();
    wait_until("the leader says that it is lost", || events(&leader.log()).contains_key("follower_lost"));
    follower.start();
    leader.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'");
    leader.sql("SELECT pg_reload_conf()");
    wait_until("the leader says that nobody has the name", || {
        events(&leader.log()).contains_key("synchronous_name_unmatched")
    });
    let log = events(&leader.log());
    let documented = documented();
    for event in [
        "starting",
        "listening",
        "ready",
        "follower_connected",
        "follower_caught_up",
        "follower_synchronous",
        "checkpoint",
        "follower_lost",
        "synchronous_followers_missing",
        "synchronous_name_unmatched",
        "reload",
    ] {
        let lines = log.get(event).unwrap_or_else(|| panic!("no line of {event} in {}", leader.log()));
        for line in lines {
            let fields: BTreeSet<String> = line.as_object().unwrap().keys().cloned().collect();
            for field in &documented[event] {
                // not every address has a socket, and so on: a table row may cover several lines
                let known = fields.contains(field) || matches!(field.as_str(), "socket" | "address" | "hint");
                assert!(known, "{event} has no {field}: {line}");
            }
            let common = ["timestamp", "level", "message", "event"];
            for field in fields.iter().filter(|field| !common.contains(&field.as_str())) {
                assert!(documented[event].contains(field), "{field} of {event} is not documented: {line}");
            }
        }
    }
    let lost = &log["follower_lost"][0];
    assert_eq!((lost["follower"].as_str(), lost["level"].as_str()), (Some("follower"), Some("WARN")));
    let log = events(&follower.log());
    for event in ["starting", "streaming_started", "ready"] {
        assert!(log.contains_key(event), "no line of {event} in {}", follower.log());
    }
}
