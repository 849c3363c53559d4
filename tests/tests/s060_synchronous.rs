//! Commits wait for the followers that `synchronous_standby_names` says, at the level that the session asks for, and
//! what was acknowledged is on the follower when the leader is gone.

use std::thread;

use walship_tests::{Lab, Node, Session, wait_until};

const WAITS: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND wait_event_type = 'IPC'";

fn set_names(session: &Session, names: &str) {
    session.run(&format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"));
    session.run("SELECT pg_reload_conf()");
}

fn wait_for_state(session: &Session, name: &str, state: &str) {
    let sql = format!("SELECT sync_state FROM pg_stat_replication WHERE application_name = '{name}'");
    wait_until(&format!("{name} is {state}"), || session.value(&sql) == state);
}

/// Runs `sql` in a session of its own, and lets `meanwhile` act while it waits for followers.
fn while_it_waits(leader: &Node, sql: &str, meanwhile: impl FnOnce(&Session)) {
    let watcher = leader.connect();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| leader.connect().run(sql));
        wait_until("the commit waits for SyncRep", || watcher.value(WAITS) == "1");
        meanwhile(&watcher);
        waiting.join().unwrap();
    });
    assert_eq!(watcher.value(WAITS), "0");
}

#[test]
fn a_commit_waits_until_its_follower_is_there_and_survives_the_leader() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let session = leader.connect();
    session.run("CREATE TABLE t(v INTEGER)");
    let mut follower = lab.follower(&leader);
    set_names(&session, "FIRST 1 (other, \"Follower\")");
    wait_for_state(&session, "follower", "sync");
    assert_eq!(session.value("SELECT sync_priority FROM pg_stat_replication"), "2");
    session.run("INSERT INTO t VALUES (1)");
    follower.kill();
    // these levels ask for nothing from others
    session.run("SET synchronous_commit = local; INSERT INTO t VALUES (2)");
    session.run("BEGIN; SET LOCAL synchronous_commit = off; INSERT INTO t VALUES (3); COMMIT; RESET synchronous_commit");
    while_it_waits(&leader, "INSERT INTO t VALUES (4)", |_| follower.start());
    for i in 5..50 {
        session.run(&format!("INSERT INTO t VALUES ({i})"));
    }
    leader.kill();
    wait_until("the follower shows every commit", || follower.sql("SELECT count(*) FROM t") == "49");
}

#[test]
fn remote_apply_is_read_your_writes_without_a_wait() {
    let lab = Lab::new();
    let leader = lab.leader_with(&["-c", "synchronous_standby_names=*", "-c", "synchronous_commit=local"]);
    let follower = lab.follower(&leader);
    let (writer, reader) = (leader.connect(), follower.connect());
    wait_for_state(&writer, "follower", "sync");
    writer.run("SET synchronous_commit = remote_apply; CREATE TABLE t(v INTEGER)");
    for i in 1..=100 {
        writer.run(&format!("INSERT INTO t VALUES ({i})"));
        assert_eq!(reader.value("SELECT max(v) FROM t"), i.to_string());
    }
    // replay that is paused holds that level, and no other
    reader.run("SELECT pg_wal_replay_pause()");
    writer.run("SET synchronous_commit = on; INSERT INTO t VALUES (101)");
    writer.run("SET synchronous_commit = remote_write; INSERT INTO t VALUES (102)");
    while_it_waits(&leader, "SET synchronous_commit = remote_apply; INSERT INTO t VALUES (103)", |_| {
        reader.run("SELECT pg_wal_replay_resume()");
    });
    assert_eq!(reader.value("SELECT max(v) FROM t"), "103");
}

#[test]
fn a_reload_judges_waiting_commits_again() {
    let lab = Lab::new();
    let leader = lab.leader();
    let session = leader.connect();
    session.run("CREATE TABLE t(v INTEGER)");
    let _follower = lab.follower(&leader);
    set_names(&session, "nobody");
    wait_for_state(&session, "follower", "async");
    while_it_waits(&leader, "INSERT INTO t VALUES (1)", |watcher| {
        set_names(watcher, "ANY 1 (nobody, follower)");
    });
    wait_for_state(&session, "follower", "quorum");
    set_names(&session, "2 (follower, nobody)");
    while_it_waits(&leader, "INSERT INTO t VALUES (2)", |watcher| set_names(watcher, ""));
    assert!(leader.log().contains("commits wait: too few of the followers"), "{}", leader.log());
    session.run("INSERT INTO t VALUES (3)");
    let error = session.error("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (a b)'");
    assert_eq!(error.code, "22023");
    assert!(error.hint.contains("at or near \"b\" (at character 10)"), "{error}");
}

#[test]
fn a_cancelled_wait_leaves_the_commit_and_warns() {
    let lab = Lab::new();
    let leader = lab.leader_with(&["-c", "synchronous_standby_names=nobody"]);
    leader.sql("SET synchronous_commit = local; CREATE TABLE t(v INTEGER)");
    let waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    let watcher = leader.connect();
    for (function, told) in [
        ("pg_cancel_backend", "WARNING:  canceling wait for synchronous replication due to user request"),
        ("pg_terminate_backend", "canceling the wait for synchronous replication and terminating connection"),
    ] {
        thread::scope(|scope| {
            let insert = "SET statement_timeout = '300ms'; INSERT INTO t VALUES (1)";
            let psql = scope.spawn(|| leader.psql("postgres", &["-c", insert]));
            wait_until("the commit waits", || !watcher.value(waiting).is_empty());
            watcher.run(&format!("SELECT {function}({})", watcher.value(waiting)));
            let output = psql.join().unwrap();
            assert!(output.stderr.contains(told), "{}", output.stderr);
            assert!(output.stderr.contains("has already committed locally"), "{}", output.stderr);
        });
    }
    assert_eq!(watcher.value("SELECT count(*) FROM t"), "2");
}
