use serde_json::Value;

use super::query::{lsn, text};
use super::rates::Rates;
use super::topology::{Branch, tree};
use crate::byte_size::byte_size;
use crate::table::Table;

/// The page: who follows whom, how far and how fast; databases; what slots hold back; who waits for what; what is
/// wrong. Without escape sequences, as long as it needs to be.
pub(super) fn lines(nodes: &[Value], rates: &Rates, problems: &[String]) -> Vec<String> {
    let mut lines = table(&TREE, tree(nodes).iter().map(|branch| row(branch, rates)));
    section(&mut lines, &DATABASES, nodes, "databases", database);
    section(&mut lines, &SLOTS, nodes, "slots", slot);
    section(&mut lines, &WAITS, nodes, "waits", wait);
    if !problems.is_empty() {
        lines.push(String::new());
        lines.extend(problems.iter().map(|problem| format!("! {problem}")));
    }
    lines
}

/// Cuts a page to a terminal's size; what does not fit is counted.
pub(super) fn fitted(mut lines: Vec<String>, width: usize, height: usize) -> Vec<String> {
    if lines.len() > height {
        let hidden = lines.len() + 1 - height;
        lines.truncate(height.saturating_sub(1));
        lines.push(format!("... {hidden} more lines"));
    }
    for line in &mut lines {
        if let Some((end, _)) = line.char_indices().nth(width) {
            line.truncate(end);
        }
    }
    lines
}

const TREE: [&str; 9] = ["node", "role", "state", "sync", "flush", "replay", "behind", "lag", "log, commits"];
const DATABASES: [&str; 7] = ["database", "node", "size", "log", "writer", "waiting", "verified"];
const SLOTS: [&str; 5] = ["slot", "node", "used by", "status", "holds back"];
const WAITS: [&str; 6] = ["pid", "node", "waits for", "of", "since", "statement"];
/// What stands for a value that there is not.
const NONE: &str = "-";

fn shown(value: Option<&str>) -> String {
    value.unwrap_or(NONE).to_owned()
}

fn bytes(value: Option<&Value>) -> String {
    let number = value.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    number.map_or_else(|| NONE.to_owned(), byte_size)
}

fn per_second(rate: f64) -> String {
    format!("{}/s", byte_size(rate.round() as u64))
}

fn row(branch: &Branch<'_>, rates: &Rates) -> Vec<String> {
    let Branch { rail, node, follower } = branch;
    let server = node.and_then(|node| text(node, "server"));
    let name = follower.and_then(|follower| text(follower, "name"));
    let called = match (name, server) {
        (Some(name), Some(server)) => format!("{name} {server}"),
        (Some(name), None) => match follower.and_then(|follower| text(follower, "client_addr")) {
            Some(address) => format!("{name} {address}"),
            None => name.to_owned(),
        },
        (None, server) => shown(server),
    };
    let role = node.map_or("", |node| text(node, "role").unwrap_or("?"));
    let receiver = node.and_then(|node| text(node.get("receiver")?, "status"));
    let state = follower.and_then(|follower| text(follower, "state")).or(receiver);
    let own = node.and_then(|node| node.get("positions"));
    let position = |own_names: [&str; 2], theirs: &str| {
        let told = own_names.into_iter().find_map(|name| lsn(own, name));
        let told = told.or_else(|| lsn(*follower, theirs));
        told.map_or_else(|| NONE.to_owned(), |lsn| lsn.to_string())
    };
    let behind = follower.or(*node).and_then(|who| who.get("replay_lag_bytes"));
    let lag = follower.and_then(|follower| text(follower, "replay_lag"));
    let rate = server.and_then(|server| rates.of(server));
    let speed = match rate {
        Some(rate) => match rate.replay {
            Some(replay) => format!("{}, replays {}", per_second(rate.log), per_second(replay)),
            None => format!("{}, {:.0}/s", per_second(rate.log), rate.commits),
        },
        None => String::new(),
    };
    vec![
        format!("{rail}{called}"),
        role.to_owned(),
        shown(state),
        shown(follower.and_then(|follower| text(follower, "sync_state"))),
        position(["flush_lsn", "receive_lsn"], "flush_lsn"),
        position(["replay_lsn", "replay_lsn"], "replay_lsn"),
        bytes(behind),
        shown(lag),
        speed,
    ]
}

