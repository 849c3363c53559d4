use std::fmt;

use walship_types::Lsn;

use crate::RECORD_PAYLOAD_MAX;
use crate::segment_header::SegmentHeaderError;

/// Where a log ends, and how that was seen. It is a value: every log ends somewhere, and
/// only the caller knows whether it should have gone on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalEnd {
    /// End of the last valid record.
    pub at: Lsn,
    /// What is there instead of another one.
    pub reason: EndReason,
    /// Name of the segment file that was looked at last.
    pub file: String,
    /// Offset in that file, in bytes.
    pub offset: u64,
}

impl fmt::Display for WalEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log ends at {}: {} (file \"{}\", offset {})", self.at, self.reason, self.file, self.offset)
    }
}

/// What is at the end of a log instead of a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndReason {
    /// Nothing was written there yet.
    #[error("zeroes")]
    Zeroes,
    /// The rest was not flushed yet: a reader of a running log has caught up.
    #[error("not flushed yet")]
    NotFlushed,
    /// The header is damaged, or was written in part.
    #[error("record header checksum is {found:08x}, computed {expected:08x}")]
    HeaderChecksum {
        /// Computed from the header.
        expected: u32,
        /// Stored in it.
        found: u32,
    },
    /// The payload is damaged, or was written in part.
    #[error("record payload checksum is {found:08x}, computed {expected:08x}")]
    PayloadChecksum {
        /// Computed from payload and padding.
        expected: u32,
        /// Stored in the header.
        found: u32,
    },
    /// Something that does not say that it belongs here: what a recycled segment held before.
    #[error("record says that it is at {found}")]
    StaleRecord {
        /// Its own LSN.
        found: Lsn,
    },
    /// An intact record that does not follow the one before it.
    #[error("record says that it follows the one at {found}, expected {expected}")]
    PreviousMismatch {
        /// The record before.
        expected: Lsn,
        /// What the record says.
        found: Lsn,
    },
    /// Longer than any record is.
    #[error("record payload length is {found}, at most {RECORD_PAYLOAD_MAX} allowed")]
    PayloadLength {
        /// The header's.
        found: u32,
    },
    /// Of a kind that this program does not know.
    #[error("record kind is {found}, which is not known")]
    UnknownKind {
        /// The header's.
        found: u8,
    },
    /// Flags or reserved bytes that have no meaning yet.
    #[error("record flags are {found:06x}, expected 0")]
    UnknownFlags {
        /// Flags and reserved bytes.
        found: u32,
    },
    /// The segment file does not exist.
    #[error("segment file does not exist")]
    MissingSegment,
    /// The segment file does not begin as it has to.
    #[error("{0}")]
    SegmentHeader(SegmentHeaderError),
}
