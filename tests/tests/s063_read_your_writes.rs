//! A client reads what it wrote on any node: it asks for the position of its last commit, and waits for that position
//! wherever it reads.

use walship_tests::{Lab, wait_until};

const LAST: &str = "SELECT walship_last_commit_lsn()";

#[test]
fn the_position_of_the_last_commit_is_one_call_away_and_waited_for_anywhere() {
    let lab = Lab::new();
    let leader = lab.leader();
    let middle = lab.follower_with("middle", leader.port(), &[]);
    let last = lab.follower_with("last", middle.port(), &[]);
    let (writer, other) = (leader.connect(), leader.connect());
    assert_eq!(writer.value(LAST), "", "no commit yet");
    writer.run("CREATE TABLE t(v INTEGER)");
    let readers = [middle.connect(), last.connect(), leader.connect()];
    for v in 1..=50 {
        // another session's commit in between changes nothing
        other.run("CREATE TABLE IF NOT EXISTS o(v); INSERT INTO o VALUES (1)");
        writer.run(&format!("INSERT INTO t VALUES ({v})"));
        other.run("INSERT INTO o VALUES (2)");
        let lsn = writer.value(LAST);
        let reader = &readers[v % 3];
        reader.run(&format!("WAIT FOR LSN '{lsn}' WITH (TIMEOUT '60s')"));
        assert_eq!(reader.value("SELECT max(v) FROM t"), v.to_string());
    }
    assert_eq!(writer.value("SELECT walship_last_commit_lsn() < pg_current_wal_insert_lsn()"), "t");
    // reading and a transaction that changes nothing leave it alone
    let lsn = writer.value(LAST);
    writer.run("SELECT count(*) FROM t; BEGIN; COMMIT; BEGIN; INSERT INTO t VALUES (99); ROLLBACK");
    assert_eq!(writer.value(LAST), lsn);
}

#[test]
fn a_wait_ends_by_time_by_cancel_and_by_what_cannot_come() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    let reader = follower.connect();
    let far = "FF/0";
    let error = reader.error(&format!("WAIT FOR LSN '{far}' WITH (TIMEOUT '50ms')"));
    assert_eq!(error.code, "57014", "{error}");
    assert!(error.message.contains("timed out"), "{error}");
    assert_eq!(reader.value(&format!("WAIT FOR LSN '{far}' WITH (TIMEOUT '50ms', NO_THROW)")), "timeout");
    assert_eq!(reader.value("WAIT FOR LSN '0/1' WITH (NO_THROW)"), "success");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| follower.connect().error(&format!("WAIT FOR LSN '{far}'")));
        let find = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'WAIT FOR LSN%' AND state = 'active'";
        wait_until("a session waits", || !reader.value(find).is_empty());
        reader.run(&format!("SELECT pg_cancel_backend({})", reader.value(find)));
        assert_eq!(waiting.join().unwrap().code, "57014");
    });
    // a leader has what it has, and never waits for what it has not written
    let writer = leader.connect();
    let end = writer.value("SELECT pg_current_wal_insert_lsn()");
    writer.run(&format!("WAIT FOR LSN '{end}'"));
    let error = writer.error(&format!("WAIT FOR LSN '{far}'"));
    assert_eq!(error.code, "55000");
    assert_eq!(error.message, "recovery is not in progress");
    assert!(error.detail.contains("before FF/0"), "{error}");
}
