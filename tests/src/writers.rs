use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::node::Node;
use crate::process::die_with_parent;
use crate::programs::repository_root;

/// A client that writes all along through stock libpq, whichever of its hosts leads.
pub struct Writer {
    child: Child,
    told: PathBuf,
}

/// What a writer was told about one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The writer and its number of the row.
    pub key: (String, i64),
    /// `ack`, `unknown` or `refused`.
    pub outcome: String,
    /// The AUTOINCREMENT id that was given out, if it was acknowledged.
    pub id: i64,
    /// The timeline of the node, when the client connected to it.
    pub timeline: u32,
    /// The node's port.
    pub port: u16,
    /// When it was sent, and when the answer came, in seconds.
    pub began: f64,
    /// See `began`.
    pub ended: f64,
    /// The error.
    pub detail: String,
}

impl Writer {
    /// Starts one, writing into the table `written`. What it is told goes to `told`.
    ///
    /// # Panics
    /// When the drivers are not installed.
    pub fn start(conninfo: &str, name: &str, told: PathBuf) -> Writer {
        let python = crate::drivers::driver_dir().join("venv/bin/python");
        assert!(python.exists(), "{} is missing: run \"make install-deps\"", python.display());
        let out = std::fs::File::create(&told).expect("create the writer's record");
        let mut command = Command::new(python);
        command.arg(repository_root().join("tests/drivers/multi_host_writer.py")).args([conninfo, name]);
        command.stdin(Stdio::piped()).stdout(out);
        die_with_parent(&mut command, libc::SIGKILL);
        Writer { child: command.spawn().expect("start a writer"), told }
    }

    /// How many rows were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.told().iter().filter(|row| row.outcome == "ack").count()
    }

    /// What it was told so far.
    pub fn told(&self) -> Vec<Written> {
        let text = std::fs::read_to_string(&self.told).unwrap_or_default();
        // the last line may be half written
        let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
        whole.lines().map(parse).collect()
    }

    /// Ends it and returns what it was told.
    ///
    /// # Panics
    /// When it failed.
    pub fn finish(mut self) -> Vec<Written> {
        drop(self.child.stdin.take());
        let status = self.child.wait().expect("wait for a writer");
        assert!(status.success(), "a writer ended with {status}");
        self.told()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn parse(line: &str) -> Written {
    let fields: Vec<&str> = line.splitn(9, '\t').collect();
    let [writer, number, outcome, id, timeline, port, began, ended, detail] = fields.as_slice() else {
        panic!("a writer printed {line:?}");
    };
    fn read<T: std::str::FromStr>(text: &str) -> T {
        text.parse().unwrap_or_else(|_| panic!("a writer printed {text:?}"))
    }
    Written {
        key: ((*writer).to_owned(), read(number)),
        outcome: (*outcome).to_owned(),
        id: read(id),
        timeline: read(timeline),
        port: read(port),
        began: read(began),
        ended: read(ended),
        detail: (*detail).to_owned(),
    }
}

/// Everything that is wrong with what writers were told, and what `leader` has in the end.
/// `promised`: whether the level of the commits promised to survive what happened.
pub fn contradictions(told: &[Written], leader: &Node, promised: bool) -> Vec<String> {
    let mut wrong = Vec::new();
    let rows =
        leader.connect().query("SELECT writer, number, id FROM written").expect("read what was written");
    let text = |cell: &Option<String>| cell.clone().unwrap_or_default();
    let kept: BTreeMap<(String, i64), i64> = rows
        .iter()
        .map(|row| match row.as_slice() {
            [writer, number, id] => {
                ((text(writer), text(number).parse().unwrap_or(-1)), text(id).parse().unwrap_or(-1))
            }
            other => panic!("a row of written has {} columns", other.len()),
        })
        .collect();
    let acknowledged: Vec<&Written> = told.iter().filter(|row| row.outcome == "ack").collect();
    for row in &acknowledged {
        match kept.get(&row.key) {
            Some(&id) if id != row.id => {
                wrong.push(format!("{:?} was given id {} and has {id}", row.key, row.id));
            }
            None if promised => wrong.push(format!("acknowledged and lost: {row:?}")),
            _ => {}
        }
    }
    let sent: BTreeSet<&(String, i64)> =
        told.iter().filter(|row| row.outcome != "refused").map(|row| &row.key).collect();
    // rows of writers that were stopped before they were told
    let last: BTreeMap<&str, i64> = told.iter().map(|row| (row.key.0.as_str(), row.key.1)).collect();
    for key in kept.keys() {
        let is_last = last.get(key.0.as_str()).is_some_and(|last| key.1 > *last);
        if !sent.contains(key) && !is_last {
            wrong.push(format!("nobody was told that {key:?} may be there"));
        }
    }
    let mut ids: BTreeMap<i64, &Written> = BTreeMap::new();
    for row in &acknowledged {
        if let Some(other) = ids.insert(row.id, row) {
            wrong.push(format!("id {} was given out twice: {other:?} and {row:?}", row.id));
        }
    }
    if promised {
        wrong.extend(two_leaders(&acknowledged));
    }
    wrong
}

/// An acknowledgement on an older timeline that was asked for after one on a newer timeline
/// had been given.
fn two_leaders(acknowledged: &[&Written]) -> Vec<String> {
    let mut first_of: BTreeMap<u32, &Written> = BTreeMap::new();
    for row in acknowledged {
        let first = first_of.entry(row.timeline).or_insert(row);
        if row.ended < first.ended {
            *first = row;
        }
    }
    let newer = |row: &Written| {
        first_of
            .range(row.timeline + 1..)
            .map(|(_, first)| *first)
            .find(|first| row.began > first.ended)
            .cloned()
    };
    let pairs = acknowledged.iter().filter_map(|row| Some((newer(row)?, row)));
    pairs.map(|(newer, older)| format!("two leaders: {newer:?} came before {older:?}")).collect()
}
