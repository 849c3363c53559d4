//! A leader that was lost, or set back to before a mistake, is replaced from an archive: its
//! followers have log that the replacement never had. They say so, and a rewind makes them
//! followers of the replacement.

use std::fs;

use walship_tests::{Lab, Node, Role, TestArchive, assert_identical, golden, wait_caught_up, wait_until};

const ROWS: &str = "SELECT group_concat(v, ' ') FROM t WHERE length(v) < 100";

fn conninfo(node: &Node) -> String {
    format!("host=127.0.0.1 port={} user=postgres", node.port())
}

/// The replacement of a leader that is down, started.
fn replacement(lab: &Lab, target: &[&str]) -> Node {
    lab.restore("backup", "replacement", &[&["--keep-system-id"], target].concat()).success();
    let mut node = lab.node(Role::Leader, "replacement", &[]);
    node.start();
    node.sql("INSERT INTO t(v) VALUES ('of the replacement')");
    node
}

/// A stopped follower, started again with the replacement as its primary.
fn follow(lab: &Lab, leader: &Node) -> Node {
    let mut follower = lab.node(Role::Follower, "follower", &["--primary", &conninfo(leader)]);
    follower.start();
    follower
}

#[test]
fn a_follower_of_what_was_set_back_is_rewound() {
    let lab = Lab::new();
    let archive = TestArchive::new(&lab);
    let mut leader = archive.leader(&lab);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES ('kept')");
    lab.base_backup(&leader, "backup");
    leader.sql("SELECT pg_create_restore_point('before the mistake')");
    leader.sql("INSERT INTO t(v) VALUES ('mistaken'), (randomblob(2500000))");
    // it has no log from before the mistake
    let mut follower = lab.follower(&leader);
    leader.sql("INSERT INTO t(v) VALUES ('more of it')");
    archive.complete(&leader);
    wait_caught_up(&leader, &follower);
    leader.kill();
    follower.stop();
    drop(follower);
    let replacement = replacement(&lab, &["--target-name", "before the mistake"]);
    let mut follower = follow(&lab, &replacement);
    wait_until("it says that it is ahead", || follower.log().contains("rewind it with walctl rewind"));
    let line = follower.log().lines().find(|line| line.contains("rewind it with")).unwrap().to_owned();
    let line = line.split_once("WARNING:").map_or(line.as_str(), |(_, rest)| rest).trim();
    golden("replacement_follower_is_ahead", line, lab.path());
    assert_eq!(follower.sql(ROWS), "kept mistaken more of it", "it no longer answers");
    follower.stop();
    let source = conninfo(&replacement);
    let rewind = || lab.walctl(&["rewind", "-D", "follower", "--source", &source]);
    let missing = regex::Regex::new(r"(\$SEGMENT|[0-9A-F]{24})(, [0-9A-F]{24})*").unwrap();
    let refused = rewind();
    golden(
        "replacement_rewind_lacks_log",
        &missing.replace_all(&refused.transcript(), "SEGMENTS"),
        lab.path(),
    );
    // as the hint says: the archive has it
    for entry in fs::read_dir(archive.path()).unwrap() {
        let path = entry.unwrap().path();
        let to = follower.dir().join("pg_wal").join(path.file_name().unwrap());
        if !to.exists() {
            fs::copy(path, to).unwrap();
        }
    }
    let told = rewind().success();
    assert!(told.contains("transactions lost: 2"), "{told}");
    follower.start();
    assert_identical(&replacement, &follower, "postgres");
    assert_eq!(follower.sql(ROWS), "kept of the replacement");
}
