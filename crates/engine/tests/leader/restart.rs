//! A leader that stops and starts again goes on where it was.

use std::sync::Arc;

use walship_disk::RealDisk;
use walship_engine::page::HashFile;
use walship_engine::{Databases, EngineErrorKind, EngineOptions, LeaderStart};
use walship_types::{DatabaseId, SegmentSize, TimelineHistory, TimelineId};
use walship_wal::{WalConfig, WalWriter, clean_tail, recover};

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
