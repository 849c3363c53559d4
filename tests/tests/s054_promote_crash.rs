//! A promotion that is killed at any of its steps is finished or undone by the next start,
//! a full disk leaves a follower, and the same command then does it.

use walship_tests::{Lab, Node, SmallDisk, golden, wait_caught_up, wait_until};

/// Each step, and whether the next start finishes what was begun before it.
const STEPS: [(&str, bool); 7] = [
    ("promote: history file", false),
    ("promote: first segment", false),
    ("promote: control file", true),
    ("promote: standby.signal", true),
    ("promote: end of recovery", true),
    ("promote: sequences", true),
    ("promote: answered", true),
];

fn promote(lab: &Lab, node: &Node) -> walship_tests::Output {
    lab.walctl(&["promote", "-D", node.dir().to_str().unwrap()])
}

#[test]
fn a_promotion_killed_at_any_step_is_finished_or_undone() {
    for (step, finished) in STEPS {
        let lab = Lab::new();
        let mut leader = lab.leader();
        let mut next = lab.follower(&leader);
        leader.sql("CREATE TABLE n(id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO n(v) VALUES('old')");
        wait_caught_up(&leader, &next);
        next.stop();
        next.set_variable("WALSHIP_TEST_DIE_AT", step);
        next.start();
        wait_caught_up(&leader, &next);
        leader.kill();
        let _ = promote(&lab, &next);
        next.wait_ended();
        next.set_variable("WALSHIP_TEST_DIE_AT", "");
        next.start();
        let follows = next.sql("SELECT pg_is_in_recovery()");
        assert_eq!(follows, if finished { "f" } else { "t" }, "after {step}");
        if !finished {
            // the leader is followed as before, and the number of the timeline is not used again
            leader.start();
            leader.sql("INSERT INTO n(v) VALUES('followed')");
            wait_caught_up(&leader, &next);
            leader.kill();
            promote(&lab, &next).success();
            assert_eq!(next.sql("SELECT timeline FROM walship_stat_failover"), "3", "after {step}");
        }
        next.sql("INSERT INTO n(v) VALUES('new')");
        let id: i64 = next.sql("SELECT id FROM n WHERE v = 'new'").parse().unwrap();
        assert!(id >= 1002, "after {step}: no number was skipped before {id}");
        next.kill();
        next.start();
        assert_eq!(next.sql("SELECT count(*) FROM n WHERE v IN ('old', 'new')"), "2", "after {step}");
        assert_eq!(next.sql("PRAGMA integrity_check"), "ok");
    }
}

#[test]
fn a_full_disk_leaves_a_follower() {
    let lab = Lab::new();
    let leader = lab.leader_with(&["--wal-segment-size=1MB"]);
    let disk = SmallDisk::mount(&lab.path().join("follower"));
    let next = lab.follower(&leader);
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES('one')");
    wait_caught_up(&leader, &next);
    disk.fill();
    let refused = promote(&lab, &next);
    golden("promote_full_disk", &refused.transcript(), lab.path());
    assert_eq!(next.sql("SELECT pg_is_in_recovery()"), "t");
    disk.make_room();
    leader.sql("INSERT INTO t VALUES('two')");
    wait_until("it follows as before", || next.sql("SELECT count(*) FROM t") == "2");
    promote(&lab, &next).success();
    next.sql("INSERT INTO t VALUES('three')");
}
