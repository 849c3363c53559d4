//! The durable state of one walship node and what its sessions share.
//!
//! Knows the data directory, the control file, slots, and who is connected; knows
//! no sockets and no SQL. The nouns: [`DataDirectory`], [`ControlFile`], [`Slots`],
//! [`Backends`] and [`Senders`].
//!
//! ```
//! use walship_node::{RetentionInput, retention};
//! use walship_types::{Lsn, SegmentNo, SegmentSize};
//! let keep = retention(&RetentionInput {
//!     redo: Lsn(0x900_0000),
//!     current: Lsn(0xA00_0000),
//!     slots: Some(Lsn(0x300_0000)),
//!     connections: None,
//!     archive: None,
//!     keep_bytes: 0,
//!     slot_keep_bytes_max: None,
//!     segment_size: SegmentSize::DEFAULT,
//! });
//! assert_eq!(keep.keep_from, SegmentNo(3));
//! ```

mod backends;
mod backup_progress;
mod control;
mod directory;
mod error;
mod fence;
mod initialize;
mod options_file;
mod pid_file;
mod receiver;
mod retention;
mod sealed;
mod senders;
mod slots;
mod synchronous;

pub use backends::{
    BackendGuard, BackendInfo, BackendKind, BackendStart, BackendState, BackendTls, Backends, Interrupt,
    InterruptHook, QUERY_BYTES_MAX, WORKER_PID_MAX, WaitShown,
};
pub use backup_progress::{BackupPhase, BackupProgress};
pub use control::{AbandonedLog, ControlDatabase, ControlFile, ControlState, Rewinding};
pub use directory::{DataDirectory, DirectoryLock};
pub use error::{NodeError, OTHER_VERSION};
pub use fence::{DismissedTimeline, Fence, NoProof, judge_history};
pub use initialize::{NewCluster, POSTGRES_MAJOR, create_cluster, create_missing_folders, new_system_id};
pub use options_file::write_options_file;
pub use pid_file::{PidFile, PidStatus};
pub use receiver::{Receiver, ReceiverInfo, ReceiverStatus};
pub use retention::{Retention, RetentionInput, SlotStatus, retention, slot_status};
pub use senders::{SenderGuard, SenderInfo, SenderState, Senders};
pub use slots::{SlotError, SlotGuard, SlotInfo, Slots, check_slot_name, slot_name_for};
pub use synchronous::{
    SyncFollower, SyncJudgement, SyncLevel, SyncLevels, SyncPositions, SyncStanding, SyncState, Synchronous,
    judge,
};
