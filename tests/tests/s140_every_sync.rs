//! Every sync that docs/durability.md names happens, and in the order that makes it worth
//! something: the operating system's own account of it, by strace.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use walship_tests::{Lab, Node, Process, Role, output_of, repository_root, wait_caught_up, wait_until};

const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Rows of the table in docs/durability.md that are held here.
const HELD_HERE: [&str; 11] = [
    "a new segment",
    "appended records",
    "a history file",
    "each database's -wal",
    "`base/NAME.hash`",
    "`base/NAME.db`",
    "the checkpoint record",
    "`control`",
    "a slot",
    "a segment in `archive_directory`",
    "`archive_status/NAME.done`",
];
/// Those that other tests hold: by losing the power of a simulated disk (crates/wal/tests/log/power_loss.rs and
/// crates/wal/src/abandon.rs), or by interrupting what is at it (s085, s101).
const HELD_ELSEWHERE: [&str; 5] = [
    "the tail behind the end of the log",
    "removal of later segments",
    "`control`, before a rewind",
    "abandoned segments",
    "a restored cluster",
];

/// A node under strace.
struct Traced<'a> {
    lab: &'a Lab,
    node: &'a Node,
    process: Process,
    trace: PathBuf,
}

impl<'a> Traced<'a> {
    fn start(lab: &'a Lab, node: &'a Node) -> Traced<'a> {
        let trace = lab.path().join(format!("{}.trace", node.name()));
        let inner = node.command();
        let mut command = Command::new("strace");
        // as a grandchild (-D), so that signals reach the node itself
        command.args(["-D", "-f", "-q", "-y", "-e", "trace=fsync,fdatasync,rename,renameat,renameat2", "-o"]);
        command.arg(&trace).arg(inner.get_program()).args(inner.get_args());
        let log = lab.path().join(format!("{}.log", node.name()));
        let mut process = Process::spawn("strace (package strace)", command, &log);
        wait_until(&format!("{} accepts connections", node.name()), || {
            assert!(process.exited().is_none(), "it ended: {}", process.output());
            node.is_ready()
        });
        Traced { lab, node, process, trace }
    }

    /// What was synced and renamed so far, in the order in which it was done.
    fn events(&self) -> Vec<String> {
        let trace = std::fs::read_to_string(&self.trace).expect("strace writes a trace");
        let mut begun: HashMap<&str, &str> = HashMap::new();
        let mut events = Vec::new();
        for line in trace.lines() {
            let Some((thread, call)) = line.split_once(' ') else { continue };
            let call = call.trim_start();
            if let Some(call) = call.strip_suffix(" <unfinished ...>") {
                begun.insert(thread, call);
            } else if call.ends_with("= 0") {
                let call = if call.starts_with("<...") { begun.remove(thread).unwrap_or("") } else { call };
                events.extend(self.event(call));
            }
        }
        events
    }

    /// `sync FILE` or `rename FILE`, the file named within the data directory, or the test's.
    fn event(&self, call: &str) -> Option<String> {
        let (name, arguments) = call.split_once('(')?;
        let (what, path) = match name {
            "fsync" | "fdatasync" => ("sync", arguments.split_once('<')?.1.split_once('>')?.0),
            _ => ("rename", arguments.split('"').nth(1)?),
        };
        let path = Path::new(path);
        let within = path.strip_prefix(self.node.dir()).or_else(|_| path.strip_prefix(self.lab.path()));
        let path = within.ok()?.to_str()?;
        let path = if path.is_empty() { "." } else { path };
        Some(format!("{what} {}", hide_segment(path)))
    }

    /// What `work` causes to be synced before it ends.
    fn during(&self, work: impl FnOnce()) -> Vec<String> {
        let before = self.events().len();
        work();
        self.events().split_off(before)
    }

    fn stop(mut self) {
        self.process.signal(libc::SIGTERM);
        assert!(self.process.wait_exit(STOP_LIMIT).success(), "{}", self.process.output());
    }
}

/// The path with SEGMENT for the 24 digits of a segment's name, and without the number behind them.
fn hide_segment(path: &str) -> String {
    let is_digit = |byte: &u8| byte.is_ascii_hexdigit();
    let at =
        (0..path.len()).find(|&at| path.as_bytes()[at..].iter().take_while(|b| is_digit(b)).count() == 24);
    let Some(at) = at else { return path.to_owned() };
    let rest = path[at + 24..].trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('.');
    format!("{}SEGMENT{rest}", &path[..at])
}

/// Each of `expected` comes after the one before it.
fn assert_in_order(what: &str, events: &[String], expected: &[&str]) {
    let mut rest = events.iter();
    for wanted in expected {
        assert!(
            rest.any(|event| event == wanted),
            "{what}: no \"{wanted}\" in its place ({expected:?}) among\n{}",
            events.join("\n")
        );
    }
}

const NEW_CONTROL: [&str; 3] = ["sync control.tmp", "rename control.tmp", "sync ."];

/// Page hashes after the pages, both before what names the redo point.
const REDO_POINT: [&str; 5] = [
    "sync base/postgres.db-wal",
    "sync base/postgres.db",
    "sync base/postgres.hash.tmp",
    "rename base/postgres.hash.tmp",
    "sync base",
];

#[test]
fn the_table_of_syncs_is_held_row_by_row() {
    let page = std::fs::read_to_string(repository_root().join("docs/durability.md")).unwrap();
    let (_, section) = page.split_once("## Every sync").expect("the section is there");
    let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let mut documented: Vec<&str> = rows.filter_map(|row| row.split('|').nth(1)).map(str::trim).collect();
    let mut held: Vec<&str> = HELD_HERE.into_iter().chain(HELD_ELSEWHERE).collect();
    documented.sort_unstable();
    held.sort_unstable();
    assert_eq!(documented, held);
}

