//! The -wal restarts, whatever readers do, and never before it may.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::oracle::Oracle;
use crate::support::{Leader, until, write};

fn wal_file_bytes(leader: &Leader) -> u64 {
    std::fs::metadata(leader.path().with_extension("db-wal")).unwrap().len()
}

#[test]
fn overlapping_short_readers_do_not_let_the_wal_grow() {
    let limit = 500_000;
    let leader = Leader::with_database(4096, |options| options.seal_bytes = limit);
    let mut session = leader.session();
    write(&mut session, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)").unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let reader = leader.session();
                while !done.load(Ordering::Relaxed) {
                    let sum = "SELECT count(*), sum(length(b)) FROM t";
                    reader.connection().query_row(sum, [], |_| Ok(())).unwrap();
                }
            });
        }
        for i in 0..3000 {
            let sql = format!("INSERT OR REPLACE INTO t VALUES ({}, randomblob(3000))", i % 300);
            write(&mut session, &sql).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    let bytes = wal_file_bytes(&leader);
    // 3000 commits are 30 MB; how far it overshoots depends on how slow the readers are
    assert!(bytes < 16 * limit, "the -wal grew to {bytes} bytes");
    let end = session.database().last_commit();
    leader.writer.flush(end).unwrap();
    let oracle = Oracle::replay(&leader.writer.source(), leader.log_start, end);
    assert!(oracle.seals >= 3, "{} seals", oracle.seals);
    oracle.named("t").assert_is(&leader.export("t"));
}

#[test]
fn a_reader_that_stays_is_seen_and_stops_nothing_else() {
    let leader = Leader::with_database(4096, |options| {
        options.seal_bytes = 100_000;
        options.seal_wait = std::time::Duration::from_millis(20);
    });
    let mut session = leader.session();
    write(&mut session, "CREATE TABLE t(a)").unwrap();
    let reader = leader.session();
    reader.connection().execute_batch("BEGIN; SELECT * FROM t").unwrap();
    let mut written = 0;
    until("the reader is blamed", || {
        leader.databases.list()[0].held_back_for.is_some() || {
            let mut other = leader.session();
            write(&mut other, "INSERT INTO t VALUES (randomblob(20000))").unwrap();
            false
        }
    });
    let info = &leader.databases.list()[0];
    assert!(info.oldest_read_mark.is_some());
    while written < 50 {
        write(&mut session, "INSERT INTO t VALUES (randomblob(20000))").unwrap();
        written += 1;
    }
    leader.databases.checkpoint(false).unwrap();
    let count: i64 = reader.connection().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(count, 0, "the reader's snapshot");
    reader.connection().execute_batch("COMMIT").unwrap();
    until("the -wal restarts", || leader.databases.list()[0].wal_bytes < 100_000);
    assert_eq!(leader.databases.list()[0].held_back_for, None);
}

#[test]
fn a_stock_checkpoint_cannot_restart_what_is_not_sealed() {
    let leader = Leader::with_database(4096, |_| {});
    let mut session = leader.session();
    write(&mut session, "CREATE TABLE t(a)").unwrap();
    for i in 0..50 {
        write(&mut session, &format!("INSERT INTO t VALUES ({i})")).unwrap();
        let foreign = rusqlite::Connection::open(leader.path()).unwrap();
        foreign.busy_timeout(std::time::Duration::ZERO).unwrap();
        let _ = foreign.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let _ = foreign.execute_batch("PRAGMA journal_mode = DELETE");
    }
    let end = session.database().last_commit();
    leader.writer.flush(end).unwrap();
    let oracle = Oracle::replay(&leader.writer.source(), leader.log_start, end);
    oracle.named("t").assert_is(&leader.export("t"));
}
