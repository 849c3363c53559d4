//! A node that recovers brings its files to the end of its log as one transaction: a reader of another process, which
//! may have seen all of it before the crash, sees the state before or the state after, and never goes back.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use walship_tests::{Lab, Node, Reader, assert_identical, wait_caught_up};

/// All rows always have the same number.
const STATE: &str = "SELECT min(v) || ' ' || max(v) || ' ' || count(*) FROM t;";
const ROWS: u32 = 3000;

fn files(node: &Node) -> [PathBuf; 2] {
    let database = node.database("postgres");
    [database.clone(), database.with_extension("db-wal")]
}

fn copy(files: [PathBuf; 2], to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in files {
        std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

/// Puts the files of an earlier moment back, as a power cut does, and starts the node beside a reader.
fn recover_beside_a_reader(node: &mut Node, saved: &Path, before: u32, after: u32) {
    node.kill();
    for file in files(node) {
        std::fs::copy(saved.join(file.file_name().unwrap()), &file).unwrap();
    }
    let _ = std::fs::remove_file(node.database("postgres").with_extension("db-shm"));
    let mut reader = Reader::open(&node.database("postgres"));
    let state = |number: u32| format!("{number} {number} {ROWS}");
    assert_eq!(reader.ask(STATE), state(before));
    let ready = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut seen = vec![state(before)];
            while !ready.load(Ordering::Relaxed) {
                let found = reader.ask(STATE);
                if seen.last() != Some(&found) {
                    seen.push(found);
                }
            }
            seen.push(reader.ask(STATE));
            seen
        });
        node.start();
        ready.store(true, Ordering::Relaxed);
        let mut seen = watching.join().unwrap();
        seen.dedup();
        assert_eq!(seen, [state(before), state(after)], "what a reader saw while {} recovered", node.name());
    });
}

#[test]
fn a_reader_never_sees_half_of_a_recovery() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let mut follower = lab.follower(&leader);
    leader.sql(&format!(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v INTEGER, pad TEXT); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) \
         INSERT INTO t SELECT i, 1, hex(randomblob(60)) FROM n"
    ));
    wait_caught_up(&leader, &follower);
    leader.sql("CHECKPOINT");
    follower.sql("CHECKPOINT");
    let (leaders, followers) = (lab.path().join("leader.saved"), lab.path().join("follower.saved"));
    copy(files(&leader), &leaders);
    copy(files(&follower), &followers);
    let session = leader.connect();
    for number in 2..=9 {
        session.run(&format!("UPDATE t SET v = {number}"));
    }
    wait_caught_up(&leader, &follower);
    recover_beside_a_reader(&mut follower, &followers, 1, 9);
    recover_beside_a_reader(&mut leader, &leaders, 1, 9);
    assert_identical(&leader, &follower, "postgres");
}
