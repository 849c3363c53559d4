//! A real leader and what replays its log: through checkpoints, kills of the leader,
//! and a promotion.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use support::{Dice, SYSTEM, assert_same_pages, first_lsn, wal_config};
use walship_engine::recovery::{LeaderRecovery, ScanStart, Verdict};
use walship_engine::redo::{Redo, RedoCatalog, RedoOptions, RedoStart};
use walship_engine::{CheckpointDone, Databases, EngineOptions, LeaderStart, WaitLimits};
use walship_types::{DatabaseId, Lsn, PageSize, TimelineId};
use walship_wal::{Next, WalSource, WalWriter, clean_tail, create_first_segment, recover};

static NEVER: AtomicBool = AtomicBool::new(false);

struct Leader {
    dir: PathBuf,
    databases: Arc<Databases>,
    writer: Arc<WalWriter>,
    checkpoint: Option<CheckpointDone>,
}

impl Leader {
    fn new(dir: &Path) -> Leader {
        std::fs::create_dir_all(dir.join("base")).unwrap();
        std::fs::create_dir_all(dir.join("pg_wal")).unwrap();
        let config = wal_config(&dir.join("pg_wal"));
        let end = create_first_segment(&config).unwrap();
        let writer = Arc::new(WalWriter::start(config, end).unwrap());
        let databases = Databases::new(EngineOptions::new(dir.join("base"), SYSTEM)).unwrap();
        databases.lead(Arc::clone(&writer), Vec::new(), DatabaseId(1)).unwrap();
        databases.create(&"t".parse().unwrap(), PageSize::DEFAULT).unwrap();
        Leader { dir: dir.to_owned(), databases, writer, checkpoint: None }
    }

    fn write(&self, sql: &str) -> Lsn {
        let mut session = self.databases.session("t").unwrap();
        session.before_write(&WaitLimits { deadline: None, cancel: &NEVER }).unwrap();
        let result = session.connection().execute_batch(sql);
        session.after_statement().unwrap();
        result.unwrap();
        let end = self.writer.lock_insert().unwrap().end();
        self.writer.flush(end).unwrap();
        end
    }

    fn checkpoint(&mut self) {
        self.checkpoint = Some(self.databases.checkpoint(false).unwrap());
    }

    /// Another process' view of the directory after a kill: its files, copied.
    fn killed(&self, to: &Path) {
        for part in ["base", "pg_wal"] {
            std::fs::create_dir_all(to.join(part)).unwrap();
            for entry in std::fs::read_dir(self.dir.join(part)).unwrap() {
                let entry = entry.unwrap();
                if entry.path().is_file() && !entry.file_name().to_string_lossy().ends_with("-shm") {
                    std::fs::copy(entry.path(), to.join(part).join(entry.file_name())).unwrap();
                }
            }
        }
    }

    /// Starts on the files of a killed leader, as a process would.
    fn start_again(dir: &Path, checkpoint: Option<CheckpointDone>) -> (Leader, Verdict) {
        let config = wal_config(&dir.join("pg_wal"));
        let redo = checkpoint.as_ref().map_or(first_lsn(), |done| done.redo);
        let states = checkpoint.as_ref().map_or_else(Vec::new, |done| done.databases.clone());
        let found = recover(&config, redo, Lsn::INVALID).unwrap();
        let end = found.end.at;
        let writer =
            Arc::new(WalWriter::start(config.clone(), clean_tail(&config, &found).unwrap()).unwrap());
        let own_timeline = Some(TimelineId::FIRST);
        let start = ScanStart { redo, end, states, own_timeline, own_states: true };
        let options = RedoOptions::new(dir.join("base"), SYSTEM);
        let mut recovery = LeaderRecovery::run(&options, &writer.source(), &start).unwrap();
        recovery.log_foreign_commits(&writer).unwrap();
        let databases = Databases::new(EngineOptions::new(dir.join("base"), SYSTEM)).unwrap();
        let verdict = recovery.databases[0].verdict;
        let next_id = recovery.next_database_id;
        recovery.databases.iter().for_each(|found| drop(databases.attach(found.id, &found.name).unwrap()));
        let starts: Vec<LeaderStart> = recovery.databases.into_iter().map(Into::into).collect();
        databases.lead(Arc::clone(&writer), starts, next_id).unwrap();
        (Leader { dir: dir.to_owned(), databases, writer, checkpoint }, verdict)
    }

