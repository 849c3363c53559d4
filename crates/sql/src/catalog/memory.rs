//! A stand-in for a node, for tests: rows are what the test puts in, actions are noted.

use std::time::Duration;

use parking_lot::Mutex;
use walship_settings::Reload;
use walship_types::{Lsn, SegmentSize, SystemId, TimelineId, Timestamp};

use super::{
    ArchiverStatistics, BackendRow, BaseBackupRow, CatalogSource, CheckpointStatistics, ControlRow,
    DatabaseRow, NewSlot, NodeIdentity, Positions, ReceiverRow, ReplayPause, ReplicationRow, RoleRow,
    SlotRow, SqlError, WalStatistics,
};

/// What a node would answer.
#[derive(Debug, Clone)]
pub struct MemoryState {
    /// Whether it is a follower.
    pub in_recovery: bool,
    /// Its positions.
    pub positions: Positions,
    /// Its sessions.
    pub backends: Vec<BackendRow>,
    /// Its followers.
    pub replication: Vec<ReplicationRow>,
    /// Its receiver.
    pub receiver: Option<ReceiverRow>,
    /// Its slots.
    pub slots: Vec<SlotRow>,
    /// Its databases.
    pub databases: Vec<DatabaseRow>,
    /// Whether replay is paused.
    pub pause: ReplayPause,
    /// The actions asked for, in order, each in words.
    pub actions: Vec<String>,
}

/// A [`CatalogSource`] that answers from a [`MemoryState`].
#[derive(Debug)]
pub struct MemorySource {
    /// What it answers; change it at will.
    pub state: Mutex<MemoryState>,
}

impl Default for MemorySource {
    /// A leader with one database, no followers, and its log at 0/3000000.
    fn default() -> MemorySource {
        let at = Lsn(0x300_0000);
        let positions = Positions { timeline: 1, insert: at, write: at, flush: at, ..Positions::default() };
        let database = DatabaseRow {
            id: 5,
            name: "postgres".to_owned(),
            page_size: 4096,
            pages: 2,
            ..DatabaseRow::default()
        };
        MemorySource {
            state: Mutex::new(MemoryState {
                in_recovery: false,
                positions,
                backends: Vec::new(),
                replication: Vec::new(),
                receiver: None,
                slots: Vec::new(),
                databases: vec![database],
                pause: ReplayPause::NotPaused,
                actions: Vec::new(),
            }),
        }
    }
}

impl MemorySource {
    fn note(&self, action: String) {
        self.state.lock().actions.push(action);
    }
}

impl CatalogSource for MemorySource {
    fn identity(&self) -> NodeIdentity {
        NodeIdentity {
            system_id: SystemId(7_711_202_498_677_149_815),
            segment_size: SegmentSize::DEFAULT,
            data_directory: "/data".into(),
            started_at: Timestamp(0),
        }
    }

    fn in_recovery(&self) -> bool {
        self.state.lock().in_recovery
    }

    fn positions(&self) -> Positions {
        self.state.lock().positions
    }

    fn control(&self) -> ControlRow {
        ControlRow {
            checkpoint: Lsn(0x200_0060),
            redo: Lsn(0x200_0028),
            timeline: TimelineId::FIRST,
            previous_timeline: TimelineId::FIRST,
            time: Timestamp(0),
            minimum_recovery: Lsn::INVALID,
            modified_at: Timestamp(0),
        }
    }

    fn backends(&self) -> Vec<BackendRow> {
        self.state.lock().backends.clone()
    }

    fn replication(&self) -> Vec<ReplicationRow> {
        self.state.lock().replication.clone()
    }

    fn receiver(&self) -> Option<ReceiverRow> {
        self.state.lock().receiver.clone()
    }

    fn slots(&self) -> Vec<SlotRow> {
        self.state.lock().slots.clone()
    }

    fn databases(&self) -> Vec<DatabaseRow> {
        self.state.lock().databases.clone()
    }

    fn wal_statistics(&self) -> WalStatistics {
        WalStatistics::default()
    }

    fn checkpoint_statistics(&self) -> CheckpointStatistics {
        CheckpointStatistics::default()
    }

    fn archiver_statistics(&self) -> ArchiverStatistics {
        ArchiverStatistics::default()
    }

    fn base_backups(&self) -> Vec<BaseBackupRow> {
        Vec::new()
    }

    fn roles(&self) -> Vec<RoleRow> {
        let name = "postgres".to_owned();
        vec![RoleRow {
            oid: 10,
            name,
            superuser: true,
            replication: true,
            create_database: true,
            login: true,
            create_role: true,
            connection_limit: -1,
            verifier: None,
            valid_until: None,
            privileges: Vec::new(),
        }]
    }

    fn configuration_loaded_at(&self) -> Timestamp {
        Timestamp(0)
    }

    fn synchronous(&self) -> Vec<super::SynchronousRow> {
        Vec::new()
    }

    fn replay_pause(&self) -> ReplayPause {
        self.state.lock().pause
    }

    fn cancel(&self, pid: i32) -> Result<bool, SqlError> {
        self.note(format!("cancel {pid}"));
        Ok(self.backends().iter().any(|backend| backend.pid == pid))
    }

    fn terminate(&self, pid: i32) -> Result<bool, SqlError> {
        self.note(format!("terminate {pid}"));
        Ok(self.backends().iter().any(|backend| backend.pid == pid))
    }

    fn reload(&self) -> Result<Reload, SqlError> {
        self.note("reload".to_owned());
        Ok(Reload::default())
    }

    fn promote(&self, wait: Option<Duration>) -> Result<bool, SqlError> {
        self.note(format!("promote {wait:?}"));
        Ok(true)
    }

    fn switch_segment(&self) -> Result<Lsn, SqlError> {
        self.note("switch segment".to_owned());
        Ok(self.positions().insert)
    }

    fn create_restore_point(&self, name: &str) -> Result<Lsn, SqlError> {
        self.note(format!("restore point {name}"));
        Ok(self.positions().insert)
    }

    fn create_physical_slot(&self, slot: &NewSlot<'_>) -> Result<Option<Lsn>, SqlError> {
        self.note(format!("create {slot:?}"));
        Ok(slot.reserve.then(|| self.positions().flush))
    }

    fn drop_slot(&self, name: &str) -> Result<(), SqlError> {
        Err(SqlError::new("42704", format!("replication slot \"{name}\" does not exist")))
    }

    fn set_replay_paused(&self, paused: bool) -> Result<(), SqlError> {
        self.state.lock().pause = if paused { ReplayPause::Paused } else { ReplayPause::NotPaused };
        Ok(())
    }
}
