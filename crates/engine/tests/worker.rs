//! The replay thread: it follows the log as it is flushed, never further; it can be
//! paused, delayed, stopped and promoted; what it replayed can be scrubbed.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::Connection;
use support::{ToyFollower, ToyLeader, assert_same_pages, first_lsn};
use walship_engine::redo::{PauseState, Redo, ReplayOptions, ReplayWorker, Restartpoint};
use walship_engine::scrub;
use walship_types::{DatabaseId, Lsn};
use walship_wal::WaitOutcome;

struct Pair {
    _directory: tempfile::TempDir,
    leader: ToyLeader,
    id: DatabaseId,
    follower: ToyFollower,
    restartpoints: Arc<Mutex<Vec<Restartpoint>>>,
    interval: Duration,
}

impl Pair {
    fn new() -> Pair {
        let directory = tempfile::tempdir().unwrap();
        let mut leader = ToyLeader::new(&directory.path().join("leader"));
        let id = leader.create("postgres", "");
        leader.execute(id, "CREATE TABLE t(a, b)");
        let follower = ToyFollower::new(&directory.path().join("follower"));
        let interval = Duration::from_millis(20);
        Pair { _directory: directory, leader, id, follower, restartpoints: Arc::default(), interval }
    }

    fn redo(&self) -> Redo {
        self.follower.start(&self.leader.source(), first_lsn(), first_lsn(), Vec::new())
    }

    fn worker(&self) -> ReplayWorker {
        let restartpoints = Arc::clone(&self.restartpoints);
        let options = ReplayOptions {
            restartpoint_interval: self.interval,
            restartpoint_bytes: u64::MAX,
            min_apply_delay: Duration::ZERO,
            on_restartpoint: Box::new(move |point| {
                restartpoints.lock().push(point.clone());
                Ok(())
            }),
        };
        ReplayWorker::start(self.redo(), self.leader.source(), options).unwrap()
    }

    fn insert(&mut self) -> Lsn {
        self.leader.execute(self.id, "INSERT INTO t VALUES(1, randomblob(2000))")
    }

