//! Forks where the source's timeline does not begin: nodes that were promoted by mistake,
//! or twice.

use walship_tests::{Lab, Role, assert_identical, wait_caught_up};

const BEFORE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 2000)
    INSERT INTO t SELECT i, hex(randomblob(100)) FROM n";

fn promote(lab: &Lab, dir: &std::path::Path) {
    lab.walctl(&["promote", "-D", dir.to_str().unwrap()]).success();
}

fn rewind(lab: &Lab, dir: &std::path::Path, port: u16) -> String {
    let source = format!("host=127.0.0.1 port={port} user=postgres");
    lab.walctl(&["rewind", "-D", dir.to_str().unwrap(), "--source", &source]).success()
}

#[test]
fn a_follower_that_was_promoted_by_mistake_goes_back_to_the_leader() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql(BEFORE);
    let mut mistaken = lab.follower_with("mistaken", leader.port(), &[]);
    leader.sql("UPDATE t SET v = 'both' WHERE id = 1");
    wait_caught_up(&leader, &mistaken);
    promote(&lab, mistaken.dir());
    mistaken.sql("UPDATE t SET v = 'lost' WHERE id BETWEEN 100 AND 1900");
    let port = leader.port().to_string();
    lab.walctl(&["unfence", "-h", "127.0.0.1", "-p", &port]).success();
    leader.sql("UPDATE t SET v = v || '!' WHERE id = 1");
    leader.sql("DELETE FROM t WHERE id = 500");
    mistaken.stop();
    let text = rewind(&lab, mistaken.dir(), leader.port());
    assert!(text.contains("rewound: timeline 1,"), "{text}");
    assert!(!mistaken.dir().join("pg_wal/00000002.history").exists());
    let mut back = lab.node(Role::Follower, "mistaken", &[]);
    back.start();
    assert_identical(&leader, &back, "postgres");
    leader.sql("UPDATE t SET v = 'on we go' WHERE id = 2");
    assert_identical(&leader, &back, "postgres");
    promote(&lab, back.dir());
    assert_eq!(back.sql("SELECT v FROM t WHERE id = 2"), "on we go");
}

#[test]
fn two_nodes_that_were_promoted_at_the_same_place_are_told_apart() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    leader.sql(BEFORE);
    let one = lab.follower_with("one", leader.port(), &[]);
    let mut other = lab.follower_with("other", leader.port(), &[]);
    wait_caught_up(&leader, &one);
    wait_caught_up(&leader, &other);
    leader.kill();
    promote(&lab, one.dir());
    promote(&lab, other.dir());
    one.sql("UPDATE t SET v = 'one' WHERE id < 10");
    other.sql("UPDATE t SET v = 'other' WHERE id > 1990");
    other.stop();
    // both call it timeline 2, and their histories are the same
    let text = rewind(&lab, other.dir(), one.port());
    assert!(text.starts_with("fork: the cluster left timeline 1 at 0/"), "{text}");
    assert!(text.contains("own log: timeline 2 up to 0/"), "{text}");
    let mut back = lab.node(Role::Follower, "other", &[]);
    back.start();
    assert_identical(&one, &back, "postgres");
    // the old leader has it easier
    let text = rewind(&lab, leader.dir(), one.port());
    let mut back = lab.node(Role::Follower, "leader", &[]);
    back.start();
    assert_identical(&one, &back, "postgres");
    assert!(text.contains("timeline 2"), "{text}");
}
