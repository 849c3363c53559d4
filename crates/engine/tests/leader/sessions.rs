//! Many sessions at once: turns, what readers wait for, and who gets in.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use walship_engine::{EngineErrorKind, WaitLimits};
use walship_types::Lsn;

use crate::oracle::Oracle;
use crate::support::{FOREVER, Leader, NEVER, name, run, until, write};

const WRITERS: usize = 12;
const COMMITS: usize = 60;

#[test]
fn sessions_write_in_turns_and_readers_wait_for_what_they_saw() {
    let leader = Leader::with_database(4096, |options| options.seal_bytes = 300_000);
    write(&mut leader.session(), "CREATE TABLE t(n INTEGER PRIMARY KEY)").unwrap();
    let commits: Mutex<HashMap<i64, Lsn>> = Mutex::default();
    let done = AtomicBool::new(false);
    let seen: Mutex<Vec<(i64, Lsn)>> = Mutex::default();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut session = leader.session();
                    while !done.load(Ordering::Relaxed) {
                        let max =
                            session
                                .connection()
                                .query_row("SELECT coalesce(max(n), 0) FROM t", [], |row| row.get(0));
                        let horizon = session.read_horizon(&FOREVER).unwrap();
                        seen.lock().unwrap().push((max.unwrap(), horizon));
                    }
                })
            })
            .collect();
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut session = leader.session();
                    for _ in 0..COMMITS {
                        session.before_write(&FOREVER).unwrap();
                        let sql = "INSERT INTO t SELECT coalesce(max(n), 0) + 1 FROM t";
                        session.connection().execute(sql, []).unwrap();
                        let row = session.connection().last_insert_rowid();
                        let end = session.after_statement().unwrap().commit.unwrap();
                        commits.lock().unwrap().insert(row, end);
                        leader.writer.flush(end).unwrap();
                    }
                })
            })
            .collect();
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
    });
    let commits = commits.into_inner().unwrap();
    assert_eq!(commits.len(), WRITERS * COMMITS);
    for (row, horizon) in seen.into_inner().unwrap() {
        if row > 0 {
            assert!(horizon >= commits[&row], "row {row} was shown at {horizon} before {}", commits[&row]);
        }
    }
    let end = leader.databases.get("t").unwrap().last_commit();
    leader.writer.flush(end).unwrap();
    let oracle = Oracle::replay(&leader.writer.source(), leader.log_start, end);
    assert!(oracle.seals > 0);
    oracle.named("t").assert_is(&leader.export("t"));
}

#[test]
fn redo_points_are_set_beside_writers() {
    let leader = Leader::with_database(4096, |_| {});
    write(&mut leader.session(), "CREATE TABLE t(n INTEGER PRIMARY KEY)").unwrap();
    let (ended, wait) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut session = leader.session();
                    for _ in 0..10 * COMMITS {
                        write(&mut session, "INSERT INTO t SELECT coalesce(max(n), 0) + 1 FROM t").unwrap();
                    }
                })
            })
            .collect();
        let databases = &leader.databases;
        let checkpointer = scope.spawn(move || {
            let mut redo = Lsn::INVALID;
            while writers.iter().any(|writer| !writer.is_finished()) {
                let done = databases.checkpoint(false).unwrap();
                assert!(done.redo >= redo && done.databases[0].pages > 0);
                redo = done.redo;
            }
            ended.send(()).unwrap();
        });
        // writers and checkpoints that wait for one another would wait for ever
        if wait.recv_timeout(Duration::from_secs(120)).is_err() {
            eprintln!("writers and checkpoints did not end within 120 s");
            std::process::abort();
        }
        checkpointer.join().unwrap();
    });
    let end = leader.databases.get("t").unwrap().last_commit();
    leader.writer.flush(end).unwrap();
    let oracle = Oracle::replay(&leader.writer.source(), leader.log_start, end);
    assert!(oracle.redo_points > 0);
    oracle.named("t").assert_is(&leader.export("t"));
}

