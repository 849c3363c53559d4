//! A leader that starts again: every row of the recovery table, on files as kills, power
//! losses and stock programs leave them.

mod support;

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use support::{SYSTEM, ToyFollower, ToyLeader, assert_same_pages, first_lsn, sqlite_wal_position};
use walship_engine::page::HashFile;
use walship_engine::recovery::{
    LeaderRecovery, LeaderRecoveryError, LogScan, RecoveredDatabase, ScanStart, Verdict,
};
use walship_engine::redo::{RedoError, RedoOptions};
use walship_types::{DatabaseId, Lsn, PageNo, TimelineId};
use walship_wal::payload::DatabaseState;

/// A leader with some history behind and after its redo point.
struct Case {
    directory: tempfile::TempDir,
    leader: ToyLeader,
    id: DatabaseId,
    redo: Lsn,
    states: Vec<DatabaseState>,
}

const FILL: &str = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM s WHERE n<300)
                    INSERT INTO t SELECT n, randomblob(500) FROM s";

impl Case {
    fn new() -> Case {
        let directory = tempfile::tempdir().unwrap();
        let mut leader = ToyLeader::new(&directory.path().join("leader"));
        let id = leader.create("postgres", "PRAGMA wal_autocheckpoint=0");
        leader.execute(id, "CREATE TABLE t(a, b)");
        leader.execute(id, FILL);
        let redo = leader.checkpoint();
        let states = leader.states();
        leader.execute(id, "UPDATE t SET a=a+1 WHERE rowid%50=0");
        Case { directory, leader, id, redo, states }
    }

    /// Moves what there is into the file, goes on, and sets the redo point behind that: the -wal alone has the rest.
    fn older_than_redo_point(&mut self) {
        self.uncaptured("PRAGMA wal_checkpoint(PASSIVE)");
        self.execute("UPDATE t SET a=a+7 WHERE rowid%90=0");
        self.execute("UPDATE t SET a=-a WHERE rowid=100");
        self.redo = self.leader.checkpoint();
        self.states = self.leader.states();
    }

    fn execute(&mut self, sql: &str) {
        self.leader.execute(self.id, sql);
    }

    fn uncaptured(&self, sql: &str) {
        self.leader.databases[&self.id].connection.execute_batch(sql).unwrap();
    }

    fn leader_file(&self) -> PathBuf {
        self.leader.databases[&self.id].path.clone()
    }

    /// The files as a kill leaves them.
    fn killed(&self, name: &str) -> PathBuf {
        self.leader.files_after_kill(&self.directory.path().join(name))
    }

    fn try_recover(&self, base: &Path) -> Result<LeaderRecovery, LeaderRecoveryError> {
        self.try_recover_to(base, self.leader.end())
    }

    fn try_recover_to(&self, base: &Path, end: Lsn) -> Result<LeaderRecovery, LeaderRecoveryError> {
        let start = ScanStart {
            redo: self.redo,
            end,
            states: self.states.clone(),
            own_timeline: Some(TimelineId::FIRST),
            own_states: true,
        };
        LeaderRecovery::run(&RedoOptions::new(base, SYSTEM), &self.leader.source(), &start)
    }

    fn recover(&self, base: &Path) -> RecoveredDatabase {
        let mut databases = self.try_recover(base).unwrap().databases;
        assert_eq!(databases.len(), 1);
        databases.remove(0)
    }
}

fn file(base: &Path) -> PathBuf {
    base.join("postgres.db")
}

fn wal(base: &Path) -> PathBuf {
    base.join("postgres.db-wal")
}

fn stock(base: &Path, sql: &str) {
    Connection::open(file(base)).unwrap().execute_batch(sql).unwrap();
}

/// How many commits a -wal has in its present life.
fn commits(wal: &Path) -> usize {
    let bytes = std::fs::read(wal).unwrap();
    let (header, frames) = bytes.split_at(32);
    let frames = frames.chunks_exact(24 + 4096).take_while(|frame| frame[8..16] == header[16..24]);
    frames.filter(|frame| frame[4..8] != [0; 4]).count()
}

/// Of before the redo point, and of behind the end of the log.
#[test]
fn page_hashes_of_another_time_are_not_taken_for_those_of_the_log() {
    let mut case = Case::new();
    let older = case.killed("older").join("postgres.hash");
    case.execute("UPDATE t SET a=a+3 WHERE rowid%20=0");
    case.redo = case.leader.checkpoint();
    case.states = case.leader.states();
    case.execute("UPDATE t SET a=a+5 WHERE rowid%100=0");
    let (base, end) = (case.killed("a"), case.leader.end());
    let hashes = case.leader.databases[&case.id].hashes.clone();
    case.execute("UPDATE t SET a=a+9 WHERE rowid%30=0");
    case.leader.checkpoint();
    let newer = case.killed("newer").join("postgres.hash");
    for other in [older, newer] {
        std::fs::copy(&other, base.join("postgres.hash")).unwrap();
        let found = case.try_recover_to(&base, end).unwrap().databases.remove(0);
        assert_eq!(found.verdict, Verdict::Level);
        assert_eq!(found.hashes, hashes, "{}", other.display());
    }
}

