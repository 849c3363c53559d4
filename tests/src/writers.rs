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

/// What has to be true of what writers were told.
pub struct Promises<'a> {
    /// Whether a commit that was acknowledged on that timeline has to be there in the end.
    pub kept: &'a dyn Fn(u32) -> bool,
    /// Timelines, and since when nobody may have acknowledged anything on an older one, in
    /// seconds of [`monotonic_seconds`].
    pub begun: &'a [(u32, f64)],
    /// Whether the first acknowledgement on a timeline ends all older ones.
    pub one_leader: bool,
}

/// Everything that is wrong with what writers were told, and what `leader` has in the end.
///
/// # Panics
/// When what was written cannot be read.
pub fn contradictions(told: &[Written], leader: &Node, promises: &Promises<'_>) -> Vec<String> {
    let kept = kept_rows(leader);
    let acknowledged: Vec<&Written> = told.iter().filter(|row| row.outcome == "ack").collect();
    let mut wrong = Vec::new();
    for row in &acknowledged {
        match kept.get(&row.key) {
            Some(&id) if id != row.id => {
                wrong.push(format!("{:?} was given id {} and has {id}", row.key, row.id));
            }
            None if (promises.kept)(row.timeline) => wrong.push(format!("acknowledged and lost: {row:?}")),
            _ => {}
        }
    }
    wrong.extend(invented(told, &kept));
    let mut ids: BTreeMap<i64, &Written> = BTreeMap::new();
    for row in &acknowledged {
        if let Some(other) = ids.insert(row.id, row) {
            wrong.push(format!("id {} was given out twice: {other:?} and {row:?}", row.id));
        }
    }
    let mut begun = promises.begun.to_vec();
    if promises.one_leader {
        begun.extend(first_acknowledged(&acknowledged));
    }
    for row in &acknowledged {
        if let Some((timeline, at)) =
            begun.iter().find(|(timeline, at)| row.timeline < *timeline && row.began > *at)
        {
            wrong.push(format!("two leaders: timeline {timeline} had begun at {at:.6}, and then {row:?}"));
        }
    }
    wrong
}

fn kept_rows(leader: &Node) -> BTreeMap<(String, i64), i64> {
    let rows =
        leader.connect().query("SELECT writer, number, id FROM written").expect("read what was written");
    let text = |cell: &Option<String>| cell.clone().unwrap_or_default();
    let number = |cell: &Option<String>| text(cell).parse().unwrap_or(-1);
    rows.iter()
        .map(|row| match row.as_slice() {
            [writer, of_writer, id] => ((text(writer), number(of_writer)), number(id)),
            other => panic!("a row of written has {} columns", other.len()),
        })
        .collect()
}

/// Rows that are there although nobody sent them, or their client was told that they are not.
fn invented(told: &[Written], kept: &BTreeMap<(String, i64), i64>) -> Vec<String> {
    let sent: BTreeSet<&(String, i64)> =
        told.iter().filter(|row| row.outcome != "refused").map(|row| &row.key).collect();
    let rows = kept.keys().filter(|key| !sent.contains(key));
    rows.map(|key| format!("nobody was told that {key:?} may be there")).collect()
}

/// When the first commit on each timeline was acknowledged.
fn first_acknowledged(acknowledged: &[&Written]) -> BTreeMap<u32, f64> {
    let mut first = BTreeMap::new();
    for row in acknowledged {
        let at = first.entry(row.timeline).or_insert(row.ended);
        *at = at.min(row.ended);
    }
    first
}

/// The clock of the writers' records.
pub fn monotonic_seconds() -> f64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime writes one timespec, which is ours.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    // microseconds of centuries fit the mantissa
    #[expect(clippy::cast_precision_loss, reason = "a few nanoseconds more or less")]
    let seconds = now.tv_sec as f64 + now.tv_nsec as f64 / 1e9;
    seconds
}
