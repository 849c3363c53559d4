//! A full disk refuses a write before anything changed, and only the write.

use std::sync::Arc;

use walship_disk::{SimDisk, SimFaults};
use walship_engine::EngineErrorKind;

use rusqlite::Connection;

use crate::oracle::Oracle;
use crate::support::{FOREVER, Leader, run, until, write};

#[test]
fn a_commit_that_the_log_has_no_room_for_is_rolled_back() {
    let disk = SimDisk::new(1);
    let leader = Leader::on_disk(Arc::new(disk.clone()), |_| {});
    leader.databases.create(&crate::support::name("t"), walship_types::PageSize::DEFAULT).unwrap();
    let mut session = leader.session();
    write(&mut session, "CREATE TABLE t(a)").unwrap();
    // what is prepared ahead is used up before the disk counts as full
    disk.set_faults(SimFaults { room_bytes: Some(0), ..SimFaults::default() });
    let mut error = None;
    until("the log is full", || {
        let mut session = leader.session();
        error_of(&mut session).is_some()
    });
    let before: i64 = session.connection().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    error.replace(error_of(&mut session).unwrap());
    assert_eq!(error, Some(EngineErrorKind::NoSpace));
    assert!(!session.holds_turn());
    let after: i64 = session.connection().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(before, after);
    session.read_horizon(&FOREVER).unwrap();
    disk.set_faults(SimFaults::default());
    write(&mut session, "INSERT INTO t VALUES (1)").unwrap();
    let end = session.database().last_commit();
    leader.writer.flush(end).unwrap();
    let oracle = Oracle::replay(&leader.writer.source(), leader.log_start, end);
    oracle.named("t").assert_is(&leader.export("t"));
}

/// The room is that of the whole commit, not of what fits into the segment at hand.
#[test]
fn a_commit_larger_than_the_room_is_refused_while_a_small_one_still_fits() {
    let disk = SimDisk::new(3);
    let leader = Leader::on_disk(Arc::new(disk.clone()), |_| {});
    leader.databases.create(&crate::support::name("t"), walship_types::PageSize::DEFAULT).unwrap();
    let mut session = leader.session();
    write(&mut session, "CREATE TABLE t(a)").unwrap();
    disk.set_faults(SimFaults { room_bytes: Some(0), ..SimFaults::default() });
    // two segments of 16 MiB are there at most
    let error = write(&mut session, "INSERT INTO t VALUES (randomblob(40000000))").unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::NoSpace, "{error}");
    assert!(!session.holds_turn());
    let end = write(&mut session, "INSERT INTO t VALUES (1)").unwrap().commit.unwrap();
    leader.writer.flush(end).unwrap();
    let oracle = Oracle::replay(&leader.writer.source(), leader.log_start, end);
    assert!(oracle.payload_bytes < 1 << 20, "the refused commit is in the log");
    oracle.named("t").assert_is(&leader.export("t"));
}

/// The one append that can fail after SQLite committed, while the log itself is sound: nobody reserves room for what
/// another program writes.
#[test]
fn a_commit_that_the_log_cannot_take_closes_the_database_until_it_can() {
    let disk = SimDisk::new(2);
    let leader = Leader::on_disk(Arc::new(disk.clone()), |_| {});
    leader.databases.create(&crate::support::name("t"), walship_types::PageSize::DEFAULT).unwrap();
    let mut session = leader.session();
    write(&mut session, "CREATE TABLE t(a)").unwrap();
    disk.set_faults(SimFaults { room_bytes: Some(0), ..SimFaults::default() });
    until("the log is full", || error_of(&mut leader.session()).is_some());

    // more than the log keeps in memory, so that appending it cannot just wait
    let foreign = Connection::open(leader.path()).unwrap();
    foreign
        .execute_batch("PRAGMA wal_autocheckpoint=0; INSERT INTO t VALUES (randomblob(30000000))")
        .unwrap();
    until("the database is closed", || session.database().closed_reason().is_some());
    let reason = session.database().closed_reason().unwrap();
    assert!(reason.contains("what was committed could not be logged"), "{reason}");
    let refused = |error: walship_engine::EngineError| {
        assert_eq!(error.kind(), EngineErrorKind::Closed, "{error}");
        assert!(error.to_string().contains("could not be logged"), "{error}");
    };
    refused(session.read_horizon(&FOREVER).unwrap_err());
    refused(session.before_write(&FOREVER).unwrap_err());
    // it stays pinned: nobody can restart the -wal and so lose what is not logged
    let frames = std::fs::metadata(leader.path().with_extension("db-wal")).unwrap().len();
    for mode in ["RESTART", "TRUNCATE"] {
        let busy: i64 =
            foreign.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(0)).unwrap_or(1);
        assert_eq!(busy, 1, "{mode} went through");
    }
    foreign.execute_batch("INSERT INTO t VALUES ('behind it')").unwrap();
    assert!(std::fs::metadata(leader.path().with_extension("db-wal")).unwrap().len() > frames);

    // it is tried again by itself
    disk.set_faults(SimFaults::default());
    until("the database is open again", || session.database().closed_reason().is_none());
    write(&mut session, "INSERT INTO t VALUES ('afterwards')").unwrap();
    session.read_horizon(&FOREVER).unwrap();
    let end = session.database().last_commit();
    leader.writer.flush(end).unwrap();
    let oracle = Oracle::replay(&leader.writer.source(), leader.log_start, end);
    oracle.named("t").assert_is(&leader.export("t"));
}

fn error_of(session: &mut walship_engine::Session) -> Option<EngineErrorKind> {
    session.before_write(&FOREVER).unwrap();
    run(session, "INSERT INTO t VALUES (randomblob(500000))").err().map(|error| error.kind())
}
