//! A planned change of roles: not one commit is lost, no number is skipped, sessions stay,
//! and whoever fails half-way leaves one leader.

use std::time::{Duration, Instant};

use walship_tests::{
    Lab, Load, Node, Output, Proxy, Role, Weather, assert_identical, wait_caught_up, wait_until,
};

/// A leader and a follower that can change places, both started.
fn pair(lab: &Lab) -> (Node, Node) {
    let leader = lab.leader_with(&["-c", "cluster_name=first"]);
    let follower = lab.follower_with("second", leader.port(), &[]);
    (leader, follower)
}

fn conninfo(port: u16) -> String {
    format!("host=127.0.0.1 port={port} user=postgres connect_timeout=2")
}

fn switchover(lab: &Lab, from: &Node, to_port: u16, more: &[&str]) -> Output {
    let (from, to) = (conninfo(from.port()), conninfo(to_port));
    let mut arguments = vec!["switchover", "--from", from.as_str(), "--to", to.as_str()];
    arguments.extend_from_slice(more);
    lab.walctl(&arguments)
}

fn leads(node: &Node) -> bool {
    node.sql("SELECT role FROM walship_stat_failover") == "leader"
}

#[test]
fn roles_change_there_and_back() {
    let lab = Lab::new();
    let (mut first, mut second) = pair(&lab);
    first.sql("CREATE TABLE n(id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO n(v) VALUES('one')");
    wait_caught_up(&first, &second);
    let (there, here) = (first.connect(), second.connect());
    there.run("INSERT INTO n(v) VALUES('two')");
    assert!(here.query("INSERT INTO n(v) VALUES('too early')").is_err());
    let done = switchover(&lab, &first, second.port(), &[]).success();
    assert!(done.starts_with("switched over: timeline 2 begins at 0/"), "{done}");
    assert!(done.contains("writers were held up for"), "{done}");
    // the session on the new leader writes, and no number is missing
    here.run("INSERT INTO n(v) VALUES('three')");
    assert_eq!(here.value("SELECT group_concat(id, ' ') FROM n"), "1 2 3");
    // the old leader follows at once, in the same process, and its sessions read on
    assert_identical(&second, &first, "postgres");
    assert_eq!(there.value("SELECT count(*) FROM n"), "3");
    assert_eq!(there.value("SHOW in_hot_standby"), "on");
    let refused = there.query("INSERT INTO n(v) VALUES('lost')").unwrap_err();
    assert_eq!(refused.code, "57P01", "{refused}");
    assert!(refused.detail.contains("leads timeline 2"), "{refused}");
    let refused = first.connect().query("INSERT INTO n(v) VALUES('lost')").unwrap_err();
    assert_eq!(refused.code, "25006", "{refused}");
    // and back, and both start commands still do
    switchover(&lab, &second, first.port(), &[]).success();
    first.sql("INSERT INTO n(v) VALUES('four')");
    assert_identical(&first, &second, "postgres");
    second.restart();
    first.kill();
    first.start();
    first.sql("INSERT INTO n(v) VALUES('five')");
    assert_identical(&first, &second, "postgres");
    assert_eq!(second.sql("SELECT group_concat(id, ' ') FROM n"), "1 2 3 4 5");
    assert_eq!(first.sql("SELECT timeline FROM walship_stat_failover"), "3");
}

#[test]
fn under_load_nothing_acknowledged_is_lost() {
    let lab = Lab::new();
    let (first, second) = pair(&lab);
    let load = Load::start(&first, 8);
    load.wait_for(300);
    let done = switchover(&lab, &first, second.port(), &["--json"]).success();
    assert!(done.contains("\"timeline\": 2"), "{done}");
    let record = load.finish_with("25006");
    record.verify(&second);
    assert_identical(&second, &first, "postgres");
    record.verify(&first);
}

