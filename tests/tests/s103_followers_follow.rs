//! Followers find the new leader and stream across its promotion, however long they were
//! away; one that has too much says so, and one that has a part of a record cuts it off.

use walship_tests::{Lab, Node, Proxy, Role, Weather, assert_identical, wait_caught_up, wait_until};

fn hosts(nodes: &[&Node]) -> String {
    let ports: Vec<String> = nodes.iter().map(|node| node.port().to_string()).collect();
    let names = vec!["127.0.0.1"; nodes.len()].join(",");
    format!("host={names} port={} user=postgres", ports.join(","))
}

fn follower_of(lab: &Lab, name: &str, conninfo: &str) -> Node {
    lab.node(
        Role::Follower,
        name,
        &["--primary", conninfo, "--name", name, "-c", "wal_retrieve_retry_interval=200ms"],
    )
}

fn promote(lab: &Lab, node: &Node) {
    lab.walctl(&["promote", "-D", node.dir().to_str().unwrap()]).success();
}

#[test]
fn a_follower_that_was_down_during_several_switches_goes_through_all_of_them() {
    let lab = Lab::new();
    let mut a = lab.leader();
    a.sql("CREATE TABLE t(v); INSERT INTO t VALUES('one')");
    let mut b = lab.follower_with("b", a.port(), &["--no-slot"]);
    let mut c = lab.follower_with("c", b.port(), &["--no-slot"]);
    let mut late = follower_of(&lab, "late", &hosts(&[&a, &b, &c]));
    late.start();
    wait_caught_up(&a, &late);
    wait_caught_up(&a, &c);
    late.kill();
    a.sql("INSERT INTO t VALUES('two')");
    wait_caught_up(&a, &c);
    a.kill();
    promote(&lab, &b);
    b.sql("INSERT INTO t VALUES('three')");
    wait_caught_up(&b, &c);
    b.kill();
    promote(&lab, &c);
    c.sql("INSERT INTO t VALUES('four')");
    late.start();
    assert_identical(&c, &late, "postgres");
    assert_eq!(late.sql("SELECT group_concat(v, ' ') FROM t"), "one two three four");
    // one more below it, and one more switch above
    let mut below = follower_of(&lab, "below", &hosts(&[&late]));
    below.start();
    assert_identical(&c, &below, "postgres");
    c.kill();
    promote(&lab, &late);
    late.sql("INSERT INTO t VALUES('five')");
    assert_identical(&late, &below, "postgres");
}

#[test]
fn all_nodes_may_list_all_nodes_and_a_frozen_leader_holds_nobody_up() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let mut b = lab.node(Role::Follower, "b", &[]);
    let mut c = lab.node(Role::Follower, "c", &[]);
    let all = hosts(&[&leader, &b, &c]);
    for node in [&mut b, &mut c] {
        node.add_arguments(&["--primary", &all, "-c", "wal_retrieve_retry_interval=200ms"]);
        let name = node.name().to_owned();
        node.add_arguments(&["--name", &name]);
        node.start();
    }
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES('one')");
    wait_caught_up(&leader, &b);
    wait_caught_up(&leader, &c);
    leader.pause();
    b.restart();
    c.restart();
    promote(&lab, &b);
    b.sql("INSERT INTO t VALUES('two')");
    assert_identical(&b, &c, "postgres");
    leader.resume();
    leader.kill();
}

#[test]
fn of_two_that_lead_the_one_on_the_newest_timeline_is_followed() {
    let lab = Lab::new();
    let old = lab.leader();
    old.sql("CREATE TABLE t(v); INSERT INTO t VALUES('one')");
    let promoted = lab.follower_with("promoted", old.port(), &[]);
    let mut follower = follower_of(&lab, "follower", &hosts(&[&old, &promoted]));
    follower.start();
    wait_caught_up(&old, &promoted);
    wait_caught_up(&old, &follower);
    follower.kill();
    // the old leader comes first in the list, and runs
    promote(&lab, &promoted);
    promoted.sql("INSERT INTO t VALUES('two')");
    follower.start();
    assert_identical(&promoted, &follower, "postgres");
    assert_eq!(follower.sql("SELECT count(*) FROM t"), "2");
}

#[test]
fn a_follower_that_lacks_nothing_streams_and_reports_at_once() {
    let lab = Lab::new();
    // no keepalive makes up for what was not sent
    let leader = lab.leader_with(&["-c", "wal_sender_timeout=0"]);
    leader.sql("CREATE TABLE t(v)");
    let mut follower = lab.follower(&leader);
    wait_caught_up(&leader, &follower);
    follower.restart();
    wait_until("it streams", || follower.sql("SELECT status FROM pg_stat_wal_receiver") == "streaming");
    wait_until("the leader knows where it is", || {
        leader.sql("SELECT sent_lsn = flush_lsn AND flush_lsn = replay_lsn FROM pg_stat_replication") == "t"
    });
}

#[test]
fn a_leader_that_appears_among_the_hosts_is_found_well_before_the_next_attempt() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES('one')");
    let between = lab.follower_with("between", leader.port(), &[]);
    let link = Proxy::to(leader.port());
    link.set(Weather::Cut);
    let (first, second) = (link.port(), between.port());
    let primary = format!("host=127.0.0.1,127.0.0.1 port={first},{second} user=postgres");
    let arguments = ["--primary", &primary, "--name", "below", "-c", "wal_retrieve_retry_interval=10min"];
    let mut below = lab.node(Role::Follower, "below", &arguments);
    below.start();
    wait_caught_up(&between, &below);
    link.set(Weather::Fair);
    let port = first.to_string();
    wait_until("it goes over to the leader", || {
        below.sql("SELECT sender_port FROM pg_stat_wal_receiver") == port
    });
}

