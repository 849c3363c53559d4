use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use walship_basebackup::BackupFile;
use walship_protocol::wire::ErrorFields;
use walship_types::{Lsn, SegmentNo, SegmentSize, SystemId, TimelineHistory, TimelineId, Timestamp};

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

    /// `max_wal_senders`.
    fn max_wal_senders(&self) -> usize;

    /// `max_replication_slots`.
    fn max_replication_slots(&self) -> usize;

    /// Position from which a slot that is made now has to hold the log: the redo point
    /// of the last checkpoint or restartpoint.
    fn redo(&self) -> Lsn;

    /// Whether the server is stopping.
    fn phase(&self) -> watch::Receiver<ServerPhase>;

    /// Begins a backup: makes a checkpoint (quickly if `fast`), keeps the log from its
    /// redo point on, and opens the files. Blocks. The log is kept, and full page images
    /// are logged, until the backup is dropped.
    fn start_backup(&self, fast: bool) -> Result<Box<dyn RunningBackup>, ErrorFields>;

    /// Makes a database of a plain SQLite file; blocks. The file belongs to the callee,
    /// which removes it.
    fn import_database(&self, name: &str, file: &Path) -> Result<(), ErrorFields>;

    /// Writes a plain, consistent copy of a database to `file`; blocks.
    fn export_database(&self, name: &str, file: &Path) -> Result<(), ErrorFields>;

    /// An existing directory on the data directory's file system for files in transit.
    fn scratch_directory(&self) -> PathBuf;
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

    /// Everything before this is durable here.
    fn flushed(&self) -> Lsn;

    /// The oldest segment that there still is.
    fn oldest_segment(&self) -> SegmentNo;

    /// Waits until everything before `lsn` is durable.
    fn wait_flushed(&self, lsn: Lsn) -> Pin<Box<dyn Future<Output = LogWait> + Send + '_>>;
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

/// A backup that has begun. Dropping it without [`RunningBackup::stop`] gives it up.
pub trait RunningBackup: Send {
    /// Where it starts.
    fn start(&self) -> BackupStart;

    /// Everything that goes into the archive but `backup_label` and the empty
    /// directories: `control`, `PG_VERSION`, `postgresql.conf`, `postgresql.auto.conf`,
    /// `base/*.hash`, `base/*.db`.
    fn files(&self) -> Vec<BackupFile>;

    /// Ends it: everything that makes the copy consistent is durable in the log before
    /// the returned position. Blocks.
    fn stop(self: Box<Self>) -> Result<Lsn, ErrorFields>;
}
