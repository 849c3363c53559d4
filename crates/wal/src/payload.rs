//! What records carry. docs/wal-format.md has the layouts; integers are little-endian.
//!
//! Each type encodes itself at the end of the caller's buffer and decodes from a
//! record's payload; decoding checks every field and every length before anything is
//! built from it, and bytes left over are an error.

mod commit;
mod cursor;
mod entry;
mod error;
mod marker;
mod pages;
mod state;
mod varint;

use crate::RecordKind;

pub use commit::{COMMIT_HEADER_LEN, Commit, CommitFlags};
pub use entry::{
    Base, ENTRY_RANGES_LEN_MAX, Entries, PageEntry, encode_entry, encode_image, encode_plain_image,
};
pub use error::PayloadError;
pub use marker::{CreateDatabase, DropDatabase, RESTORE_POINT_NAME_MAX, RestorePoint, SegmentSwitch};
pub use pages::{PAGES_PART_HEADER_LEN, PagesPart};
pub use state::{Checkpoint, DATABASE_STATE_LEN_MIN, DatabaseState, EndOfRecovery, Seal};

/// Any record's payload, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Of [`RecordKind::Pages`].
    Pages(PagesPart<'a>),
    /// Of [`RecordKind::Commit`].
    Commit(Commit<'a>),
    /// Of [`RecordKind::Seal`].
    Seal(Seal),
    /// Of [`RecordKind::Checkpoint`].
    Checkpoint(Checkpoint),
    /// Of [`RecordKind::CreateDatabase`].
    CreateDatabase(CreateDatabase),
    /// Of [`RecordKind::DropDatabase`].
    DropDatabase(DropDatabase),
    /// Of [`RecordKind::EndOfRecovery`].
    EndOfRecovery(EndOfRecovery),
    /// Of [`RecordKind::SegmentSwitch`].
    SegmentSwitch(SegmentSwitch),
    /// Of [`RecordKind::RestorePoint`].
    RestorePoint(RestorePoint),
}

impl<'a> Payload<'a> {
    /// Decodes the payload of a record of this kind.
    pub fn decode(kind: RecordKind, payload: &'a [u8]) -> Result<Payload<'a>, PayloadError> {
        Ok(match kind {
            RecordKind::Pages => Payload::Pages(PagesPart::decode(payload)?),
            RecordKind::Commit => Payload::Commit(Commit::decode(payload)?),
            RecordKind::Seal => Payload::Seal(Seal::decode(payload)?),
            RecordKind::Checkpoint => Payload::Checkpoint(Checkpoint::decode(payload)?),
            RecordKind::CreateDatabase => Payload::CreateDatabase(CreateDatabase::decode(payload)?),
            RecordKind::DropDatabase => Payload::DropDatabase(DropDatabase::decode(payload)?),
            RecordKind::EndOfRecovery => Payload::EndOfRecovery(EndOfRecovery::decode(payload)?),
            RecordKind::SegmentSwitch => Payload::SegmentSwitch(SegmentSwitch::decode(payload)?),
            RecordKind::RestorePoint => Payload::RestorePoint(RestorePoint::decode(payload)?),
        })
    }
}
