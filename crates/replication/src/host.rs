use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use walship_basebackup::BackupFile;
use walship_node::{BackupProgress, SenderState};
use walship_protocol::wire::ErrorFields;
use walship_protocol::{Awaited, Lags, PeerPositions, SlotName};
use walship_types::{
    DatabaseId, Lsn, PageNo, SegmentNo, SegmentSize, SystemId, TimelineHistory, TimelineId, Timestamp,
};

use super::failover::FailoverHost;

/// How far a server is on its way out, as senders have to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum ServerPhase {
    /// Serving.
    #[default]
    Running,
    /// The last record is written: send what there is, wait until followers have it, end.
    Draining,
    /// End at once.
    Stopping,
}

/// What replication connections need of the node that they run on.
///
/// Methods must not wait for anything but memory, except those that say that they
/// block; these are called on threads that may.
pub trait ReplicationHost: Send + Sync + 'static {
    /// The cluster.
    fn system_id(&self) -> SystemId;

    /// Size of its log segments.
    fn segment_size(&self) -> SegmentSize;

    /// The timeline that this node is on, and how it got there. On a follower: the one
    /// that it replays.
    fn history(&self) -> Arc<TimelineHistory>;

    /// The history file of a timeline; blocks. `None` if there is none.
    fn read_history(&self, timeline: TimelineId) -> Result<Option<TimelineHistory>, ErrorFields>;

    /// Whether this node replays (and so has received rather than written its log).
    fn is_follower(&self) -> bool;

    /// The log as it is now. After a promotion it is another one; the old one's
    /// [`LogSource::wait_flushed`] then says so.
    fn log(&self) -> Arc<dyn LogSource>;

    /// Value of a setting as SHOW prints it; `None` for an unknown name.
    fn show(&self, name: &str) -> Option<String>;

    /// `wal_sender_timeout`; `None` if it is 0.
    fn wal_sender_timeout(&self) -> Option<Duration>;

    /// The node's slots.
    fn slots(&self) -> &dyn SlotStore;

    /// Adds a replication connection to `pg_stat_replication`; 53300 if there are
    /// `max_wal_senders` already.
    fn register_sender(&self, session: &ReplicationSession) -> Result<Box<dyn SenderRow>, ErrorFields>;

    /// How the node changes its role; `None` if it cannot.
    fn failover(&self) -> Option<&dyn FailoverHost> {
        None
    }

    /// Whether the server is stopping.
    fn phase(&self) -> watch::Receiver<ServerPhase>;

    /// Begins a backup: makes a checkpoint (quickly if `fast`), keeps the log from its
    /// redo point on, and opens the files. Blocks. The log is kept, and full page images
    /// are logged, until the backup is dropped.
    fn start_backup(&self, fast: bool) -> Result<Box<dyn RunningBackup>, ErrorFields>;

    /// Lets a node that is rewound read pages; blocks. The log from `keep_from` on is kept
    /// until the result is dropped, 58P01 if it is gone already.
    fn page_reader(&self, keep_from: Lsn) -> Result<Box<dyn PageReader>, ErrorFields>;

    /// Makes a database of a plain SQLite file; blocks. The file belongs to the callee,
    /// which removes it.
    fn import_database(&self, name: &str, file: &Path) -> Result<(), ErrorFields>;

    /// Writes a plain, consistent copy of a database to `file`; blocks.
    fn export_database(&self, name: &str, file: &Path) -> Result<(), ErrorFields>;

    /// An existing directory on the data directory's file system for files in transit.
    fn scratch_directory(&self) -> PathBuf;
}

/// Who is at the other end of a replication connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationSession {
    /// The session's number, as it was given to the client.
    pub pid: i32,
    /// The user's name.
    pub user: String,
    /// Whether that user may change databases.
    pub superuser: bool,
    /// How the client calls itself: a follower's name.
    pub application_name: String,
    /// Its address, for logs and views; `None` for a Unix socket.
    pub client: Option<SocketAddr>,
}

/// How far a replication connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SenderReport {
    /// What it does.
    pub state: SenderState,
    /// Handed to the network.
    pub sent: Lsn,
    /// What the receiver says of itself.
    pub peer: PeerPositions,
    /// How long after this server it had the log.
    pub lags: Lags,
    /// The receiver's clock when it said so.
    pub reply_time: Option<Timestamp>,
}

/// A connection's row in `pg_stat_replication`; dropping it removes the row.
pub trait SenderRow: Send + Sync {
    /// Shows where it is now; wakes commits that wait for it.
    fn update(&self, report: SenderReport);

    /// Shows how far the base backup is that this connection sends, until `None`.
    fn backing_up(&self, progress: Option<Arc<BackupProgress>>);

    /// What commits wait for at this receiver.
    fn awaited(&self) -> Awaited;
}

