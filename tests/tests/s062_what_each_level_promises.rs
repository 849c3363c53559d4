//! Each level of `synchronous_commit` keeps its promise when leader and follower are killed in the middle of a load:
//! what survives is read, and held against what was acknowledged.

use walship_tests::{Lab, Load, Node, Proxy, Session, Weather, assert_identical, wait_until};

const SYNCHRONOUS: &str = "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')";

fn leader(lab: &Lab, names: &str, level: &str) -> Node {
    let names = format!("synchronous_standby_names={names}");
    let level = format!("synchronous_commit={level}");
    lab.leader_with(&["-c", &names, "-c", &level])
}

fn wait_for_synchronous(session: &Session, count: &str) {
    wait_until("the followers are synchronous", || session.value(SYNCHRONOUS) == count);
}

fn promote(node: &Node) {
    node.sql("SELECT pg_promote(true, 60)");
}

#[test]
fn off_and_local_promise_what_the_leader_has() {
    for level in ["off", "local"] {
        let lab = Lab::new();
        let mut leader = leader(&lab, "nobody", level);
        let load = Load::start(&leader, 4);
        load.wait_for(300);
        leader.kill();
        let record = load.finish();
        leader.start();
        if level == "local" {
            record.verify(&leader);
        }
        assert_eq!(leader.sql("PRAGMA integrity_check"), "ok");
    }
}

#[test]
fn remote_write_survives_the_loss_of_the_leader_and_a_kill_of_the_follower() {
    survives_the_leader("remote_write");
}

#[test]
fn on_survives_the_loss_of_the_leader_and_a_kill_of_the_follower() {
    survives_the_leader("on");
}

#[test]
fn remote_apply_survives_the_loss_of_the_leader_and_a_kill_of_the_follower() {
    survives_the_leader("remote_apply");
}

fn survives_the_leader(level: &str) {
    let lab = Lab::new();
    let mut leader = leader(&lab, "follower", level);
    let mut follower = lab.follower(&leader);
    wait_for_synchronous(&leader.connect(), "1");
    let load = Load::start(&leader, 8);
    load.wait_for(300);
    // the follower goes and comes back, and commits wait meanwhile
    follower.kill();
    follower.start();
    load.wait_for(300);
    leader.kill();
    follower.kill();
    let record = load.finish();
    follower.start();
    promote(&follower);
    assert!(record.len() >= 600);
    record.verify(&follower);
}

#[test]
fn the_next_of_the_list_steps_in_and_keeps_the_promise() {
    let lab = Lab::new();
    let mut leader = leader(&lab, "FIRST 1 (a, b)", "on");
    let mut first = lab.follower_with("a", leader.port(), &[]);
    let second = lab.follower_with("b", leader.port(), &[]);
    let session = leader.connect();
    let synchronous = "SELECT application_name FROM pg_stat_replication WHERE sync_state = 'sync'";
    wait_until("the first of the list is synchronous", || session.value(synchronous) == "a");
    let load = Load::start(&leader, 8);
    load.wait_for(200);
    first.kill();
    load.wait_for(200);
    assert_eq!(session.value(synchronous), "b");
    leader.kill();
    let record = load.finish();
    promote(&second);
    record.verify(&second);
}

#[test]
fn any_two_of_three_hold_every_commit_when_one_of_them_is_lost_with_the_leader() {
    let lab = Lab::new();
    let mut leader = leader(&lab, "ANY 2 (*)", "on");
    let proxy = Proxy::to(leader.port());
    let mut one = lab.follower_with("one", leader.port(), &[]);
    let two = lab.follower_with("two", leader.port(), &[]);
    let slow = lab.follower_with("slow", proxy.port(), &[]);
    wait_for_synchronous(&leader.connect(), "3");
    proxy.set(Weather::Slow);
    let load = Load::start(&leader, 8);
    load.wait_for(500);
    leader.kill();
    one.kill();
    let record = load.finish();
    // at least one of those that are left has each commit; here it is the one that kept up
    promote(&two);
    record.verify(&two);
    drop(slow);
}

#[test]
fn a_leader_that_is_cut_off_acknowledges_nothing() {
    let lab = Lab::new();
    let leader = leader(&lab, "follower", "on");
    let proxy = Proxy::to(leader.port());
    let follower = lab.follower_with("follower", proxy.port(), &["-c", "wal_retrieve_retry_interval=200ms"]);
    let session = leader.connect();
    wait_for_synchronous(&session, "1");
    let load = Load::start(&leader, 8);
    for weather in [Weather::Cut, Weather::Silent] {
        load.wait_for(100);
        proxy.set(weather);
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        wait_until("every client waits", || session.value(waiting) == "8");
        let acknowledged = load.count();
        let received = follower.sql("SELECT count(*) FROM ledger").parse::<u64>().unwrap();
        assert!(acknowledged <= received, "{acknowledged} acknowledged, and the follower has {received}");
        assert_eq!(session.value(waiting), "8");
        assert_eq!(load.count(), acknowledged);
        proxy.set(Weather::Fair);
    }
    let record = load.finish();
    assert_identical(&leader, &follower, "postgres");
    record.verify(&follower);
}

#[test]
fn a_leader_that_was_frozen_goes_on_where_it_was() {
    let lab = Lab::new();
    let mut leader = lab.leader_with(&[
        "-c",
        "synchronous_standby_names=follower",
        "-c",
        "wal_sender_timeout=3s",
        "-c",
        "wal_receiver_status_interval=1s",
    ]);
    let follower = lab.follower_with(
        "follower",
        leader.port(),
        &[
            "-c",
            "wal_receiver_timeout=2s",
            "-c",
            "wal_sender_timeout=2s",
            "-c",
            "wal_receiver_status_interval=1s",
            "-c",
            "wal_retrieve_retry_interval=200ms",
        ],
    );
    let watcher = follower.connect();
    wait_for_synchronous(&leader.connect(), "1");
    let load = Load::start(&leader, 4);
    load.wait_for(100);
    leader.pause();
    wait_until("the follower gives the frozen leader up", || {
        watcher.value("SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'") == "0"
    });
    leader.resume();
    load.wait_for(100);
    let record = load.finish();
    assert_identical(&leader, &follower, "postgres");
    record.verify(&follower);
}
