//! A transaction many times larger than a segment, and than any buffer, arrives whole.

use walship_tests::{Lab, assert_identical, peak_resident_kib, wait_caught_up};

/// 200,000 rows of 500 bytes: about 100 MB, six segments.
const FILL: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) \
                    INSERT INTO t SELECT i, randomblob(500) FROM n";

#[test]
fn a_hundred_megabytes_in_one_transaction() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let mut follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)");
    leader.sql(FILL);
    wait_caught_up(&leader, &follower);
    assert_eq!(follower.sql("SELECT count(*) FROM t"), "200000");
    assert_identical(&leader, &follower, "postgres");
    for node in [&mut leader, &mut follower] {
        let peak = peak_resident_kib(node.process().pid());
        assert!(peak < 150 * 1024, "{} took {peak} KiB", node.name());
    }
}

#[test]
fn a_large_transaction_that_is_rolled_back_leaves_nothing() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)");
    let session = leader.connect();
    session.run("BEGIN");
    session.run(FILL);
    session.run("ROLLBACK");
    leader.sql("INSERT INTO t VALUES (1, x'00')");
    assert_eq!(leader.sql("SELECT count(*) FROM t"), "1");
    assert_identical(&leader, &follower, "postgres");
}

#[test]
fn the_leader_is_killed_while_a_large_transaction_commits() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)");
    let port = leader.port();
    let writer = std::thread::spawn(move || {
        let session = walship_tests::Session::connect(port, "postgres").unwrap();
        session.query(FILL).is_ok()
    });
    // the -wal grows while SQLite commits
    let wal = leader.database("postgres").with_extension("db-wal");
    walship_tests::wait_until("the -wal grows", || {
        writer.is_finished() || std::fs::metadata(&wal).is_ok_and(|file| file.len() > 20_000_000)
    });
    leader.kill();
    leader.start();
    let acknowledged = writer.join().unwrap();
    let rows = leader.sql("SELECT count(*) FROM t");
    assert!(rows == "200000" || (rows == "0" && !acknowledged), "{rows} rows, acknowledged: {acknowledged}");
    assert_identical(&leader, &follower, "postgres");
}
