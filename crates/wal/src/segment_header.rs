use walship_types::{Lsn, SystemId, TimelineId};

use crate::record::{u32_at, u64_at};

/// Bytes of a segment header. They are part of LSN space: the first record of a segment
/// lies this far behind the segment's start, unless one goes on from the segment before.
pub const SEGMENT_HEADER_LEN: usize = 64;

/// First bytes of every segment file.
pub const SEGMENT_MAGIC: [u8; 8] = *b"walship\n";

/// Version of the format of segments, records and payloads. A reader takes no other.
pub const FORMAT_VERSION: u32 = 1;

/// Offsets of the fields in the header.
pub(crate) mod field {
    pub(crate) const MAGIC: usize = 0;
    pub(crate) const VERSION: usize = 8;
    pub(crate) const TIMELINE: usize = 12;
    pub(crate) const SYSTEM_ID: usize = 16;
    pub(crate) const SEGMENT_SIZE: usize = 24;
    pub(crate) const START: usize = 32;
    pub(crate) const RUNNING_RECORD: usize = 40;
    pub(crate) const REMAINING: usize = 48;
    pub(crate) const RESERVED: usize = 52;
    pub(crate) const CRC: usize = 60;
}

/// Start of a segment file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The timeline at the segment's first byte.
    pub timeline: TimelineId,
    /// The cluster.
    pub system_id: SystemId,
    /// Bytes of a segment.
    pub segment_size: u64,
    /// LSN of the segment's first byte.
    pub start: Lsn,
    /// LSN of the record that began in an earlier segment and goes on in this one;
    /// `0/0` if none does.
    pub running_record: Lsn,
    /// Bytes of that record that are still to come, headers of later segments not
    /// counted; 0 if none does.
    pub remaining: u32,
}

/// A segment's first bytes are not the header that has to be there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SegmentHeaderError {
    /// Only zeroes: the segment was created and not yet written.
    #[error("segment header is all zeroes")]
    Zeroes,
    /// Not a segment of ours.
    #[error("segment magic is {found:02x?}, expected {SEGMENT_MAGIC:02x?}")]
    Magic {
        /// The first 8 bytes.
        found: [u8; 8],
    },
    /// Damaged.
    #[error("segment header checksum is {found:08x}, computed {expected:08x}")]
    Checksum {
        /// Computed from the header.
        expected: u32,
        /// Stored in it.
        found: u32,
    },
    /// Of a version that this program does not know.
    #[error("segment format version is {found}, expected {FORMAT_VERSION}")]
    Version {
        /// The header's.
        found: u32,
    },
    /// Of another cluster.
    #[error("segment belongs to system identifier {found}, expected {expected}")]
    SystemId {
        /// The cluster's.
        expected: SystemId,
        /// The header's.
        found: SystemId,
    },
    /// Made with another segment size.
    #[error("segment size is {found} bytes, expected {expected}")]
    SegmentSize {
        /// The cluster's.
        expected: u64,
        /// The header's, or the file's length.
        found: u64,
    },
    /// An earlier segment under a new name: recycled, and not yet written again.
    #[error("segment starts at {found}, expected {expected}")]
    Start {
        /// By the file's name.
        expected: Lsn,
        /// The header's.
        found: Lsn,
    },
    /// A branch of history that does not lead here.
    #[error("segment begins on timeline {found}, expected {expected}")]
    Timeline {
        /// By the history.
        expected: TimelineId,
        /// The header's.
        found: TimelineId,
    },
    /// What goes on from the segment before is something else than what began there.
    #[error(
        "{found_remaining} bytes of the record at {found_record} go on, expected {expected_remaining} of {expected_record}"
    )]
    Continuation {
        /// The record that runs over the boundary, by the segments before; `0/0` for none.
        expected_record: Lsn,
        /// Its bytes that are still to come.
        expected_remaining: u64,
        /// The header's record.
        found_record: Lsn,
        /// The header's count.
        found_remaining: u64,
    },
    /// Bits are set that have no meaning yet.
    #[error("reserved bytes of the segment header are not zero")]
    Reserved,
}

impl SegmentHeaderError {
    /// Whether the file is intact but not for this program or cluster: never the end of
    /// a log, always a refusal.
    pub fn is_foreign(&self) -> bool {
        matches!(
            self,
            SegmentHeaderError::Version { .. }
                | SegmentHeaderError::SystemId { .. }
                | SegmentHeaderError::SegmentSize { .. }
        )
    }
}