    fn assert_same(&self) {
        assert_same_pages(&self.leader.databases[&self.id].path, &self.follower.path("postgres"));
    }
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < give_up, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn wait_replayed(worker: &ReplayWorker, lsn: Lsn) {
    let deadline = Some(Instant::now() + Duration::from_secs(30));
    assert_eq!(worker.replay().wait_blocking(lsn, deadline, || false), WaitOutcome::Reached);
}

#[test]
fn it_follows_the_log_and_reports_restartpoints() {
    let mut pair = Pair::new();
    let worker = pair.worker();
    for round in 0..50 {
        let end = pair.insert();
        if round % 10 == 0 {
            wait_replayed(&worker, end);
            pair.assert_same();
        }
    }
    let redo = pair.leader.checkpoint();
    let restartpoints = Arc::clone(&pair.restartpoints);
    wait_for("there is a restartpoint", || restartpoints.lock().iter().any(|point| point.redo == redo));
    let end = pair.insert();
    wait_replayed(&worker, end);
    let status = worker.status();
    assert_eq!((status.replayed, status.restartpoint), (end, Some(redo)));
    assert!(status.last_commit_time.is_some() && status.stopped.is_empty());
    drop(worker.stop().unwrap());
    pair.assert_same();
}

#[test]
fn a_restartpoint_comes_when_it_is_asked_for() {
    let limit = Duration::from_secs(30);
    for pause in [false, true] {
        let mut pair = Pair::new();
        pair.interval = Duration::from_secs(3600);
        let worker = pair.worker();
        let end = pair.insert();
        wait_replayed(&worker, end);
        worker.request_restartpoint().wait(limit).unwrap();
        assert!(pair.restartpoints.lock().is_empty(), "without a checkpoint there is no redo point");
        let redo = pair.leader.checkpoint();
        let end = pair.insert();
        wait_replayed(&worker, end);
        if pause {
            worker.pause();
        }
        worker.request_restartpoint().wait(limit).unwrap();
        assert_eq!(pair.restartpoints.lock().iter().map(|point| point.redo).collect::<Vec<_>>(), [redo]);
        let request = worker.request_restartpoint();
        request.wait(limit).unwrap();
        assert_eq!(pair.restartpoints.lock().len(), 1, "nothing new");
        drop(worker.stop().unwrap());
        pair.assert_same();
    }
}

#[test]
fn a_pause_holds_replay_and_a_promotion_ends_it() {
    let mut pair = Pair::new();
    let worker = pair.worker();
    let before = pair.insert();
    wait_replayed(&worker, before);
    worker.pause();
    wait_for("replay is at rest", || worker.pause_state() == PauseState::Paused);
    let end = pair.insert();
    let soon = Some(Instant::now() + Duration::from_millis(100));
    assert_eq!(worker.replay().wait_blocking(end, soon, || false), WaitOutcome::TimedOut);
    let mut redo = worker.finish(end).unwrap();
    assert_eq!(redo.visible(), end, "a promotion replays all that there is, paused or not");
    pair.assert_same();
    let states = redo.states().unwrap();
    assert_eq!(states[0].checksum, pair.leader.databases[&pair.id].hashes.checksum());
    redo.close().unwrap();
    let writer = Connection::open(pair.follower.path("postgres")).unwrap();
    writer.execute_batch("INSERT INTO t VALUES(2, 'the fence is gone')").unwrap();
}

#[test]
fn a_delay_keeps_young_commits_back() {
    let mut pair = Pair::new();
    let worker = pair.worker();
    let before = pair.leader.end();
    wait_replayed(&worker, before);
    worker.set_min_apply_delay(Duration::from_secs(3600));
    let end = pair.insert();
    let soon = Some(Instant::now() + Duration::from_millis(100));
    assert_eq!(worker.replay().wait_blocking(end, soon, || false), WaitOutcome::TimedOut);
    worker.set_min_apply_delay(Duration::ZERO);
    wait_replayed(&worker, end);
    // a stop does not hurry anything
    worker.set_min_apply_delay(Duration::from_secs(3600));
    pair.insert();
    assert_eq!(worker.replay().wait_blocking(end, soon, || false), WaitOutcome::Reached);
    assert_eq!(worker.stop().unwrap().visible(), end);
}

#[test]
fn the_sqlite_wal_stays_small_while_readers_come_and_go() {
    let mut pair = Pair::new();
    let worker = pair.worker();
    let end = pair.insert();
    wait_replayed(&worker, end);
    let reader = Connection::open(pair.follower.path("postgres")).unwrap();
    for round in 0..200 {
        let end = pair.leader.execute(pair.id, "INSERT INTO t VALUES(1, randomblob(60000))");
        if round % 3 == 0 {
            wait_replayed(&worker, end);
            let rows: i64 = reader.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
            assert!(rows > 0);
        }
    }
    let end = pair.leader.end();
    wait_replayed(&worker, end);
    let wal = std::fs::metadata(format!("{}-wal", pair.follower.path("postgres").display())).unwrap();
    // more than 3000 frames went through it
    assert!(wal.len() < 6 << 20, "the -wal has {} bytes", wal.len());
    drop(worker.stop().unwrap());
}

#[test]
fn a_write_that_slips_in_between_two_transactions_is_taken_back() {
    // on a page that replay goes on to write, and on one that it never touches again
    for foreign in ["INSERT INTO t VALUES('foreign', 1)", "UPDATE u SET x='foreign'"] {
        slip_in(foreign);
    }
}

fn slip_in(foreign: &'static str) {
    let mut pair = Pair::new();
    pair.leader.execute(pair.id, "CREATE TABLE u(x); INSERT INTO u VALUES('ours')");
    let worker = pair.worker();
    let end = pair.insert();
    wait_replayed(&worker, end);
    let path = pair.follower.path("postgres");
    let give_up = Instant::now() + Duration::from_secs(30);
    let stranger = std::thread::spawn(move || {
        let connection = Connection::open(path).unwrap();
        connection.busy_timeout(Duration::ZERO).unwrap();
        loop {
            if connection.execute_batch(foreign).is_ok() {
                return true;
            }
            if Instant::now() > give_up {
                return false;
            }
        }
    });
    while !stranger.is_finished() {
        let end = pair.insert();
        wait_replayed(&worker, end);
    }
    let end = pair.insert();
    wait_replayed(&worker, end);
    assert!(stranger.join().unwrap(), "it never got in, so this showed nothing");
    assert!(worker.status().stopped.is_empty(), "{:?}", worker.status());
    drop(worker.stop().unwrap());
    pair.assert_same();
}

#[test]
fn the_scrub_finds_what_replay_does_not_touch() {
    let mut pair = Pair::new();
    pair.leader.execute(
        pair.id,
        "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM s WHERE n<3000)
         INSERT INTO t SELECT n, randomblob(2000) FROM s",
    );
    let mut redo = pair.redo();
    let end = pair.leader.end();
    pair.leader.records(first_lsn()).iter().for_each(|record| redo.apply(record).unwrap());
    redo.commit_batch().unwrap();
    let path = pair.follower.path("postgres");
    let hashes = Arc::clone(&pair.follower.catalog.hashes.lock()["postgres"]);
    let report = scrub(&path, &hashes, 0, &|| false).unwrap();
    let pages = u64::from(pair.leader.databases[&pair.id].hashes.pages());
    assert!(report.complete && report.first_mismatch.is_none(), "{report:?}");
    assert_eq!((report.pages, report.verified), (pages, end));
    assert!(pages > 1024, "more than one slice");

    // a bit rots below SQLite, in a page that is in the file and not in the -wal
    redo.close().unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"rot", 700 * 4096 + 2000).unwrap();
    let report = scrub(&path, &hashes, 0, &|| false).unwrap();
    assert_eq!(report.mismatches, 1);
    assert_eq!(report.first_mismatch.map(|mismatch| mismatch.page.0), Some(701));

    let began = Instant::now();
    let slow = scrub(&path, &hashes, 1024 * 10, &|| false).unwrap();
    assert!(slow.complete && began.elapsed() >= Duration::from_millis(100), "{slow:?}");
    let cancelled = scrub(&path, &hashes, 1, &|| true).unwrap();
    assert!(!cancelled.complete);
}