fn table(headings: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<String> {
    let mut table = Table::new(headings);
    rows.for_each(|row| table.row(row));
    table.to_string().lines().map(str::to_owned).collect()
}

/// A table of a list that each node has; nothing if none has anything in it.
fn section(
    lines: &mut Vec<String>,
    headings: &[&str],
    nodes: &[Value],
    list: &str,
    row: impl Fn(&str, &Value) -> Vec<String>,
) {
    let rows: Vec<Vec<String>> = nodes
        .iter()
        .flat_map(|node| {
            let server = text(node, "server").unwrap_or("?");
            let entries = node.get(list).and_then(Value::as_array).into_iter().flatten();
            entries.map(|entry| row(server, entry)).collect::<Vec<_>>()
        })
        .collect();
    if !rows.is_empty() {
        lines.push(String::new());
        lines.extend(table(headings, rows.into_iter()));
    }
}

fn database(server: &str, entry: &Value) -> Vec<String> {
    let number = |name: &str| text(entry, name).and_then(|text| text.parse::<u64>().ok());
    let size = number("pages").zip(number("page_size")).map(|(pages, size)| pages.saturating_mul(size));
    vec![
        shown(text(entry, "name")),
        server.to_owned(),
        size.map_or_else(|| NONE.to_owned(), byte_size),
        bytes(entry.get("log_bytes")),
        shown(text(entry, "writer_pid")),
        shown(text(entry, "waiting_writers")),
        shown(text(entry, "verified_lsn")),
    ]
}

fn slot(server: &str, entry: &Value) -> Vec<String> {
    vec![
        shown(text(entry, "slot_name")),
        server.to_owned(),
        shown(text(entry, "active_pid")),
        shown(text(entry, "wal_status")),
        bytes(entry.get("retained_bytes")),
    ]
}

fn wait(server: &str, entry: &Value) -> Vec<String> {
    let event = format!(
        "{}/{}",
        text(entry, "wait_event_type").unwrap_or(NONE),
        text(entry, "wait_event").unwrap_or(NONE)
    );
    let blockers =
        text(entry, "blocked_by").map(|list| list.trim_matches(['{', '}'])).filter(|list| !list.is_empty());
    let seconds = text(entry, "seconds").and_then(|text| text.parse::<f64>().ok());
    // a statement is one line here, whatever it was
    let statement = text(entry, "query").map(|query| query.split_whitespace().collect::<Vec<_>>().join(" "));
    vec![
        shown(text(entry, "pid")),
        server.to_owned(),
        event,
        shown(blockers),
        seconds.map_or_else(|| NONE.to_owned(), |seconds| format!("{seconds:.1} s")),
        statement.unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_shows_the_tree_and_what_is_held_back() {
        let nodes = [
            json!({"server": "h:1", "role": "leader", "positions": {"flush_lsn": "0/3000"}, "receiver": null,
                "followers": [{"name": "second", "state": "streaming", "sync_state": "async", "replay_lsn": "0/2000",
                    "replay_lag_bytes": 4096, "replay_lag": "00:00:01.5"}],
                "databases": [{"name": "shop", "page_size": "4096", "pages": "3", "log_bytes": "2048",
                    "waiting_writers": "1", "writer_pid": "20"}],
                "slots": [{"slot_name": "second", "active_pid": "17", "wal_status": "reserved", "retained_bytes": 4096}],
                "waits": [{"pid": "21", "wait_event_type": "Lock", "wait_event": "turn", "blocked_by": "{20}",
                    "seconds": "2.25", "query": "INSERT\n  INTO t"}]}),
            json!({"server": "h:2", "role": "follower", "positions": {"receive_lsn": "0/3000", "replay_lsn": "0/2000"},
                "receiver": {"status": "streaming", "sender_host": "h", "sender_port": "1", "slot_name": "second"}}),
        ];
        let expected = "\
node           role      state      sync   flush   replay  behind  lag         log, commits
h:1            leader    -          -      0/3000  -       -       -
└─ second h:2  follower  streaming  async  0/3000  0/2000  4.0 kB  00:00:01.5

database  node  size     log     writer  waiting  verified
shop      h:1   12.0 kB  2.0 kB  20      1        -

slot    node  used by  status    holds back
second  h:1   17       reserved  4.0 kB

pid  node  waits for  of  since  statement
21   h:1   Lock/turn  20  2.2 s  INSERT INTO t

! h:9 does not answer";
        let lines = lines(&nodes, &Rates::default(), &["h:9 does not answer".to_owned()]);
        assert_eq!(lines.join("\n"), expected);
    }

    #[test]
    fn a_page_is_cut_to_the_terminal() {
        let lines = vec!["é".repeat(9), "b".to_owned(), "c".to_owned()];
        assert_eq!(fitted(lines.clone(), 4, 3), ["éééé", "b", "c"]);
        assert_eq!(fitted(lines, 20, 2), ["ééééééééé", "... 2 more lines"]);
    }
}