impl SegmentHeader {
    /// The bytes.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut out = [0; SEGMENT_HEADER_LEN];
        let mut put = |offset: usize, bytes: &[u8]| out[offset..offset + bytes.len()].copy_from_slice(bytes);
        put(field::MAGIC, &SEGMENT_MAGIC);
        put(field::VERSION, &FORMAT_VERSION.to_le_bytes());
        put(field::TIMELINE, &self.timeline.0.to_le_bytes());
        put(field::SYSTEM_ID, &self.system_id.0.to_le_bytes());
        put(field::SEGMENT_SIZE, &self.segment_size.to_le_bytes());
        put(field::START, &self.start.0.to_le_bytes());
        put(field::RUNNING_RECORD, &self.running_record.0.to_le_bytes());
        put(field::REMAINING, &self.remaining.to_le_bytes());
        let crc = crc32fast::hash(&out[..field::CRC]);
        out[field::CRC..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Checks what the header alone can show: magic, checksum, version.
    pub fn decode(raw: &[u8; SEGMENT_HEADER_LEN]) -> Result<SegmentHeader, SegmentHeaderError> {
        if raw.iter().all(|&b| b == 0) {
            return Err(SegmentHeaderError::Zeroes);
        }
        let mut magic = [0; 8];
        magic.copy_from_slice(&raw[field::MAGIC..field::VERSION]);
        if magic != SEGMENT_MAGIC {
            return Err(SegmentHeaderError::Magic { found: magic });
        }
        let (found, expected) = (u32_at(raw, field::CRC), crc32fast::hash(&raw[..field::CRC]));
        if found != expected {
            return Err(SegmentHeaderError::Checksum { expected, found });
        }
        let version = u32_at(raw, field::VERSION);
        if version != FORMAT_VERSION {
            return Err(SegmentHeaderError::Version { found: version });
        }
        if raw[field::RESERVED..field::CRC].iter().any(|&b| b != 0) {
            return Err(SegmentHeaderError::Reserved);
        }
        Ok(SegmentHeader {
            timeline: TimelineId(u32_at(raw, field::TIMELINE)),
            system_id: SystemId(u64_at(raw, field::SYSTEM_ID)),
            segment_size: u64_at(raw, field::SEGMENT_SIZE),
            start: Lsn(u64_at(raw, field::START)),
            running_record: Lsn(u64_at(raw, field::RUNNING_RECORD)),
            remaining: u32_at(raw, field::REMAINING),
        })
    }

    /// Checks that it is the header that `expected` describes, but for what goes on from
    /// the segment before.
    pub(crate) fn check_place(&self, expected: &SegmentHeader) -> Result<(), SegmentHeaderError> {
        if self.system_id != expected.system_id {
            let (expected, found) = (expected.system_id, self.system_id);
            return Err(SegmentHeaderError::SystemId { expected, found });
        }
        if self.segment_size != expected.segment_size {
            let (expected, found) = (expected.segment_size, self.segment_size);
            return Err(SegmentHeaderError::SegmentSize { expected, found });
        }
        if self.start != expected.start {
            let (expected, found) = (expected.start, self.start);
            return Err(SegmentHeaderError::Start { expected, found });
        }
        if self.timeline != expected.timeline {
            let (expected, found) = (expected.timeline, self.timeline);
            return Err(SegmentHeaderError::Timeline { expected, found });
        }
        Ok(())
    }

    /// Checks that the record that goes on is the one that runs over the boundary.
    pub(crate) fn check_continuation(&self, record: Lsn, remaining: u64) -> Result<(), SegmentHeaderError> {
        if self.running_record == record && u64::from(self.remaining) == remaining {
            return Ok(());
        }
        Err(SegmentHeaderError::Continuation {
            expected_record: record,
            expected_remaining: remaining,
            found_record: self.running_record,
            found_remaining: u64::from(self.remaining),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader {
            timeline: TimelineId(2),
            system_id: SystemId(3),
            segment_size: 1 << 20,
            start: Lsn(5 << 20),
            running_record: Lsn(4 << 20),
            remaining: 77,
        }
    }

    #[test]
    fn round_trips_and_every_flipped_bit_is_noticed() {
        let raw = header().encode();
        assert_eq!(SegmentHeader::decode(&raw), Ok(header()));
        for bit in 0..SEGMENT_HEADER_LEN * 8 {
            let mut bad = raw;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn misplaced_headers_say_both_values() {
        let found = SegmentHeader { system_id: SystemId(9), ..header() }.check_place(&header()).unwrap_err();
        assert_eq!(found.to_string(), "segment belongs to system identifier 9, expected 3");
        assert!(found.is_foreign());
        let stale = SegmentHeader { start: Lsn(1 << 20), ..header() }.check_place(&header()).unwrap_err();
        assert_eq!(stale.to_string(), "segment starts at 0/100000, expected 0/500000");
        assert!(!stale.is_foreign());
    }
}
