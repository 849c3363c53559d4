use serde::{Deserialize, Serialize};
use walship_disk::SharedDisk;
use walship_types::{
    DatabaseId, DatabaseName, Lsn, PageSize, SegmentSize, SqliteWalPosition, SystemId, TimelineHistory,
    TimelineId, Timestamp,
};
use walship_wal::payload::DatabaseState;

use crate::sealed::Kind;
use crate::{DataDirectory, DismissedTimeline, Fence, NodeError};

const KIND: Kind = Kind { name: "control", version: 1 };

/// What the node was doing when it last wrote its control file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlState {
    /// A leader, stopped cleanly: nothing to recover.
    ShutDown,
    /// A follower, stopped cleanly.
    ShutDownInRecovery,
    /// A leader that runs, or that crashed.
    InProduction,
    /// A follower that runs, or that crashed.
    InRecovery,
    /// A follower that is becoming the leader of the timeline in the control file:
    /// the next start finishes it.
    Promoting,
    /// A follower that has not reached the end of its base backup yet.
    InBackupRecovery,
    /// A node that is brought back to where the cluster parted from it: its files are
    /// those of no state of the cluster, and only the rewind can go on with them.
    Rewinding,
}

impl ControlState {
    /// As `pg_controldata` words it.
    pub fn describe(self) -> &'static str {
        match self {
            ControlState::ShutDown => "shut down",
            ControlState::ShutDownInRecovery => "shut down in recovery",
            ControlState::Promoting => "being promoted",
            ControlState::Rewinding => "being rewound",
            ControlState::InProduction => "in production",
            ControlState::InRecovery | ControlState::InBackupRecovery => "in archive recovery",
        }
    }
}

/// One database as of the redo point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlDatabase {
    /// Never used twice in a cluster.
    pub id: DatabaseId,
    /// Also the name of its file.
    pub name: DatabaseName,
    /// Fixed for the database's life.
    pub page_size: PageSize,
    /// Size in pages.
    pub pages: u32,
    /// XOR of all page hashes.
    pub checksum: u64,
    /// How far *this node* had read its -wal; never another node's.
    pub position: SqliteWalPosition,
}

impl ControlDatabase {
    /// From what the engine and the log have.
    pub fn of(state: &DatabaseState) -> ControlDatabase {
        ControlDatabase {
            id: state.id,
            name: state.name.clone(),
            page_size: state.page_size,
            pages: state.pages,
            checksum: state.checksum,
            position: state.position,
        }
    }

    /// As the engine and the log have it.
    pub fn state(&self) -> DatabaseState {
        DatabaseState {
            id: self.id,
            name: self.name.clone(),
            page_size: self.page_size,
            pages: self.pages,
            checksum: self.checksum,
            position: self.position,
        }
    }
}

/// The node's durable state, in the file `control`, replaced as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlFile {
    /// The cluster's.
    #[serde(skip, default = "no_system_id")]
    pub system_id: SystemId,
    /// Role and whether it was stopped cleanly.
    pub state: ControlState,
    /// Fixed for the cluster's life.
    pub segment_size: SegmentSize,
    /// Page size of databases created without saying one.
    pub default_page_size: PageSize,
    /// 0700, or 0750 when the group may read.
    pub directory_mode: u32,
    /// The timeline of the last checkpoint.
    pub timeline: TimelineId,
    /// Where replay has to start.
    pub redo: Lsn,
    /// The checkpoint record that named the redo point.
    pub checkpoint: Lsn,
    /// When that checkpoint was made.
    pub checkpoint_time: Timestamp,
    /// Replay has to get at least this far before the databases are consistent.
    pub minimum_recovery: Lsn,
    /// Nothing below this position may be missing from the log: what was known to be flushed.
    pub known_flush: Lsn,
    /// The next database's identifier.
    pub next_database_id: DatabaseId,
    /// Set while another node leads a newer timeline, and cleared when this one follows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<Fence>,
    /// Newer timelines that `walctl unfence` has taken back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dismissed: Vec<DismissedTimeline>,
    /// The databases as of the redo point.
    pub databases: Vec<ControlDatabase>,
    /// What a rewind that is under way has to know when it is run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewinding: Option<Rewinding>,
}

/// A rewind that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewinding {
    /// The node's own log that the cluster went on without; after a rewind that was
    /// interrupted while it replayed, also what it had received then.
    pub stretches: Vec<AbandonedLog>,
    /// Whether files may have been changed already.
    pub begun: bool,
    /// The log that is being replayed into the files, and from where on.
    pub replaying: Option<(TimelineHistory, Lsn)>,
}

/// Log that is kept aside, and whose pages the files may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbandonedLog {
    /// Its last timeline, and those that lead to it.
    pub history: TimelineHistory,
    /// Where the cluster went another way.
    pub fork: Lsn,
    /// Its end.
    pub end: Lsn,
    /// Name of its folder in `pg_wal/abandoned`.
    pub folder: String,
}

fn no_system_id() -> SystemId {
    SystemId(0)
}

impl ControlFile {
    /// Reads and checks the file.
    pub fn read(directory: &DataDirectory) -> Result<ControlFile, NodeError> {
        let path = directory.control();
        if directory.is_missing_or_empty()? {
            return Err(NodeError::DirectoryEmpty(directory.root().to_owned()));
        }
        if !path.exists() {
            return Err(NodeError::NotACluster(directory.root().to_owned()));
        }
        let (system_id, mut control): (_, ControlFile) = KIND.read(&path)?;
        control.system_id = system_id;
        Ok(control)
    }

    /// Replaces the file durably.
    pub fn write(&self, disk: &SharedDisk, directory: &DataDirectory) -> Result<(), NodeError> {
        KIND.write(disk, &directory.control(), self.system_id, self)
    }

    /// The file's bytes, filled up with spaces to exactly `length`, for a backup that has
    /// to say a file's size before it knows the content. Longer if they do not fit.
    pub fn to_bytes_filled(&self, length: usize) -> Result<Vec<u8>, NodeError> {
        KIND.encode(std::path::Path::new("control"), self.system_id, self, length)
    }
}
