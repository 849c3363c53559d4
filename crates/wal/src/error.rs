use std::path::PathBuf;

use walship_disk::DiskError;
use walship_types::{HistoryError, Lsn, TimelineId};

use crate::payload::PayloadError;
use crate::segment_header::SegmentHeaderError;
use crate::{RecordKind, WalEnd};

/// What can go wrong with the log.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The file system refused.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is no room for more of the log; nothing was changed, and it may work later.
    #[error("no room for {needed} more bytes of the log: {source}")]
    NoSpace {
        /// Bytes that were asked for.
        needed: u64,
        /// What the file system said.
        source: DiskError,
    },
    /// A write or sync failed earlier. What is durable is unknown until recovery has
    /// looked, so the process has to stop.
    #[error("the log cannot be written any more: {reason}")]
    Poisoned {
        /// The failure, as text: many callers get it.
        reason: String,
    },
    /// The writer was shut down.
    #[error("the log is shut down")]
    ShutDown,
    /// The log has its last record unless [`crate::WalWriter::resume_appends`] says otherwise.
    #[error("nothing is appended to the log while it is handed over")]
    Held,
    /// A record was to carry too much.
    #[error("record payload of {len} bytes, at most {max} allowed")]
    PayloadTooLong {
        /// What was given.
        len: usize,
        /// [`crate::RECORD_PAYLOAD_MAX`].
        max: usize,
    },
    /// The log ends before a position up to which it is known to be durable.
    #[error("corrupt log: {end}, but it was flushed up to {known_flush}")]
    CorruptBelowFlush {
        /// Where and why it ends.
        end: WalEnd,
        /// Up to where it has to be valid.
        known_flush: Lsn,
    },
    /// A segment file is intact, but not for this cluster or this program.
    #[error("segment file \"{}\": {source}", path.display())]
    SegmentHeader {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: SegmentHeaderError,
    },
    /// The segment was removed or recycled.
    #[error("requested WAL segment {file} has already been removed: {lsn} is before {oldest}")]
    Removed {
        /// What was asked for.
        lsn: Lsn,
        /// Name of the segment file.
        file: String,
        /// Oldest position that there is.
        oldest: Lsn,
    },
    /// A segment file that has to be there is not.
    #[error("segment file \"{}\" does not exist", path.display())]
    MissingSegment {
        /// Which file.
        path: PathBuf,
    },
    /// Bytes from elsewhere do not continue the log.
    #[error("bytes at {found} do not continue the log, which ends at {expected}")]
    NotContiguous {
        /// Position that has to come next.
        expected: Lsn,
        /// Position that came.
        found: Lsn,
    },
    /// A follower's log cannot begin in the middle of a segment that it does not have.
    #[error("segment file {file} does not exist, and {lsn} is not its start")]
    StartsWithinMissingSegment {
        /// Position to begin at.
        lsn: Lsn,
        /// Name of the segment file.
        file: String,
    },
    /// A timeline is to be left elsewhere than where the log stands.
    #[error("timeline {timeline} is left at {switch_lsn}, but the log ends at {end}")]
    SwitchElsewhere {
        /// The timeline that is left.
        timeline: TimelineId,
        /// Where the new history leaves it; `0/0` if it does not contain it.
        switch_lsn: Lsn,
        /// End of the log.
        end: Lsn,
    },
    /// A payload is not what the record's kind says, though the checksums are right.
    #[error("{kind} record at {lsn}: {source}")]
    Payload {
        /// Which record.
        lsn: Lsn,
        /// Its kind.
        kind: RecordKind,
        /// What is wrong.
        source: PayloadError,
    },
    /// A history file is not one.
    #[error("history file \"{}\": {source}", path.display())]
    History {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        source: HistoryError,
    },
    /// A history file is not text.
    #[error("history file \"{}\" is not UTF-8 text", path.display())]
    HistoryNotText {
        /// Which file.
        path: PathBuf,
    },
    /// Two history files do not agree where a timeline began.
    #[error("history files \"{}\" and \"{}\" contradict each other about timeline {timeline}", path.display(), other.display())]
    HistoriesContradict {
        /// The timeline.
        timeline: TimelineId,
        /// Its own file.
        path: PathBuf,
        /// That of a timeline that comes from it.
        other: PathBuf,
    },
    /// A log cannot be cut back over records that are whole.
    #[error("the log cannot be cut back to {to}: it has whole records up to {records_end}")]
    CutsRecords {
        /// Where it should end.
        to: Lsn,
        /// End of its last whole record.
        records_end: Lsn,
    },
    /// A thread could not be started.
    #[error("could not start thread {name}: {source}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// What the operating system answered.
        source: std::io::Error,
    },
}

impl WalError {
    /// Whether the cause is a full disk: nothing was changed, and it may work later.
    pub fn is_no_space(&self) -> bool {
        match self {
            WalError::NoSpace { .. } => true,
            WalError::Disk(error) => error.is_no_space(),
            _ => false,
        }
    }
}
