//! A session stays small, however much it has read: SQLite's default cache would be two megabytes for each.

use walship_tests::{Lab, peak_resident_kib};

/// Sessions that scan at the same time.
const SESSIONS: u64 = 40;
/// What each may add to the process, in KiB: its thread, its connection, its cache.
const SESSION_KIB_MAX: u64 = 1200;

#[test]
fn a_scan_leaves_little_behind() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    leader.sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB); \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
         INSERT INTO t SELECT i, randomblob(900) FROM n",
    );
    let first = leader.connect();
    first.run("SELECT sum(length(v)) FROM t");
    let before = peak_resident_kib(leader.process().pid());
    let sessions: Vec<_> = (0..SESSIONS).map(|_| leader.connect()).collect();
    for session in &sessions {
        assert_eq!(session.value("SELECT sum(length(v)) FROM t"), "18000000");
    }
    let each = (peak_resident_kib(leader.process().pid()) - before) / SESSIONS;
    println!("{each} KiB for each session");
    assert!(each < SESSION_KIB_MAX, "each session took {each} KiB");
}
