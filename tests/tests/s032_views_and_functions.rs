//! PostgreSQL's functions and views, where they have a meaning, tell the truth.

use walship_tests::{Lab, wait_caught_up, wait_until};

#[test]
fn positions_move_and_compare_as_positions() {
    let lab = Lab::new();
    let leader = lab.leader();
    let session = leader.connect();
    let before = session.value("SELECT pg_current_wal_insert_lsn()");
    session.run("CREATE TABLE t(v); INSERT INTO t VALUES (1)");
    let moved = session.value(&format!("SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '{before}') > 0"));
    assert!(["t", "1"].contains(&moved.as_str()), "{moved}");
    // the numbers, not the letters, decide
    assert_eq!(
        session.value("SELECT pg_wal_lsn_diff('0/1A000000', '0/A000000')"),
        (0x1000_0000_u64).to_string()
    );
    let name = session.value("SELECT pg_walfile_name(pg_current_wal_lsn())");
    assert!(leader.dir().join("pg_wal").join(&name).exists(), "{name}");
    assert_eq!(session.value("SELECT pg_is_in_recovery()"), "f");
}

#[test]
fn both_ends_of_the_stream_are_shown() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES (1)");
    let lsn = wait_caught_up(&leader, &follower).to_string();
    let session = leader.connect();
    wait_until("the leader knows that all of it is replayed", || {
        session.value("SELECT replay_lsn FROM pg_stat_replication WHERE application_name = 'follower'") == lsn
    });
    assert_eq!(session.value("SELECT state FROM pg_stat_replication"), "streaming");
    assert_eq!(session.value("SELECT sync_state FROM pg_stat_replication"), "async");
    assert_eq!(session.value("SELECT active FROM pg_replication_slots WHERE slot_name = 'follower'"), "t");
    let reader = follower.connect();
    assert_eq!(reader.value("SELECT status FROM pg_stat_wal_receiver"), "streaming");
    assert_eq!(reader.value("SELECT slot_name FROM pg_stat_wal_receiver"), "follower");
    assert_eq!(reader.value("SELECT sender_port FROM pg_stat_wal_receiver"), leader.port().to_string());
    assert_eq!(reader.value("SELECT pg_last_wal_receive_lsn()"), lsn);
    // they are tables like any other
    session.run("SELECT a.pid, r.state FROM pg_stat_activity a JOIN pg_stat_replication r ON a.pid = r.pid");
    session.run("SELECT pg_catalog.pg_is_in_recovery() FROM pg_catalog.pg_stat_replication");
}

#[test]
fn wait_for_lsn_gives_read_your_writes_on_a_follower() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    let (writer, reader) = (leader.connect(), follower.connect());
    writer.run("CREATE TABLE t(v INTEGER)");
    for i in 1..=100 {
        writer.run(&format!("INSERT INTO t VALUES ({i})"));
        let lsn = writer.value("SELECT pg_current_wal_flush_lsn()");
        reader.run(&format!("WAIT FOR LSN '{lsn}' WITH (TIMEOUT '20s')"));
        assert_eq!(reader.value("SELECT max(v) FROM t"), i.to_string());
    }
    reader.error("WAIT FOR LSN 'F/0' WITH (TIMEOUT '100ms')");
}
