//! A full disk refuses a write before anything changed, and only the write.

use std::sync::Arc;

use walship_disk::{SimDisk, SimFaults};
use walship_engine::EngineErrorKind;

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

fn error_of(session: &mut walship_engine::Session) -> Option<EngineErrorKind> {
    session.before_write(&FOREVER).unwrap();
    run(session, "INSERT INTO t VALUES (randomblob(500000))").err().map(|error| error.kind())
}