#[test]
fn page_hashes_that_contradict_the_log_are_refused() {
    let case = Case::new();
    let base = case.killed("a");
    let path = base.join("postgres.hash");
    let mut file = HashFile::read(&path, SYSTEM, case.id).unwrap();
    file.hashes.set(PageNo(3), 12345);
    file.write(&path).unwrap();
    match case.try_recover(&base) {
        Err(LeaderRecoveryError::Redo(error)) if matches!(*error, RedoError::TableContradictsLog { .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_killed_leader_is_level() {
    let case = Case::new();
    let base = case.killed("a");
    let found = case.recover(&base);
    assert_eq!(found.verdict, Verdict::Level);
    assert_eq!(found.position, sqlite_wal_position(&case.leader_file()));
    assert_eq!(found.hashes, case.leader.databases[&case.id].hashes);
    assert_same_pages(&case.leader_file(), &file(&base));
}

/// A position names frames of the -wal of the node that logged it; here it would be a coincidence.
#[test]
fn positions_that_another_node_logged_are_not_trusted() {
    let mut case = Case::new();
    case.leader.seal(case.id);
    let scan = |own: Option<TimelineId>| {
        let (redo, end, states) = (case.redo, case.leader.end(), case.states.clone());
        let start = ScanStart { redo, end, states, own_timeline: own, own_states: false };
        let base = RedoOptions::new(case.directory.path().join("none"), SYSTEM);
        let mut scan = LogScan::run(&base, &case.leader.source(), &start).unwrap();
        let database = scan.databases.remove(&case.id).unwrap();
        (database.position, database.sealed)
    };
    assert_eq!(scan(Some(TimelineId(1))), (Some(sqlite_wal_position(&case.leader_file())), true));
    assert_eq!(scan(Some(TimelineId(2))), (None, false));
    assert_eq!(scan(None), (None, false));
}

#[test]
fn commits_that_were_not_logged_are_to_be_captured() {
    let case = Case::new();
    let logged = sqlite_wal_position(&case.leader_file());
    case.uncaptured("INSERT INTO t VALUES(1, 'not logged')");
    let base = case.killed("a");
    let found = case.recover(&base);
    assert_eq!((found.verdict, found.position), (Verdict::Ahead, logged));
    assert_eq!(found.hashes, case.leader.databases[&case.id].hashes, "as of the log");
    assert_same_pages(&case.leader_file(), &file(&base));
}

#[test]
fn a_restart_after_the_seal_is_captured_from_its_first_frame() {
    let mut case = Case::new();
    case.leader.seal(case.id);
    let sealed = sqlite_wal_position(&case.leader_file());
    case.uncaptured("PRAGMA wal_checkpoint(PASSIVE); INSERT INTO t VALUES(1, 'first')");
    let base = case.killed("a");
    let found = case.recover(&base);
    assert_eq!(found.verdict, Verdict::RestartedAfterSeal);
    assert!(found.position.generation.follows(sealed.generation));
    assert_eq!(found.position.frame, 0);
}

#[test]
fn a_restart_without_a_seal_is_judged_by_its_pages() {
    let case = Case::new();
    case.uncaptured("PRAGMA wal_checkpoint(PASSIVE); INSERT INTO t VALUES(1, 'nobody sealed')");
    let found = case.recover(&case.killed("a"));
    assert_eq!(found.verdict, Verdict::ForeignCommit);
}

#[test]
fn frames_lost_with_the_power_are_replayed() {
    let mut case = Case::new();
    let before = case.killed("before");
    case.execute("INSERT INTO t VALUES(1, randomblob(20000)); CREATE TABLE u(x)");
    case.execute("DELETE FROM t WHERE rowid%2=0");
    let base = case.killed("a");
    let whole = std::fs::metadata(wal(&before)).unwrap().len();
    let lost = std::fs::OpenOptions::new().write(true).open(wal(&base)).unwrap();
    lost.set_len(whole + 1000).unwrap();
    let found = case.recover(&base);
    assert_eq!(found.verdict, Verdict::LostWork);
    assert_eq!(
        commits(&wal(&base)),
        commits(&wal(&before)) + 1,
        "readers of other processes see no state in between"
    );
    assert_eq!(found.position, sqlite_wal_position(&file(&base)), "all of the -wal is in the log");
    assert_eq!(case.recover(&base).verdict, Verdict::Level, "and the next start finds nothing to do");
    assert_same_pages(&case.leader_file(), &file(&base));
}

#[test]
fn a_lost_sqlite_wal_is_replayed_over_whatever_was_moved_into_the_file() {
    let mut case = Case::new();
    // the redo point's pages are in the file, as the checkpoint's sync and later moves left them
    case.uncaptured("PRAGMA wal_checkpoint(PASSIVE)");
    case.execute("INSERT INTO t VALUES(1, randomblob(20000))");
    case.execute("VACUUM");
    let base = case.killed("a");
    std::fs::remove_file(wal(&base)).unwrap();
    let found = case.recover(&base);
    assert_eq!(found.verdict, Verdict::LostWork);
    assert_same_pages(&case.leader_file(), &file(&base));
}

#[test]
fn a_file_older_than_the_redo_point_is_no_foreign_commit() {
    let mut case = Case::new();
    case.older_than_redo_point();
    let base = case.killed("a");
    std::fs::remove_file(wal(&base)).unwrap();
    let found = case.recover(&base);
    assert_eq!(found.verdict, Verdict::LostWork);
    assert!(found.foreign_pages.is_empty());
    assert_same_pages(&case.leader_file(), &file(&base));
    assert_eq!(case.recover(&base).verdict, Verdict::Level);
}

#[test]
fn a_foreign_commit_over_a_file_older_than_the_redo_point_is_refused() {
    let mut case = Case::new();
    case.older_than_redo_point();
    let base = case.killed("a");
    std::fs::remove_file(wal(&base)).unwrap();
    stock(&base, "UPDATE t SET a=0 WHERE rowid=150");
    let error = case.try_recover(&base).unwrap_err();
    assert!(matches!(error, LeaderRecoveryError::Contradiction { .. }), "{error}");
}

#[test]
fn a_file_that_the_kept_log_cannot_restore_is_refused() {
    let mut case = Case::new();
    // the pages in full, and more than a segment behind them
    case.execute("UPDATE t SET a=-a WHERE rowid=100");
    let other = case.leader.create("other", "");
    case.leader.execute(other, "CREATE TABLE f(x); INSERT INTO f VALUES(randomblob(3000000))");
    case.execute("UPDATE t SET a=-a WHERE rowid=100");
    case.older_than_redo_point();
    let kept = case.leader.dir.join("pg_wal/000000010000000000000003");
    assert!(kept.exists());
    for old in 1..=2 {
        std::fs::remove_file(kept.with_file_name(format!("00000001000000000000000{old}"))).unwrap();
    }
    let base = case.killed("a");
    std::fs::remove_file(wal(&base)).unwrap();
    let before = std::fs::read(file(&base)).unwrap();
    let error = case.try_recover(&base).unwrap_err();
    assert!(matches!(error, LeaderRecoveryError::OlderThanLog { .. }), "{error}");
    assert!(error.hint().is_some());
    assert!(before == std::fs::read(file(&base)).unwrap(), "a refused start has written");
}

#[test]
fn a_stock_program_that_only_looked_has_changed_nothing() {
    let case = Case::new();
    let base = case.killed("a");
    stock(&base, "SELECT count(*) FROM t");
    assert!(!wal(&base).exists(), "its close moved the frames and deleted the -wal");
    let found = case.recover(&base);
    assert_eq!(found.verdict, Verdict::Level);
    assert_same_pages(&case.leader_file(), &file(&base));
}

#[test]
fn a_stock_program_that_left_wal_mode_has_changed_nothing() {
    let case = Case::new();
    let base = case.killed("a");
    stock(&base, "PRAGMA journal_mode=DELETE");
    assert_eq!(case.recover(&base).verdict, Verdict::Level);
    assert_same_pages(&case.leader_file(), &file(&base));
}

#[test]
fn a_foreign_commit_is_logged() {
    for sql in ["INSERT INTO t VALUES(0, randomblob(30000))", "DELETE FROM t; VACUUM", "UPDATE t SET a=0"] {
        let mut case = Case::new();
        let base = case.killed("a");
        stock(&base, sql);
        let mut recovery = case.try_recover(&base).unwrap();
        assert_eq!(recovery.databases[0].verdict, Verdict::ForeignCommit, "{sql}");
        recovery.log_foreign_commits(&case.leader.writer).unwrap();
        // a follower that replays this log has it too
        let follower = ToyFollower::new(&case.directory.path().join("follower"));
        let end = case.leader.end();
        let redo = follower.start(&case.leader.source(), first_lsn(), end, Vec::new());
        assert_eq!(redo.stopped().count(), 0);
        assert_same_pages(&file(&base), &follower.path("postgres"));
        // and the next start finds nothing to do
        case.states.clone_from(&case.leader.states());
        let again = case.try_recover(&base);
        assert!(again.is_ok(), "{again:?}");
    }
}

#[test]
fn lost_work_under_a_foreign_commit_is_refused() {
    let mut case = Case::new();
    let base = case.killed("a");
    case.execute("UPDATE t SET a=-a WHERE rowid=1");
    case.execute("UPDATE t SET a=-a WHERE rowid=290");
    stock(&base, "UPDATE t SET a=0 WHERE rowid=150");
    let error = case.try_recover(&base).unwrap_err();
    assert!(matches!(error, LeaderRecoveryError::Contradiction { .. }), "{error}");
    assert!(error.hint().is_some());
}

#[test]
fn the_same_salts_with_other_content_are_not_taken_for_the_logged_frames() {
    let mut case = Case::new();
    let base = case.killed("a");
    case.execute("UPDATE t SET a=-a WHERE rowid=1");
    // another program appends to the -wal that has lost a frame; its close leaves the file
    let stranger = Connection::open(file(&base)).unwrap();
    stranger.execute_batch("PRAGMA wal_autocheckpoint=0; UPDATE t SET a=0 WHERE rowid=1").unwrap();
    let copy = case.directory.path().join("b/base");
    std::fs::create_dir_all(&copy).unwrap();
    for name in ["postgres.db", "postgres.db-wal", "postgres.hash"] {
        std::fs::copy(base.join(name), copy.join(name)).unwrap();
    }
    drop(stranger);
    let (ours, theirs) = (sqlite_wal_position(&case.leader_file()), sqlite_wal_position(&file(&copy)));
    assert_eq!((ours.generation, ours.frame), (theirs.generation, theirs.frame), "the trap is set");
    let error = case.try_recover(&copy).unwrap_err();
    assert!(matches!(error, LeaderRecoveryError::Contradiction { .. }), "{error}");
}

#[test]
fn without_page_hashes_a_level_database_still_starts() {
    let case = Case::new();
    let base = case.killed("a");
    std::fs::remove_file(base.join("postgres.hash")).unwrap();
    let found = case.recover(&base);
    assert_eq!(found.verdict, Verdict::Level);
    assert_eq!(found.hashes, case.leader.databases[&case.id].hashes);
}

#[test]
fn a_database_that_was_created_and_lost_is_made_again() {
    let mut case = Case::new();
    let new = case.leader.create("new", "PRAGMA page_size=1024");
    case.leader.execute(new, "CREATE TABLE n(x); INSERT INTO n VALUES(1)");
    let gone = case.leader.create("gone", "");
    case.leader.execute(gone, "CREATE TABLE n(x)");
    let base = case.killed("a");
    case.leader.drop_database(gone);
    std::fs::remove_file(base.join("new.db")).unwrap();
    std::fs::remove_file(base.join("new.db-wal")).unwrap();
    assert!(base.join("gone.db").exists(), "a drop that a kill interrupted");
    let recovery = case.try_recover(&base).unwrap();
    let names: Vec<&str> = recovery.databases.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(names, ["postgres", "new"]);
    assert!(!base.join("gone.db").exists());
    assert_same_pages(&case.leader.databases[&new].path, &base.join("new.db"));
    assert_eq!(recovery.next_database_id, DatabaseId(gone.0 + 1));
}

#[test]
fn an_unfinished_database_is_dropped_in_the_log() {
    let mut case = Case::new();
    let unfinished = case.leader.create("shop", "");
    // its file gets its name only once its commit is in the log
    drop(case.leader.databases.remove(&unfinished));
    std::fs::remove_file(case.leader.dir.join("base/shop.db")).unwrap();
    let base = case.killed("a");
    let mut recovery = case.try_recover(&base).unwrap();
    assert_eq!(recovery.databases.len(), 1);
    assert_eq!(recovery.unfinished, [(unfinished, "shop".parse().unwrap())]);
    assert!(recovery.next_database_id > unfinished);
    recovery.log_foreign_commits(&case.leader.writer).unwrap();

    // the name is free again, for the next start and for a follower
    let shop = case.leader.create("shop", "");
    case.leader.execute(shop, "CREATE TABLE t(a)");
    let recovery = case.try_recover(&case.killed("b")).unwrap();
    assert_eq!((recovery.databases.len(), recovery.unfinished), (2, Vec::new()));
    let follower = ToyFollower::new(&case.directory.path().join("follower"));
    let redo = follower.start(&case.leader.source(), first_lsn(), case.leader.end(), Vec::new());
    assert_eq!(redo.stopped().count(), 0);
    assert_same_pages(&case.leader.databases[&shop].path, &follower.path("shop"));
}