#[test]
fn a_leader_that_hands_over_is_left_for_the_one_that_leads() {
    let lab = Lab::new();
    let first = lab.leader();
    let second = lab.follower_with("second", first.port(), &[]);
    first.sql("CREATE TABLE t(v); INSERT INTO t VALUES('one')");
    let primary = hosts(&[&first, &second]);
    let arguments = ["--primary", &primary, "--name", "third", "-c", "wal_retrieve_retry_interval=10min"];
    let mut third = lab.node(Role::Follower, "third", &arguments);
    third.start();
    wait_caught_up(&first, &third);
    // from here on its log comes from a node that leads no more, over the same connection
    let (from, to) = (hosts(&[&first]), hosts(&[&second]));
    lab.walctl(&["switchover", "--from", &from, "--to", &to]).success();
    second.sql("INSERT INTO t VALUES('two')");
    let port = second.port().to_string();
    wait_until("it goes over to the leader", || {
        third.sql("SELECT sender_port FROM pg_stat_wal_receiver") == port
    });
    assert_identical(&second, &third, "postgres");
}

#[test]
fn a_follower_that_is_ahead_refuses_and_can_be_rewound() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES('one')");
    let mut promoted = lab.follower_with("promoted", leader.port(), &[]);
    wait_caught_up(&leader, &promoted);
    let mut ahead = follower_of(&lab, "ahead", &hosts(&[&leader, &promoted]));
    ahead.start();
    promoted.kill();
    leader.sql("INSERT INTO t VALUES('lost')");
    wait_caught_up(&leader, &ahead);
    leader.kill();
    promoted.start();
    promote(&lab, &promoted);
    promoted.sql("INSERT INTO t VALUES('two')");
    wait_until("the follower says that it is ahead", || {
        let log = ahead.log();
        log.contains("left it at 0/") && log.contains("walctl rewind")
    });
    assert_eq!(ahead.sql("SELECT group_concat(v, ' ') FROM t"), "one lost");
    ahead.stop();
    let source = hosts(&[&promoted]);
    let text = lab.walctl(&["rewind", "-D", ahead.dir().to_str().unwrap(), "--source", &source]).success();
    assert!(text.contains("\ntransactions lost: 1;"), "{text}");
    ahead.start();
    assert_identical(&promoted, &ahead, "postgres");
}

#[test]
fn a_follower_never_goes_back_to_an_older_timeline() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES('one')");
    let promoted = lab.follower_with("promoted", leader.port(), &[]);
    wait_caught_up(&leader, &promoted);
    leader.kill();
    promote(&lab, &promoted);
    let mut follower = follower_of(&lab, "follower", &hosts(&[&promoted]));
    follower.start();
    wait_caught_up(&promoted, &follower);
    follower.stop();
    // the old leader is back, and still thinks that it is one
    leader.start();
    leader.sql("INSERT INTO t VALUES('nobody wants this')");
    let mut follower = follower_of(&lab, "follower", &hosts(&[&leader]));
    follower.start();
    wait_until("the follower refuses the old leader", || {
        follower.log().contains("highest timeline 1 of the primary is behind recovery timeline 2")
    });
    assert_eq!(follower.sql("SELECT count(*) FROM t"), "1");
    follower.stop();
    let mut follower = follower_of(&lab, "follower", &hosts(&[&leader, &promoted]));
    follower.start();
    promoted.sql("INSERT INTO t VALUES('two')");
    assert_identical(&promoted, &follower, "postgres");
}

#[test]
fn a_part_of_a_record_beyond_the_switch_is_cut_off_while_the_follower_runs() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES('one')");
    let mut promoted = lab.follower_with("promoted", leader.port(), &[]);
    let proxy = Proxy::to(leader.port());
    let conninfo =
        format!("host=127.0.0.1,127.0.0.1 port={},{} user=postgres", proxy.port(), promoted.port());
    let mut follower = follower_of(&lab, "follower", &conninfo);
    follower.start();
    wait_caught_up(&leader, &follower);
    wait_caught_up(&leader, &promoted);
    promoted.kill();
    let before = follower.connect().value("SELECT pg_last_wal_receive_lsn()");
    proxy.set(Weather::Slow);
    let received = || follower.connect().value("SELECT pg_last_wal_receive_lsn()");
    leader.sql("INSERT INTO t VALUES(randomblob(3000000))");
    wait_until("a part of the record has come", || received() != before);
    proxy.set(Weather::Cut);
    leader.kill();
    assert_eq!(follower.sql("SELECT count(*) FROM t"), "1", "nothing of it was applied");
    promoted.start();
    promote(&lab, &promoted);
    promoted.sql("INSERT INTO t VALUES('two')");
    assert_identical(&promoted, &follower, "postgres");
    assert!(follower.log().contains("cut off the part of a record"), "{}", follower.log());
    promoted.sql("INSERT INTO t VALUES('three')");
    assert_identical(&promoted, &follower, "postgres");
    follower.kill();
    follower.start();
    assert_identical(&promoted, &follower, "postgres");
}
