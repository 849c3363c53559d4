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

#[test]
fn a_follower_that_has_more_than_the_archive_had_is_rewound() {
    let lab = Lab::new();
    let archive = TestArchive::new(&lab);
    let mut leader = archive.leader(&lab);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES ('kept')");
    lab.base_backup(&leader, "backup");
    let mut follower = lab.follower(&leader);
    // the archive ends with a segment, where the replacement's own log begins
    archive.complete(&leader);
    leader.sql("INSERT INTO t(v) VALUES ('not archived')");
    wait_caught_up(&leader, &follower);
    leader.kill();
    follower.stop();
    let replacement = replacement(&lab, &[]);
    let source = conninfo(&replacement);
    let told = lab.walctl(&["rewind", "-D", "follower", "--source", &source]).success();
    assert!(told.contains("transactions lost: 1"), "{told}");
    drop(follower);
    let follower = follow(&lab, &replacement);
    assert_identical(&replacement, &follower, "postgres");
    assert_eq!(follower.sql(ROWS), "kept of the replacement");
}

#[test]
fn two_replacements_of_one_leader_are_told_apart() {
    let lab = Lab::new();
    let archive = TestArchive::new(&lab);
    let mut leader = archive.leader(&lab);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES ('kept')");
    lab.base_backup(&leader, "backup");
    archive.complete(&leader);
    leader.kill();
    // both call it timeline 2, and only one of them is continued by timeline 3
    lab.restore("backup", "twin", &["--keep-system-id"]).success();
    let mut twin = lab.node(Role::Leader, "twin", &["-c", "wal_keep_size=64MB"]);
    twin.start();
    twin.sql("INSERT INTO t(v) VALUES ('of the twin only')");
    twin.sql("SELECT pg_switch_wal()");
    twin.sql("INSERT INTO t(v) VALUES ('on it goes')");
    twin.stop();
    lab.restore("backup", "first", &["--keep-system-id"]).success();
    let mut first = lab.node(Role::Leader, "first", &["-c", "archive_mode=on", "-c", &archive.setting()]);
    first.start();
    first.sql("INSERT INTO t(v) VALUES ('of the first')");
    archive.complete(&first);
    first.stop();
    lab.restore("backup", "second", &["--keep-system-id"]).success();
    let mut second = lab.node(Role::Leader, "second", &[]);
    second.start();
    assert_eq!(second.sql(ROWS), "kept of the first");
    let refused = lab.walctl(&["rewind", "-D", "twin", "--source", &conninfo(&second)]).failure();
    assert!(refused.contains("WAL segment 000000020000000000000002 has already been removed"), "{refused}");
    assert!(refused.contains("hint: the source no longer has the log since the fork"), "{refused}");
    twin.start();
    assert_eq!(twin.sql(ROWS), "kept of the twin only on it goes", "it is what it was");
}