    fn file(&self) -> PathBuf {
        self.dir.join("base/t.db")
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.databases.close("the test is over");
    }
}

fn follow(source: &WalSource, dir: &Path, catalog: &Arc<Databases>) -> Redo {
    let options = RedoOptions::new(dir.join("base"), SYSTEM);
    let first = first_lsn();
    let start = RedoStart { redo: first, end: first, states: Vec::new(), consistent_at: Lsn::INVALID };
    let catalog: Arc<dyn RedoCatalog> = catalog.clone();
    Redo::start(options, catalog, source, &start, Arc::new(|| false)).unwrap()
}

fn catch_up(redo: &mut Redo, source: &WalSource, end: Lsn) {
    let mut reader = source.reader(redo.resume_from());
    while reader.position() < end {
        match reader.next().unwrap() {
            Next::Record(record) => redo.apply(&record).unwrap(),
            Next::End(end) => panic!("{end}"),
        }
    }
    redo.commit_batch().unwrap();
    assert_eq!(redo.stopped().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
}

fn follower_databases(dir: &Path) -> Arc<Databases> {
    std::fs::create_dir_all(dir.join("base")).unwrap();
    let databases = Databases::new(EngineOptions::new(dir.join("base"), SYSTEM)).unwrap();
    databases.follow();
    databases
}

fn random_sql(dice: &mut Dice) -> String {
    match dice.roll(8) {
        0..=2 => format!("INSERT INTO t VALUES({}, randomblob({}))", dice.roll(99), dice.roll(9000)),
        3 => "UPDATE t SET a=a+1".to_owned(),
        4 => format!("DELETE FROM t WHERE rowid%4={}", dice.roll(4)),
        5 => "VACUUM".to_owned(),
        6 => format!("CREATE TABLE IF NOT EXISTS n{}(x UNIQUE)", dice.roll(5)),
        _ => "INSERT INTO t SELECT a, randomblob(300) FROM t LIMIT 40".to_owned(),
    }
}

#[test]
fn a_follower_replays_what_a_leader_captures() {
    let directory = tempfile::tempdir().unwrap();
    let mut leader = Leader::new(&directory.path().join("leader"));
    leader.write("CREATE TABLE t(a, b)");
    let dir = directory.path().join("follower");
    let databases = follower_databases(&dir);
    let source = leader.writer.source();
    let mut redo = follow(&source, &dir, &databases);
    let mut dice = Dice(42);
    for round in 0..60 {
        let end = leader.write(&random_sql(&mut dice));
        if round % 10 == 5 {
            leader.checkpoint();
        }
        if round % 4 == 0 {
            catch_up(&mut redo, &source, end);
            assert_same_pages(&leader.file(), &dir.join("base/t.db"));
        }
    }
    let session = databases.session("t").unwrap();
    let rows: i64 =
        session.connection().query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert!(rows > 0, "sessions of the follower read it");
}

#[test]
fn a_killed_leader_goes_on_where_its_log_ends() {
    let directory = tempfile::tempdir().unwrap();
    let mut leader = Leader::new(&directory.path().join("leader0"));
    leader.write("CREATE TABLE t(a, b)");
    let mut dice = Dice(7);
    for life in 1..6 {
        for round in 0..12 {
            leader.write(&random_sql(&mut dice));
            if round == 6 && life % 2 == 0 {
                leader.checkpoint();
            }
        }
        let before = leader.writer.lock_insert().unwrap().end();
        leader.writer.flush(before).unwrap();
        let dir = directory.path().join(format!("leader{life}"));
        leader.killed(&dir);
        let (again, verdict) = Leader::start_again(&dir, leader.checkpoint.clone());
        assert_eq!(verdict, Verdict::Level);
        assert_same_pages(&leader.file(), &again.file());
        leader = again;
    }
    // whoever replays the whole log, over all lives, has the same pages
    let end = leader.write("INSERT INTO t VALUES(1, 'last')");
    let dir = directory.path().join("follower");
    let source = leader.writer.source();
    let mut redo = follow(&source, &dir, &follower_databases(&dir));
    catch_up(&mut redo, &source, end);
    assert_same_pages(&leader.file(), &dir.join("base/t.db"));
}
