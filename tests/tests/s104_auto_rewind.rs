//! `walreceiver --auto-rewind` brings an old leader back at its start, when it is needed
//! and only then.

use walship_tests::{Lab, Node, Role, assert_identical, wait_caught_up, wait_until};

use super::s100_rewind::Split;

const BEFORE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 2000)
    INSERT INTO t SELECT i, hex(randomblob(100)) FROM n";

fn unit_of(lab: &Lab, name: &str, primary: &str) -> Node {
    lab.node(Role::Follower, name, &["--auto-rewind", "--primary", primary, "--name", "old"])
}

#[test]
fn an_old_leader_is_rewound_by_its_start_and_a_new_one_is_left_alone() {
    let split =
        Split::make(BEFORE, &["UPDATE t SET v = 'lost' WHERE id = 7"], "UPDATE t SET v = 'new' WHERE id = 9");
    let mut old = unit_of(&split.lab, "leader", &split.source());
    old.start();
    assert_identical(&split.new, &old, "postgres");
    let log = old.log();
    assert!(log.contains("walreceiver: lost: 0/") && log.contains("tables: t"), "{log}");
    assert!(log.contains("1 transactions are lost and kept in"), "{log}");
    old.restart();
    assert_identical(&split.new, &old, "postgres");
    assert_eq!(old.log().matches("walreceiver: rewound to timeline").count(), 1);
}

#[test]
fn of_several_hosts_the_new_leader_is_the_source() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    leader.sql(BEFORE);
    let mut promoted = lab.follower_with("promoted", leader.port(), &[]);
    // follows nobody else, so that it stays on the old timeline
    let stale = lab.follower_with("stale", leader.port(), &[]);
    wait_caught_up(&leader, &promoted);
    wait_caught_up(&leader, &stale);
    promoted.kill();
    leader.sql("DELETE FROM t WHERE id > 1000");
    leader.kill();
    promoted.start();
    lab.walctl(&["promote", "-D", promoted.dir().to_str().unwrap()]).success();
    let ports = [leader.port(), stale.port(), promoted.port()].map(|port| port.to_string()).join(",");
    let all = format!("host=127.0.0.1,127.0.0.1,127.0.0.1 port={ports} user=postgres");
    let mut old = unit_of(&lab, "leader", &all);
    old.start();
    assert_identical(&promoted, &old, "postgres");
}

#[test]
fn a_leader_whose_follower_was_not_promoted_stays_the_leader() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let mut follower = lab.follower_with("next", leader.port(), &[]);
    leader.sql(BEFORE);
    wait_caught_up(&leader, &follower);
    leader.kill();
    let source = format!("host=127.0.0.1 port={} user=postgres", follower.port());
    let mut again = unit_of(&lab, "leader", &source);
    again.start();
    assert_eq!(again.sql("SELECT pg_is_in_recovery()"), "f");
    again.stop();
    follower.stop();
    // nobody can be asked: the directory knows its role
    again.start();
    assert_eq!(again.sql("SELECT pg_is_in_recovery()"), "f");
    assert!(again.log().contains("not looking whether this node has to be rewound"), "{}", again.log());
}

#[test]
fn a_new_leader_never_goes_back_to_the_old_one() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql(BEFORE);
    let mut promoted = lab.follower_with("promoted", leader.port(), &["--auto-rewind"]);
    wait_caught_up(&leader, &promoted);
    lab.walctl(&["promote", "-D", promoted.dir().to_str().unwrap()]).success();
    promoted.sql("DELETE FROM t WHERE id > 1000");
    // it comes back, and finds nobody but the old leader, fenced by now
    for crash in [true, false] {
        if crash {
            promoted.kill();
        } else {
            promoted.stop();
        }
        promoted.start();
        assert_eq!(promoted.sql("SELECT role, timeline FROM walship_stat_failover"), "leader|2");
        assert_eq!(promoted.sql("SELECT count(*) FROM t"), "1000");
    }
    assert_eq!(leader.sql("SELECT role FROM walship_stat_failover"), "fenced");
}

#[test]
fn a_follower_that_is_ahead_is_rewound_by_its_start_too() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    leader.sql(BEFORE);
    let mut promoted = lab.follower_with("promoted", leader.port(), &[]);
    let mut ahead = lab.follower_with("ahead", leader.port(), &[]);
    wait_caught_up(&leader, &promoted);
    wait_caught_up(&leader, &ahead);
    promoted.kill();
    leader.sql("DELETE FROM t WHERE id > 1000");
    wait_caught_up(&leader, &ahead);
    leader.kill();
    ahead.kill();
    promoted.start();
    lab.walctl(&["promote", "-D", promoted.dir().to_str().unwrap()]).success();
    let source = format!("host=127.0.0.1 port={} user=postgres", promoted.port());
    let mut ahead = unit_of(&lab, "ahead", &source);
    ahead.start();
    assert_identical(&promoted, &ahead, "postgres");
    wait_until("it streams", || promoted.sql("SELECT state FROM pg_stat_replication") == "streaming");
}
