//! Positions and lag in `pg_stat_replication` are what PostgreSQL would show: a throttled follower lags, an idle one
//! has no lag, and in a cascade each level shows its own.

use walship_tests::{Lab, Proxy, Session, Weather, wait_caught_up, wait_until};

const NO_LAG: &str =
    "SELECT write_lag IS NULL AND flush_lag IS NULL AND replay_lag IS NULL FROM pg_stat_replication";
const BLOB: &str = "INSERT INTO t VALUES (randomblob(200000))";

fn true_of(session: &Session, condition: &str) -> bool {
    session.value(&format!("SELECT {condition} FROM pg_stat_replication")) == "t"
}

#[test]
fn a_throttled_follower_lags_and_an_idle_one_has_no_lag() {
    let lab = Lab::new();
    let leader = lab.leader();
    let proxy = Proxy::to(leader.port());
    let follower = lab.follower_with("follower", proxy.port(), &["-c", "wal_receiver_status_interval=1s"]);
    let session = leader.connect();
    session.run("CREATE TABLE t(v BLOB)");
    wait_caught_up(&leader, &follower);
    wait_until("an idle follower has no lag", || session.value(NO_LAG) == "t");
    assert!(true_of(&session, "sent_lsn = replay_lsn AND sent_lsn = flush_lsn AND sent_lsn = write_lsn"));
    assert!(true_of(&session, "sent_lsn = pg_current_wal_flush_lsn() AND state = 'streaming'"));
    proxy.set(Weather::Slow);
    for _ in 0..20 {
        session.run(BLOB);
    }
    wait_until("a throttled follower has a lag above zero, and was sent more than it replayed", || {
        true_of(&session, "replay_lag > '00:00:00' AND pg_wal_lsn_diff(sent_lsn, replay_lsn) > 0")
    });
    assert!(true_of(&session, "write_lag <= flush_lag AND flush_lag <= replay_lag"));
    proxy.set(Weather::Fair);
    wait_caught_up(&leader, &follower);
    wait_until("it has none again", || session.value(NO_LAG) == "t");
}

#[test]
fn a_follower_that_stands_still_lags_more_and_more() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower_with("follower", leader.port(), &["-c", "wal_receiver_status_interval=1s"]);
    let session = leader.connect();
    session.run("CREATE TABLE t(v BLOB)");
    wait_caught_up(&leader, &follower);
    follower.sql("SELECT pg_wal_replay_pause()");
    session.run(BLOB);
    wait_until("what is written is durable there, and not visible", || {
        true_of(&session, "flush_lsn = sent_lsn AND pg_wal_lsn_diff(sent_lsn, replay_lsn) > 200000")
    });
    wait_until("replay lags by more than a second", || true_of(&session, "replay_lag > '00:00:01'"));
    assert!(true_of(&session, "flush_lag < '00:00:01'"));
    follower.sql("SELECT pg_wal_replay_resume()");
    wait_until("the lag is gone", || session.value(NO_LAG) == "t");
}

#[test]
fn each_level_of_a_cascade_shows_its_own_followers() {
    let lab = Lab::new();
    let leader = lab.leader();
    let interval = ["-c", "wal_receiver_status_interval=1s"];
    let middle = lab.follower_with("middle", leader.port(), &interval);
    let proxy = Proxy::to(middle.port());
    let last = lab.follower_with("last", proxy.port(), &interval);
    let (top, between) = (leader.connect(), middle.connect());
    top.run("CREATE TABLE t(v BLOB)");
    wait_caught_up(&leader, &last);
    assert_eq!(top.value("SELECT group_concat(application_name) FROM pg_stat_replication"), "middle");
    assert_eq!(between.value("SELECT group_concat(application_name) FROM pg_stat_replication"), "last");
    proxy.set(Weather::Slow);
    for _ in 0..10 {
        top.run(BLOB);
    }
    wait_caught_up(&leader, &middle);
    wait_until("the one in the middle has no lag", || top.value(NO_LAG) == "t");
    wait_until("its follower lags", || true_of(&between, "pg_wal_lsn_diff(sent_lsn, replay_lsn) > 0"));
    wait_until("and the lag is measured", || true_of(&between, "replay_lag > '00:00:00'"));
    proxy.set(Weather::Fair);
    wait_caught_up(&leader, &last);
    // replay that stands still in the middle does not hold back the log that goes through
    between.run("SELECT pg_wal_replay_pause()");
    top.run(BLOB);
    let end = top.value("SELECT pg_current_wal_flush_lsn()");
    last.sql(&format!("WAIT FOR LSN '{end}' WITH (TIMEOUT '60s')"));
    // readers see it before the report of that is there
    wait_until("the one in the middle knows", || true_of(&between, &format!("replay_lsn = '{end}'")));
    assert!(true_of(&top, "pg_wal_lsn_diff(sent_lsn, replay_lsn) > 0"));
    between.run("SELECT pg_wal_replay_resume()");
}

#[test]
fn feedback_about_readers_is_accepted_shown_and_changes_nothing() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower_with("follower", leader.port(), &["-c", "hot_standby_feedback=on"]);
    assert_eq!(follower.sql("SHOW hot_standby_feedback"), "on");
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES (1)");
    wait_caught_up(&leader, &follower);
    let reader = follower.connect();
    reader.run("BEGIN; SELECT * FROM t");
    leader.sql("DROP TABLE t");
    leader.sql("VACUUM");
    wait_caught_up(&leader, &follower);
    // neither was replay held up, nor was the reader ended
    assert_eq!(reader.value("SELECT v FROM t"), "1");
    assert_eq!(leader.sql("SELECT backend_xmin IS NULL FROM pg_stat_replication"), "t");
}