#[test]
fn what_goes_wrong_before_the_hand_over_leaves_the_leader() {
    let lab = Lab::new();
    let (first, mut second) = pair(&lab);
    first.sql("CREATE TABLE t(v)");
    wait_caught_up(&first, &second);
    let refused = |output: Output, message: &str| {
        assert_eq!(output.status, Some(1), "{}", output.stdout);
        assert!(output.stderr.contains(message), "{}", output.stderr);
        assert!(leads(&first) && !first.dir().join("standby.signal").exists());
        first.sql("INSERT INTO t VALUES('still the leader')");
    };
    // to itself, to nobody, to another cluster, from a follower
    refused(switchover(&lab, &first, first.port(), &[]), "is not a follower");
    refused(switchover(&lab, &first, 1, &[]), "could not reach the follower");
    let stranger = lab.node(Role::Leader, "stranger", &[]);
    let mut stranger = stranger;
    stranger.start();
    let strange = lab.follower_with("strange", stranger.port(), &[]);
    refused(switchover(&lab, &first, strange.port(), &[]), "is of another cluster");
    refused(switchover(&lab, &second, strange.port(), &[]), "this node is not a leader");
    // a transaction that does not end in time, which goes on afterwards
    let long = first.connect();
    long.run("BEGIN");
    long.run("INSERT INTO t VALUES('long')");
    let output = switchover(&lab, &first, second.port(), &["--hold", "1"]);
    assert_eq!(output.status, Some(1));
    assert!(output.stderr.contains("the writers could not be held up within 1.0 s"), "{}", output.stderr);
    long.run("COMMIT");
    // a follower that stops answering while writers wait
    second.pause();
    let begun = Instant::now();
    let output = switchover(&lab, &first, second.port(), &["--hold", "2", "-t", "5"]);
    second.resume();
    assert!(begun.elapsed() < Duration::from_secs(30));
    refused(output, "could not reach the follower");
    // and when all is well again, it is done
    wait_caught_up(&first, &second);
    switchover(&lab, &first, second.port(), &[]).success();
    assert!(leads(&second));
    assert_eq!(second.sql("SELECT count(*) FROM t WHERE v = 'long'"), "1");
}

#[test]
fn a_follower_that_is_cut_off_while_writers_wait_changes_nothing() {
    let lab = Lab::new();
    let (first, second) = {
        let first = lab.leader_with(&["-c", "cluster_name=first"]);
        let to_first = Proxy::to(first.port());
        let second = lab.follower_with("second", to_first.port(), &[]);
        first.sql("CREATE TABLE t(v)");
        wait_caught_up(&first, &second);
        // it can be asked, and gets nothing any more
        to_first.set(Weather::Silent);
        first.sql("INSERT INTO t VALUES('never sent')");
        let output = switchover(&lab, &first, second.port(), &["--hold", "1"]);
        assert_eq!(output.status, Some(1));
        assert!(output.stderr.contains("has the log up to"), "{}", output.stderr);
        (first, second)
    };
    assert!(leads(&first) && !leads(&second));
    first.sql("INSERT INTO t VALUES('goes on')");
}

#[test]
fn a_crash_at_any_step_leaves_one_leader_at_most() {
    for place in ["switchover: standby.signal", "switchover: taken over", "switchover: control file"] {
        let lab = Lab::new();
        let mut first = lab.node(Role::Leader, "first", &["-c", "cluster_name=first"]);
        first.set_variable("WALSHIP_TEST_DIE_AT", place);
        first.start();
        let second = lab.follower_with("second", first.port(), &[]);
        first.sql("CREATE TABLE t(v); INSERT INTO t VALUES('kept')");
        wait_caught_up(&first, &second);
        let output = switchover(&lab, &first, second.port(), &[]);
        assert_eq!(output.status, Some(1), "{place}: {}", output.stdout);
        first.wait_ended();
        first.set_variable("WALSHIP_TEST_DIE_AT", "");
        first.start();
        assert!(!leads(&first), "{place}: the old leader came up as a leader");
        if !leads(&second) {
            assert_eq!(place, "switchover: standby.signal");
            lab.walctl(&["promote", "-D", second.dir().to_str().unwrap()]).success();
        }
        second.sql("INSERT INTO t VALUES('new')");
        wait_until("the old leader follows", || first.sql("SELECT count(*) FROM t") == "2");
        assert_identical(&second, &first, "postgres");
    }
}
