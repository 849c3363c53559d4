//! A leader that stops and starts again goes on where it was.

use std::sync::Arc;

use walship_disk::RealDisk;
use walship_engine::page::HashFile;
use walship_engine::{Databases, EngineErrorKind, EngineOptions, LeaderStart};
use walship_types::{DatabaseId, SegmentSize, TimelineHistory, TimelineId};
use walship_wal::{Next, RecordKind, WalConfig, WalWriter, clean_tail, recover};

use crate::oracle::Oracle;
use crate::support::{Leader, SYSTEM_ID, name, run, write};

#[test]
fn a_checkpoint_and_a_restart_lose_nothing() {
    let mut leader = Leader::with_database(4096, |_| {});
    let mut session = leader.session();
    write(&mut session, "CREATE TABLE t(a)").unwrap();
    write(&mut session, "INSERT INTO t VALUES (randomblob(50000))").unwrap();
    let done = leader.databases.checkpoint(true).unwrap();
    assert_eq!((done.redo, done.databases.len()), (done.checkpoint, 1));
    let state = done.databases[0].clone();
    let hash_path = leader.databases.hash_path_of(&name("t"));
    let file = HashFile::read(&hash_path, SYSTEM_ID, state.id).unwrap();
    assert!(file.as_of >= done.redo);
    assert_eq!((file.hashes.checksum(), file.hashes.pages()), (state.checksum, state.pages));
    let refused = write(&mut session, "INSERT INTO t VALUES (1)").unwrap_err();
    assert_eq!(refused.kind(), EngineErrorKind::Closed);
    run(&mut session, "SELECT * FROM t").unwrap();
    drop(session);
    leader.databases.close("restarting");
    leader.writer.shutdown().unwrap();

    let history = TimelineHistory::root(TimelineId::FIRST);
    let disk = Arc::new(RealDisk::new());
    let dir = leader.dir.path().join("pg_wal");
    let config = WalConfig::new(disk, dir, SYSTEM_ID, SegmentSize::DEFAULT, history);
    let found = recover(&config, done.redo, done.end).unwrap();
    let end = clean_tail(&config, &found).unwrap();
    leader.writer = Arc::new(WalWriter::start(config, end).unwrap());
    let options = EngineOptions::new(leader.dir.path().join("base"), SYSTEM_ID);
    leader.databases = Databases::new(options).unwrap();
    leader.databases.attach(state.id, &state.name).unwrap();
    // a commit that nobody logged, as a crash between SQLite's commit and ours leaves it
    let foreign = rusqlite::Connection::open(leader.path()).unwrap();
    foreign.execute_batch("INSERT INTO t VALUES ('not logged')").unwrap();
    let start = LeaderStart { database: state.id, hashes: file.hashes, position: state.position };
    leader.databases.lead(Arc::clone(&leader.writer), vec![start], DatabaseId(2)).unwrap();
    let mut session = leader.session();
    let end = write(&mut session, "INSERT INTO t VALUES (2)").unwrap().commit.unwrap();
    leader.writer.flush(end).unwrap();
    let oracle = Oracle::replay(&leader.writer.source(), leader.log_start, end);
    oracle.named("t").assert_is(&leader.export("t"));
}

fn checkpoints(leader: &Leader) -> usize {
    let mut reader = leader.writer.source().reader(leader.log_start);
    let records = std::iter::from_fn(|| match reader.next().unwrap() {
        Next::Record(record) => Some(record),
        Next::End(_) => None,
    });
    records.filter(|record| record.kind == RecordKind::Checkpoint).count()
}

#[test]
fn a_redo_point_is_named_only_when_its_page_hashes_are_written() {
    let leader = Leader::with_database(4096, |_| {});
    let mut session = leader.session();
    write(&mut session, "CREATE TABLE t(a)").unwrap();
    let before = checkpoints(&leader);
    let hashes = leader.databases.hash_path_of(&name("t"));
    let in_the_way = hashes.with_file_name("t.hash.tmp");
    std::fs::create_dir(&in_the_way).unwrap();
    let error = leader.databases.checkpoint(false).unwrap_err();
    assert!(error.to_string().contains("t.hash"), "{error}");
    write(&mut session, "INSERT INTO t VALUES (1)").unwrap();
    leader.writer.flush(session.database().last_commit()).unwrap();
    assert_eq!(checkpoints(&leader), before, "the log names a redo point without page hashes");
    std::fs::remove_dir(&in_the_way).unwrap();
    leader.databases.checkpoint(false).unwrap();
    assert_eq!(checkpoints(&leader), before + 1);
}
