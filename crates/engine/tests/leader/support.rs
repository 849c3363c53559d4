//! A leader's engine in a directory of its own, and a naive second opinion on
//! what its log says.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use walship_disk::{RealDisk, SharedDisk};
use walship_engine::{Databases, EngineError, EngineOptions, Session, StatementEnd, WaitLimits};
use walship_types::{
    DatabaseId, DatabaseName, Lsn, PageSize, SegmentSize, SystemId, TimelineHistory, TimelineId,
};
use walship_wal::{WalConfig, WalWriter, create_first_segment};

pub(crate) static NEVER: AtomicBool = AtomicBool::new(false);
pub(crate) const FOREVER: WaitLimits<'static> = WaitLimits { deadline: None, cancel: &NEVER };
pub(crate) const SYSTEM_ID: SystemId = SystemId(7);

/// Long enough for anything that works; a test fails when it is over.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Leader {
    pub(crate) databases: Arc<Databases>,
    pub(crate) writer: Arc<WalWriter>,
    pub(crate) log_start: Lsn,
    pub(crate) dir: TempDir,
}

impl Leader {
    /// A new cluster without databases.
    pub(crate) fn new(change: impl FnOnce(&mut EngineOptions)) -> Leader {
        Leader::on_disk(Arc::new(RealDisk::new()), change)
    }

    /// A new cluster whose log is on `disk`.
    pub(crate) fn on_disk(disk: SharedDisk, change: impl FnOnce(&mut EngineOptions)) -> Leader {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("base")).unwrap();
        let wal_dir = dir.path().join("pg_wal");
        let mut ancestors: Vec<_> = wal_dir.ancestors().filter(|path| path.parent().is_some()).collect();
        ancestors.reverse();
        for path in ancestors {
            if disk.metadata(path).unwrap().is_none() {
                disk.create_dir(path).unwrap();
            }
        }
        let history = TimelineHistory::root(TimelineId::FIRST);
        let config =
            WalConfig::new(disk, dir.path().join("pg_wal"), SYSTEM_ID, SegmentSize::DEFAULT, history);
        let end = create_first_segment(&config).unwrap();
        let writer = Arc::new(WalWriter::start(config, end).unwrap());
        let log_start = writer.lock_insert().unwrap().position();
        let mut options = EngineOptions::new(dir.path().join("base"), SYSTEM_ID);
        change(&mut options);
        let databases = Databases::new(options).unwrap();
        databases.lead(Arc::clone(&writer), Vec::new(), DatabaseId(1)).unwrap();
        Leader { databases, writer, log_start, dir }
    }

    /// A new cluster with the database `t`.
    pub(crate) fn with_database(page_size: u32, change: impl FnOnce(&mut EngineOptions)) -> Leader {
        let leader = Leader::new(change);
        leader.databases.create(&name("t"), PageSize::new(page_size).unwrap()).unwrap();
        leader
    }

    pub(crate) fn session(&self) -> Session {
        self.databases.session("t").unwrap()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("base/t.db")
    }

    /// The database as a plain file's content.
    pub(crate) fn export(&self, name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let database = self.databases.get(name).unwrap();
        let exported = database.export(&NEVER, |chunk| {
            bytes.extend_from_slice(chunk);
            Ok::<_, EngineError>(())
        });
        assert_eq!(exported.unwrap().bytes, bytes.len() as u64);
        bytes
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        self.databases.close("the test is over");
    }
}

pub(crate) fn name(name: &str) -> DatabaseName {
    name.parse().unwrap()
}

/// Runs one statement that may write.
pub(crate) fn write(session: &mut Session, sql: &str) -> Result<StatementEnd, EngineError> {
    session.before_write(&FOREVER)?;
    run(session, sql)
}

/// Runs one statement, with the turn only if the session has it.
pub(crate) fn run(session: &mut Session, sql: &str) -> Result<StatementEnd, EngineError> {
    let result = session.connection().execute_batch(sql);
    let end = session.after_statement()?;
    result?;
    Ok(end)
}

pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "gave up waiting: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