#[test]
fn a_writer_waits_for_the_turn_no_longer_than_it_is_told() {
    let leader = Leader::with_database(4096, |_| {});
    let (mut first, mut second) = (leader.session(), leader.session());
    write(&mut first, "CREATE TABLE t(a)").unwrap();
    run(&mut first, "BEGIN").unwrap();
    write(&mut first, "INSERT INTO t VALUES (1)").unwrap();
    assert!(first.holds_turn());
    let soon = WaitLimits { deadline: Some(Instant::now() + Duration::from_millis(10)), cancel: &NEVER };
    assert_eq!(second.before_write(&soon).unwrap_err().kind(), EngineErrorKind::LockTimeout);
    let cancel = AtomicBool::new(true);
    let cancelled = WaitLimits { deadline: None, cancel: &cancel };
    assert_eq!(second.before_write(&cancelled).unwrap_err().kind(), EngineErrorKind::Cancelled);
    // a session that goes frees what it held, and its work with it
    drop(first);
    write(&mut second, "INSERT INTO t VALUES (2)").unwrap();
    let sum: i64 = second.connection().query_row("SELECT sum(a) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(sum, 2);
}

#[test]
fn a_commit_without_the_turn_is_rolled_back() {
    let leader = Leader::with_database(4096, |_| {});
    let mut session = leader.session();
    assert!(session.connection().execute_batch("CREATE TABLE t(a)").is_err());
    assert!(session.after_statement().is_err());
    session.connection().execute_batch("CREATE TEMP TABLE t(a); INSERT INTO t VALUES (1)").unwrap();
    session.after_statement().unwrap();
    assert_eq!(leader.databases.get("t").unwrap().info().foreign_commits, 0);
}

#[test]
fn an_old_snapshot_cannot_be_written_from() {
    let leader = Leader::with_database(4096, |_| {});
    let (mut first, mut second) = (leader.session(), leader.session());
    write(&mut first, "CREATE TABLE t(a)").unwrap();
    run(&mut second, "BEGIN; SELECT * FROM t").unwrap();
    write(&mut first, "INSERT INTO t VALUES (1)").unwrap();
    let error = write(&mut second, "INSERT INTO t VALUES (2)").unwrap_err();
    assert_eq!(error.kind(), EngineErrorKind::Serialization);
    assert!(!second.holds_turn());
    write(&mut first, "INSERT INTO t VALUES (3)").unwrap();
}

#[test]
fn databases_come_and_go() {
    let leader = Leader::with_database(512, |_| {});
    let databases = &leader.databases;
    let missing = databases.session("nothere").unwrap_err();
    assert_eq!(missing.kind(), EngineErrorKind::DoesNotExist);
    assert_eq!(missing.hint().unwrap(), "existing databases: t");
    let size = walship_types::PageSize::MAX;
    assert_eq!(databases.create(&name("t"), size).unwrap_err().kind(), EngineErrorKind::AlreadyExists);
    databases.create(&name("u"), size).unwrap();
    let mut session = databases.session("u").unwrap();
    write(&mut session, "CREATE TABLE t(a); INSERT INTO t VALUES (zeroblob(100000))").unwrap();
    assert_eq!(databases.drop_database(&name("u")).unwrap_err().kind(), EngineErrorKind::InUse);
    let first_id = session.database().id();
    let exported = leader.export("u");
    drop(session);
    let before_drop = databases.get("u").unwrap().last_commit();
    let source = leader.writer.source();
    Oracle::replay(&source, leader.log_start, before_drop).named("u").assert_is(&exported);
    databases.drop_database(&name("u")).unwrap();
    let left: Vec<_> = std::fs::read_dir(leader.dir.path().join("base")).unwrap().collect();
    assert!(left.iter().all(|entry| !entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with('u')));
    let end = databases.create(&name("u"), size).unwrap();
    assert!(databases.get("u").unwrap().id() > first_id);
    let oracle = Oracle::replay(&source, leader.log_start, end);
    assert_eq!(oracle.databases.len(), 2);
}

#[test]
fn an_import_is_online_and_an_export_is_a_plain_file() {
    let leader = Leader::new(|_| {});
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source.db");
    let other = rusqlite::Connection::open(&source).unwrap();
    other
        .execute_batch(
            "PRAGMA page_size=1024; PRAGMA journal_mode=WAL; CREATE TABLE t(a, b);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
             INSERT INTO t SELECT i, randomblob(900) FROM n",
        )
        .unwrap();
    let steps = AtomicUsize::new(0);
    let progress = |at: walship_engine::ImportProgress| {
        assert!(at.done_bytes <= at.total_bytes);
        steps.fetch_add(1, Ordering::Relaxed);
        true
    };
    let end = leader.databases.import(&name("t"), &source, progress).unwrap();
    assert!(steps.into_inner() > 1);
    let oracle = Oracle::replay(&leader.writer.source(), leader.log_start, end);
    let exported = leader.export("t");
    oracle.named("t").assert_is(&exported);
    let copy = dir.path().join("copy.db");
    std::fs::write(&copy, exported).unwrap();
    let copy = rusqlite::Connection::open(&copy).unwrap();
    let mode: String = copy.query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
    let rows: i64 = copy.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!((mode.as_str(), rows), ("delete", 3000));
    std::fs::write(dir.path().join("bad"), vec![7; 5000]).unwrap();
    assert!(leader.databases.import(&name("bad"), &dir.path().join("bad"), |_| true).is_err());
    assert!(leader.databases.import(&name("ended"), &source, |_| false).is_err());
    until("nothing is left behind", || {
        let entries = std::fs::read_dir(leader.dir.path().join("base")).unwrap();
        entries.filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().contains("new")).count() == 0
    });
}
