use std::path::PathBuf;

use walship_types::{DatabaseName, Lsn, SystemId, TimelineId, Timestamp};

/// Where recovery ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Where the archive ends.
    End,
    /// With the transaction whose commit ends here: what `pg_current_wal_lsn()` says after it.
    Lsn(Lsn),
    /// With the last transaction that was committed by then.
    Time(Timestamp),
    /// At the first restore point of this name.
    Name(String),
    /// As soon as the backup is consistent.
    Immediate,
}

/// Which branch of the history is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimelineChoice {
    /// The newest one that goes through the backup.
    Latest,
    /// The one on which the backup was taken.
    Current,
    /// This one.
    Number(TimelineId),
}

/// What to restore from what, and where to.
#[derive(Debug, Clone)]
pub struct Options {
    /// A plain base backup, or an unpacked one. It is not changed.
    pub backup: PathBuf,
    /// The directory with the archived log; without it the log that came with the backup
    /// has to do.
    pub archive: Option<PathBuf>,
    /// Where recovery ends.
    pub target: Target,
    /// Whether the transaction at a target LSN or time itself is recovered.
    pub inclusive: bool,
    /// The branch of history.
    pub timeline: TimelineChoice,
    /// The new data directory: missing, empty, or left by an interrupted restore.
    pub directory: PathBuf,
    /// Whether the result is the cluster itself, which its followers may follow, instead
    /// of a new one.
    pub keep_system_id: bool,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Bytes of the backup that were copied, and in all.
    Copying {
        /// Copied.
        done: u64,
        /// In all.
        total: u64,
    },
    /// Bytes of log that were replayed, and in all as far as that is known.
    Replaying {
        /// Replayed.
        done: u64,
        /// In all.
        total: u64,
    },
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The cluster's system identifier.
    pub system_id: SystemId,
    /// The timeline that it goes on with.
    pub timeline: TimelineId,
    /// The timeline that this one leaves.
    pub from_timeline: TimelineId,
    /// Where it leaves it: end of the last record that was recovered.
    pub lsn: Lsn,
    /// End and time of the last transaction that was recovered from the log; `None` if all
    /// of them were in the backup.
    pub last_commit: Option<(Lsn, Timestamp)>,
    /// Bytes of log that were replayed.
    pub replayed_bytes: u64,
    /// What the log ends with, if recovery went on to its end, and that is neither nothing nor
    /// zeroes: a record that was written in part, or is damaged.
    pub damaged_end: Option<String>,
    /// The databases.
    pub databases: Vec<DatabaseName>,
    /// Newer timelines that do not go through the backup, where the latest was asked for.
    pub passed_over: Vec<TimelineId>,
    /// Whether the copied settings had archiving on, and it was turned off: a new cluster
    /// must not write into its original's archive.
    pub archiving_turned_off: bool,
}