#[test]
fn a_leader_syncs_what_it_promises_in_order() {
    let lab = Lab::new();
    let archive = lab.path().join("archive");
    std::fs::create_dir(&archive).unwrap();
    let archive = format!("archive_directory={}", archive.display());
    let arguments =
        ["--wal-segment-size", "1MB", "-c", "sqlite_wal_seal_size=1MB", "-c", "archive_mode=on", "-c"];
    let node = lab.node(Role::Leader, "leader", &[&arguments[..], &[&archive]].concat());
    let leader = Traced::start(&lab, &node);
    let new_segment =
        ["sync pg_wal/SEGMENT.tmp", "rename pg_wal/SEGMENT.tmp", "sync pg_wal", "sync pg_wal/SEGMENT"];
    assert_in_order("the start", &leader.events(), &new_segment);
    assert_in_order("the start", &leader.events(), &NEW_CONTROL);

    let commit = leader.during(|| drop(node.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB)")));
    assert_in_order("a commit", &commit, &["sync pg_wal/SEGMENT"]);

    let checkpoint = leader.during(|| drop(node.sql("CHECKPOINT")));
    let named: Vec<&str> = [&REDO_POINT[..], &["sync pg_wal/SEGMENT"], &NEW_CONTROL].concat();
    assert_in_order("a checkpoint", &checkpoint, &named);

    let create = leader.during(|| drop(node.sql("CREATE DATABASE shop")));
    let renamed = ["sync pg_wal/SEGMENT", "rename base/shop.db.new", "sync base"];
    assert_in_order("a new database", &create, &renamed);

    let slot = leader.during(|| drop(node.sql("SELECT pg_create_physical_replication_slot('s')")));
    let made = [
        "sync pg_replslot",
        "sync pg_replslot/s/state.tmp",
        "rename pg_replslot/s/state.tmp",
        "sync pg_replslot/s",
    ];
    assert_in_order("a slot", &slot, &made);
    let dropped = leader.during(|| drop(node.sql("SELECT pg_drop_replication_slot('s')")));
    assert_in_order("a slot that is dropped", &dropped, &["sync pg_replslot"]);

    let archived = leader.during(|| {
        let done = "SELECT archived_count > 0 FROM pg_stat_archiver";
        node.sql("SELECT pg_switch_wal()");
        wait_until("a segment is archived", || node.sql(done) == "t");
    });
    let copied = [
        "sync archive/.archiving.SEGMENT",
        "rename archive/.archiving.SEGMENT",
        "sync archive",
        "rename pg_wal/archive_status/SEGMENT.ready",
        "sync pg_wal/archive_status",
    ];
    assert_in_order("a segment that is archived", &archived, &copied);

    let large = leader.during(|| {
        let before = leader.events().len();
        for _ in 0..4 {
            node.sql("INSERT INTO t(b) VALUES (randomblob(800000))");
        }
        wait_until("the file of the database is synced", || {
            leader.events().iter().skip(before).any(|event| event == "sync base/postgres.db")
        });
    });
    assert_in_order("growth", &large, &new_segment);
    let backfill = ["sync pg_wal/SEGMENT", "sync base/postgres.db-wal", "sync base/postgres.db"];
    assert_in_order("frames that move into the file", &large, &backfill);

    // a program that does not sync has moved what is about to be overwritten
    let foreign = leader.during(|| {
        let sql =
            "PRAGMA synchronous=OFF; INSERT INTO t(b) VALUES (randomblob(2000000)); PRAGMA wal_checkpoint;";
        output_of(Command::new("sqlite3").arg(node.dir().join("base/postgres.db")).arg(sql)).success();
        let wal = || std::fs::read(node.dir().join("base/postgres.db-wal")).unwrap()[12..24].to_vec();
        let before = wal();
        wait_until("the -wal restarts", || wal() != before);
    });
    assert_in_order("what another program has moved", &foreign, &backfill);
    leader.stop();
}

#[test]
fn a_follower_syncs_what_it_promises_in_order() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(a)");
    let primary = format!("host=127.0.0.1 port={} user=postgres", leader.port());
    let node = lab.node(Role::Follower, "follower", &["--primary", &primary, "--name", "follower"]);
    let follower = Traced::start(&lab, &node);
    wait_caught_up(&leader, &node);

    let received = follower.during(|| {
        leader.sql("INSERT INTO t VALUES (1)");
        wait_caught_up(&leader, &node);
    });
    assert_in_order("what was received", &received, &["sync pg_wal/SEGMENT"]);

    let restartpoint = follower.during(|| {
        leader.sql("CHECKPOINT");
        wait_caught_up(&leader, &node);
        node.sql("CHECKPOINT");
    });
    let named: Vec<&str> = [&REDO_POINT[..], &NEW_CONTROL].concat();
    assert_in_order("a restartpoint", &restartpoint, &named);

    let promotion = follower.during(|| assert_eq!(node.sql("SELECT pg_promote()"), "t"));
    let history = [
        "sync pg_wal/00000002.history.tmp",
        "rename pg_wal/00000002.history.tmp",
        "sync pg_wal",
        "sync control.tmp",
        "rename control.tmp",
        "sync .",
        "sync pg_wal/SEGMENT",
    ];
    assert_in_order("a promotion", &promotion, &history);
    follower.stop();
}
