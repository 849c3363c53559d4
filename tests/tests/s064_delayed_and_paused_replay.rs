//! Replay that is delayed or paused: the log goes on arriving, readers see what they saw, and neither a restart nor a
//! reload shows more than the delay allows.

use std::time::{Duration, Instant};

use walship_tests::{Lab, Node, wait_caught_up, wait_until};

const ROWS: &str = "SELECT count(*) FROM t";

fn wait_received(leader: &Node, follower: &Node) {
    let end = leader.sql("SELECT pg_current_wal_flush_lsn()");
    let session = follower.connect();
    let received = format!("SELECT pg_wal_lsn_diff(pg_last_wal_receive_lsn(), '{end}') >= 0");
    wait_until("the follower has received everything", || session.value(&received) == "t");
}

fn set_delay(follower: &Node, delay: &str) {
    let session = follower.connect();
    session.run(&format!("ALTER SYSTEM SET recovery_min_apply_delay = '{delay}'"));
    session.run("SELECT pg_reload_conf()");
}

#[test]
fn a_delayed_follower_keeps_young_commits_back_through_restarts() {
    let lab = Lab::new();
    let leader = lab.leader();
    let mut follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(v INTEGER); INSERT INTO t VALUES (1)");
    wait_caught_up(&leader, &follower);
    set_delay(&follower, "1h");
    leader.sql("INSERT INTO t VALUES (2)");
    wait_received(&leader, &follower);
    assert_eq!(follower.sql(ROWS), "1");
    follower.restart();
    assert_eq!(follower.sql(ROWS), "1", "a stop showed what was to be held back");
    follower.kill();
    leader.sql("INSERT INTO t VALUES (3)");
    follower.start();
    wait_received(&leader, &follower);
    assert_eq!(follower.sql(ROWS), "1", "recovery showed what was to be held back");
    // the mistake is found in time: what came before it is still there to be read
    set_delay(&follower, "0");
    wait_caught_up(&leader, &follower);
    assert_eq!(follower.sql(ROWS), "3");
    // a longer delay takes nothing back that was seen
    set_delay(&follower, "2h");
    follower.kill();
    follower.start();
    assert_eq!(follower.sql(ROWS), "3");
}

#[test]
fn a_delay_is_counted_from_the_commit() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower_with("follower", leader.port(), &["-c", "recovery_min_apply_delay=2s"]);
    leader.sql("CREATE TABLE t(v INTEGER)");
    wait_caught_up(&leader, &follower);
    let (writer, reader) = (leader.connect(), follower.connect());
    let before = Instant::now();
    writer.run("INSERT INTO t VALUES (1)");
    wait_until("the row is visible", || reader.value(ROWS) == "1");
    let passed = before.elapsed();
    assert!(passed >= Duration::from_secs(2), "visible after {passed:?}");
}

#[test]
fn a_promotion_does_not_wait_for_the_delay() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let follower = lab.follower_with("follower", leader.port(), &["-c", "recovery_min_apply_delay=1h"]);
    leader.sql("CREATE TABLE t(v INTEGER); INSERT INTO t VALUES (1)");
    wait_received(&leader, &follower);
    leader.kill();
    follower.sql("SELECT pg_promote(true, 60)");
    assert_eq!(follower.sql(ROWS), "1");
}

#[test]
fn a_paused_follower_says_so_and_goes_on_where_it_was() {
    let lab = Lab::new();
    let leader = lab.leader();
    let mut follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(v INTEGER); INSERT INTO t VALUES (1)");
    wait_caught_up(&leader, &follower);
    let state = "SELECT pg_is_wal_replay_paused(), pg_get_wal_replay_pause_state()";
    assert_eq!(follower.sql(state), "f|not paused");
    follower.sql("SELECT pg_wal_replay_pause()");
    wait_until("replay is at rest", || follower.sql(state) == "t|paused");
    leader.sql("INSERT INTO t VALUES (2)");
    wait_received(&leader, &follower);
    assert_eq!(follower.sql(ROWS), "1");
    follower.sql("SELECT pg_wal_replay_resume()");
    assert_eq!(follower.sql("SELECT pg_is_wal_replay_paused()"), "f");
    wait_caught_up(&leader, &follower);
    assert_eq!(follower.sql(ROWS), "2");
    // as in PostgreSQL, a pause ends with the process
    follower.sql("SELECT pg_wal_replay_pause()");
    leader.sql("INSERT INTO t VALUES (3)");
    follower.restart();
    wait_caught_up(&leader, &follower);
    assert_eq!(follower.sql(ROWS), "3");
    for call in ["pg_wal_replay_pause()", "pg_wal_replay_resume()", "pg_is_wal_replay_paused()"] {
        let error = leader.connect().error(&format!("SELECT {call}"));
        assert_eq!((error.code.as_str(), error.message.as_str()), ("55000", "recovery is not in progress"));
    }
}
