//! A stock program that opens a database file and closes it again never takes the -wal away from a running node,
//! whatever the node has read of the file meanwhile; and a clean stop keeps it.
//!
//! SQLite deletes the -wal at the close of whoever believes to be the last; that is told by POSIX locks, and a process
//! loses all of its locks on a file when it closes any descriptor of it.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use walship_tests::{Lab, Node, assert_identical, sqlite3, wait_caught_up};

fn wal(node: &Node) -> PathBuf {
    node.database("postgres").with_extension("db-wal")
}

fn inode(node: &Node) -> u64 {
    std::fs::metadata(wal(node)).unwrap_or_else(|e| panic!("the -wal of {}: {e}", node.name())).ino()
}

/// Everything that reads database files: backups, checkpoints and restartpoints, a copy.
fn read_files(lab: &Lab, node: &Node, round: u32) {
    let port = node.port().to_string();
    let server = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres"];
    let (backup, copy) = (format!("backup-{}-{round}", node.name()), format!("{}-{round}.db", node.name()));
    lab.walctl(&[&["basebackup", "-D", &backup], &server[..]].concat()).success();
    lab.walctl(&[&["export", "postgres", &copy], &server[..]].concat()).success();
    node.sql("CHECKPOINT");
    node.sql("SELECT count(*) FROM t");
}

#[test]
fn a_stock_close_leaves_the_wal_of_a_running_node() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)");
    for round in 0..2 {
        leader.sql("INSERT INTO t(v) VALUES ('before')");
        wait_caught_up(&leader, &follower);
        for node in [&leader, &follower] {
            read_files(&lab, node, round);
            let before = inode(node);
            assert_ne!(sqlite3(&node.database("postgres"), "SELECT count(*) FROM t").success(), "0");
            assert_eq!(inode(node), before, "{} has another -wal now", node.name());
        }
        leader.sql("INSERT INTO t(v) VALUES ('behind')");
        assert_identical(&leader, &follower, "postgres");
    }
}

#[test]
fn a_clean_stop_keeps_the_wal_and_its_generation() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let mut follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES (1)");
    wait_caught_up(&leader, &follower);
    for node in [&mut leader, &mut follower] {
        node.stop();
        // salts and checkpoint sequence: what the log's positions name
        let header = std::fs::read(wal(node)).unwrap()[12..24].to_vec();
        node.start();
        assert_eq!(node.sql("SELECT v FROM t"), "1");
        assert_eq!(std::fs::read(wal(node)).unwrap()[12..24], header, "{} began a new -wal", node.name());
    }
    assert!(!leader.log().contains("lost logged commits"), "{}", leader.log());
    leader.sql("INSERT INTO t VALUES (2)");
    assert_identical(&leader, &follower, "postgres");
}
