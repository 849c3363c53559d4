//! Databases of one name, created and dropped by several at once.

use std::collections::BTreeMap;
use std::sync::Barrier;

use walship_engine::EngineErrorKind;
use walship_types::PageSize;
use walship_wal::Next;
use walship_wal::payload::Payload;

use crate::oracle::Oracle;
use crate::support::{Leader, name};

/// How many databases of the name `t` the log has at its end, having had never more than one.
fn of_one_name(leader: &Leader) -> usize {
    let end = leader.writer.positions().insert.get();
    leader.writer.flush(end).unwrap();
    let mut reader = leader.writer.source().reader(leader.log_start);
    let mut names = BTreeMap::new();
    loop {
        let Next::Record(record) = reader.next().unwrap() else { return names.len() };
        match record.decode().unwrap() {
            Payload::CreateDatabase(created) => drop(names.insert(created.id, created.name)),
            Payload::DropDatabase(dropped) => drop(names.remove(&dropped.id)),
            _ => {}
        }
        assert!(names.len() <= 1, "two databases of one name: {names:?}");
    }
}

#[test]
fn of_several_creations_of_a_name_one_succeeds() {
    let leader = Leader::new(|_| {});
    let start = Barrier::new(4);
    let made = std::thread::scope(|scope| {
        let create = || {
            start.wait();
            leader.databases.create(&name("t"), PageSize::DEFAULT)
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(create)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    for error in made.iter().filter_map(|made| made.as_ref().err()) {
        assert!(matches!(error.kind(), EngineErrorKind::InUse | EngineErrorKind::AlreadyExists), "{error}");
    }
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
    assert_eq!(of_one_name(&leader), 1);
    assert!(!leader.dir.path().join("base/t.db.new").exists());
}

/// Its records are in the log already.
#[test]
fn a_creation_that_fails_at_the_end_takes_its_database_out_of_the_log() {
    let leader = Leader::new(|_| {});
    let in_the_way = leader.path();
    std::fs::create_dir(&in_the_way).unwrap();
    leader.databases.create(&name("t"), PageSize::DEFAULT).unwrap_err();
    assert_eq!(of_one_name(&leader), 0);
    std::fs::remove_dir(&in_the_way).unwrap();
    let end = leader.databases.create(&name("t"), PageSize::DEFAULT).unwrap();
    assert_eq!(of_one_name(&leader), 1);
    let oracle = Oracle::replay(&leader.writer.source(), leader.log_start, end);
    oracle.named("t").assert_is(&leader.export("t"));
}
