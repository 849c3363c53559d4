use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tempfile::TempDir;
use walship_disk::{Disk, SimDisk, SimFaults};
use walship_types::{DatabaseId, PageSize, SegmentSize, SystemId, TimelineHistory, TimelineId};
use walship_wal::{WalConfig, WalWriter, create_first_segment};

use crate::database::Database;
use crate::turn::WaitLimits;
use crate::{Databases, EngineOptions, Session};

static NEVER: AtomicBool = AtomicBool::new(false);

/// A leader that seals, flushes and looks at its databases only when it is told to.
pub(crate) struct Idle {
    pub(crate) disk: SimDisk,
    pub(crate) writer: Arc<WalWriter>,
    databases: Arc<Databases>,
    pub(crate) database: Arc<Database>,
    session: Session,
    _directory: TempDir,
}

impl Idle {
    pub(crate) fn new() -> Idle {
        let directory = tempfile::tempdir().unwrap();
        let disk = SimDisk::new(1);
        disk.create_dir("/pg_wal".as_ref()).unwrap();
        let history = TimelineHistory::root(TimelineId::FIRST);
        let wal =
            WalConfig::new(Arc::new(disk.clone()), "/pg_wal", SystemId(7), SegmentSize::DEFAULT, history);
        let wal = WalConfig { write_delay: Duration::from_secs(3600), ..wal };
        let end = create_first_segment(&wal).unwrap();
        let writer = Arc::new(WalWriter::start(wal, end).unwrap());
        let mut options = EngineOptions::new(directory.path(), SystemId(7));
        (options.poll_interval, options.seal_bytes) = (Duration::from_secs(3600), u64::MAX);
        let databases = Databases::new(options).unwrap();
        databases.lead(Arc::clone(&writer), Vec::new(), DatabaseId(1)).unwrap();
        databases.create(&"t".parse().unwrap(), PageSize::DEFAULT).unwrap();
        let (database, session) = (databases.get("t").unwrap(), databases.session("t").unwrap());
        let mut idle = Idle { disk, writer, databases, database, session, _directory: directory };
        idle.commit("CREATE TABLE t(a); INSERT INTO t VALUES (1)");
        idle
    }

    /// Commits, without a flush of the log.
    pub(crate) fn commit(&mut self, sql: &str) {
        self.session.before_write(&WaitLimits { deadline: None, cancel: &NEVER }).unwrap();
        self.session.connection().execute_batch(sql).unwrap();
        self.session.after_statement().unwrap();
    }

    pub(crate) fn no_sync_succeeds(&self) {
        self.disk.set_faults(SimFaults { changes_before_power_off: Some(0), ..SimFaults::default() });
    }

    /// What is in the database file, whatever the -wal has.
    pub(crate) fn file(&self) -> Vec<u8> {
        std::fs::read(self.database.path()).unwrap()
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.databases.close("the test is over");
    }
}