/// What READ_REPLICATION_SLOT and the views show of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotPosition {
    /// The oldest position that its receiver still needs; 0/0 if it has reserved none.
    pub restart: Lsn,
}

/// The node's replication slots. Errors carry PostgreSQL's SQLSTATEs: 42710 exists,
/// 42704 does not, 55006 active, 53400 no free slot, 55000 has lost its log.
pub trait SlotStore: Send + Sync {
    /// Makes a slot; a temporary one belongs to the session `temporary_owner`. `reserve`
    /// holds the log from the redo point on. Blocks.
    fn create(&self, name: &SlotName, temporary_owner: Option<i32>, reserve: bool)
    -> Result<(), ErrorFields>;

    /// Removes a slot that nobody uses. Blocks.
    fn remove(&self, name: &SlotName) -> Result<(), ErrorFields>;

    /// Where a slot is; `None` if there is none.
    fn read(&self, name: &SlotName) -> Option<SlotPosition>;

    /// Takes a slot for the session `pid` until the result is dropped.
    fn acquire(&self, name: &SlotName, pid: i32) -> Result<Box<dyn SlotUse>, ErrorFields>;

    /// Removes the temporary slots of a session that ends.
    fn drop_temporary(&self, pid: i32);
}

/// A slot in use.
pub trait SlotUse: Send + Sync {
    /// The receiver has everything before `flushed`.
    fn advance(&self, flushed: Lsn);

    /// Whether log that it needed was removed meanwhile.
    fn is_lost(&self) -> bool;
}

/// Why a wait for the log ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogWait {
    /// The position is flushed.
    Reached,
    /// Nothing will be added to this log any more: look at [`ReplicationHost::log`] again.
    Closed,
}

/// A node's log, for reading. Bytes before a timeline's switch point are the same on
/// both timelines, so a position is enough.
pub trait LogSource: Send + Sync {
    /// Up to `to - from` bytes, at least one, verbatim; blocks. `to` is at most the flush
    /// position. An error is 58P01 for a segment that is gone, XX001 for damage.
    fn read(&self, from: Lsn, to: Lsn) -> Result<Bytes, ErrorFields>;

    /// The bytes from `start` on for somebody else's log; blocks. Errors as
    /// [`LogSource::read`].
    fn checked(&self, start: Lsn) -> Result<Box<dyn CheckedLog>, ErrorFields>;

    /// Everything before this is durable here.
    fn flushed(&self) -> Lsn;

    /// The oldest segment that there still is.
    fn oldest_segment(&self) -> SegmentNo;

    /// Waits until everything before `lsn` is durable.
    fn wait_flushed(&self, lsn: Lsn) -> Pin<Box<dyn Future<Output = LogWait> + Send + '_>>;
}

/// A node's log, one piece after the other, of which no byte is given out before the
/// record that it belongs to was checked: what rotted on one disk is not passed on.
pub trait CheckedLog: Send {
    /// Where the next piece begins.
    fn position(&self) -> Lsn;

    /// The next piece, none of it at or behind `to`; blocks. Empty as long as the record
    /// there is not durable as a whole. XX001 if it is damaged.
    fn next(&mut self, to: Lsn) -> Result<Bytes, ErrorFields>;
}

/// Reads pages of a node's databases as they are now.
pub trait PageReader: Send {
    /// Up to `count` whole pages from `first` on, fewer at the end of the database; blocks.
    /// `None` if there is no database of that id.
    fn read(&mut self, database: DatabaseId, first: PageNo, count: u32)
    -> Result<Option<Bytes>, ErrorFields>;

    /// The timeline, and a position of it before which the log has everything that the
    /// pages show, and durably; blocks.
    fn end(&mut self) -> Result<(Lsn, TimelineId), ErrorFields>;
}

/// Where a backup starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupStart {
    /// The redo point: replay starts here.
    pub redo: Lsn,
    /// The checkpoint record that names it.
    pub checkpoint: Lsn,
    /// The timeline of both.
    pub timeline: TimelineId,
    /// When it began.
    pub time: Timestamp,
}

/// A backup that has begun. Dropped without [`RunningBackup::stop`] it is given up.
pub trait RunningBackup: Send {
    /// Where it starts.
    fn start(&self) -> BackupStart;

    /// Everything that goes into the archive but `backup_label` and the empty
    /// directories: `control`, `PG_VERSION`, `postgresql.conf`, `postgresql.auto.conf`,
    /// `base/*.hash`, `base/*.db`.
    fn files(&self) -> Vec<BackupFile>;

    /// Ends it: everything that makes the copy consistent is durable in the log before
    /// the returned position. Blocks. The log from the start on is kept until this is
    /// dropped: it may still have to be copied.
    fn stop(&mut self) -> Result<Lsn, ErrorFields>;

    /// Whether everything up to its end is archived, towards which it does what there is to
    /// be done; `None` if the node archives nothing.
    fn is_archived(&mut self) -> Result<Option<bool>, ErrorFields>;
}
