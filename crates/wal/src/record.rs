use bytes::Bytes;
use walship_types::{Lsn, TimelineId};

use crate::crc::CrcSeed;
use crate::end::EndReason;
use crate::payload::Payload;
use crate::{RecordKind, WalError};

/// Bytes of a record header. It is written as part of the record, so a segment
/// boundary may lie within it.
pub const RECORD_HEADER_LEN: usize = 32;

/// Largest payload of one record, in bytes. A commit takes as many records as it needs.
pub const RECORD_PAYLOAD_MAX: usize = 4 << 20;

/// Records start at multiples of this, in bytes; payloads are padded to it with zeroes.
pub const RECORD_ALIGNMENT: usize = 8;

const _: () = assert!(RECORD_HEADER_LEN.is_multiple_of(RECORD_ALIGNMENT));
const _: () = assert!(RECORD_PAYLOAD_MAX.is_multiple_of(RECORD_ALIGNMENT));

/// Offsets of the fields in the header.
pub(crate) mod field {
    pub(crate) const LSN: usize = 0;
    pub(crate) const PREVIOUS: usize = 8;
    pub(crate) const PAYLOAD_LEN: usize = 16;
    pub(crate) const KIND: usize = 20;
    pub(crate) const FLAGS: usize = 21;
    pub(crate) const RESERVED: usize = 22;
    pub(crate) const PAYLOAD_CRC: usize = 24;
    pub(crate) const HEADER_CRC: usize = 28;
}

/// Where a record lies, start inclusive, end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSpan {
    /// The record's LSN: the first byte of its header.
    pub start: Lsn,
    /// The byte after its last: what has to be flushed for it to be durable.
    pub end: Lsn,
}

/// A record as it was read, checked against its checksums.
#[derive(Debug, Clone)]
pub struct Record {
    /// First byte.
    pub lsn: Lsn,
    /// Byte after the last; after a segment switch, the start of the next segment.
    pub end: Lsn,
    /// The record before it; `0/0` for the first of a cluster.
    pub previous: Lsn,
    /// The timeline that it was written on.
    pub timeline: TimelineId,
    /// What it means.
    pub kind: RecordKind,
    /// Reserved; 0.
    pub flags: u8,
    /// What it carries, without padding.
    pub payload: Bytes,
}

impl Record {
    /// The payload, decoded according to the kind.
    pub fn decode(&self) -> Result<Payload<'_>, WalError> {
        Payload::decode(self.kind, &self.payload).map_err(|source| {
            let (lsn, kind) = (self.lsn, self.kind);
            WalError::Payload { lsn, kind, source }
        })
    }

    /// Bytes that it takes in the log, without segment headers.
    pub fn len(&self) -> usize {
        RECORD_HEADER_LEN + padded_len(self.payload.len())
    }

    /// Never: a record has at least its header.
    pub fn is_empty(&self) -> bool {
        false
    }
}

/// A payload's length in the log, with its padding.
pub(crate) const fn padded_len(payload_len: usize) -> usize {
    payload_len.next_multiple_of(RECORD_ALIGNMENT)
}

/// The header, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) lsn: Lsn,
    pub(crate) previous: Lsn,
    pub(crate) payload_len: usize,
    pub(crate) kind: RecordKind,
    pub(crate) flags: u8,
    pub(crate) payload_crc: u32,
}

impl RecordHeader {
    pub(crate) fn encode(&self, seed: CrcSeed) -> [u8; RECORD_HEADER_LEN] {
        let mut out = [0; RECORD_HEADER_LEN];
        out[field::LSN..field::PREVIOUS].copy_from_slice(&self.lsn.0.to_le_bytes());
        out[field::PREVIOUS..field::PAYLOAD_LEN].copy_from_slice(&self.previous.0.to_le_bytes());
        out[field::PAYLOAD_LEN..field::KIND].copy_from_slice(&(self.payload_len as u32).to_le_bytes());
        out[field::KIND] = self.kind as u8;
        out[field::FLAGS] = self.flags;
        out[field::PAYLOAD_CRC..field::HEADER_CRC].copy_from_slice(&self.payload_crc.to_le_bytes());
        let crc = seed.of(&[&out[..field::HEADER_CRC]]);
        out[field::HEADER_CRC..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Checks everything that the header alone can show. The position comes first: an
    /// intact record of another position is what a recycled segment holds, and to call
    /// it damaged would be wrong.
    pub(crate) fn decode(
        raw: &[u8; RECORD_HEADER_LEN],
        at: Lsn,
        seed: CrcSeed,
    ) -> Result<RecordHeader, EndReason> {
        if raw.iter().all(|&b| b == 0) {
            return Err(EndReason::Zeroes);
        }
        let lsn = Lsn(u64_at(raw, field::LSN));
        if lsn != at {
            return Err(EndReason::StaleRecord { found: lsn });
        }
        let found = u32_at(raw, field::HEADER_CRC);
        let expected = seed.of(&[&raw[..field::HEADER_CRC]]);
        if found != expected {
            return Err(EndReason::HeaderChecksum { expected, found });
        }
        let payload_len = u32_at(raw, field::PAYLOAD_LEN);
        if payload_len as usize > RECORD_PAYLOAD_MAX {
            return Err(EndReason::PayloadLength { found: payload_len });
        }
        let kind = RecordKind::from_number(raw[field::KIND])
            .ok_or(EndReason::UnknownKind { found: raw[field::KIND] })?;
        let flags = raw[field::FLAGS];
        if flags != 0 || raw[field::RESERVED..field::PAYLOAD_CRC] != [0, 0] {
            return Err(EndReason::UnknownFlags { found: u32_at(raw, field::KIND) >> 8 });
        }
        Ok(RecordHeader {
            lsn,
            previous: Lsn(u64_at(raw, field::PREVIOUS)),
            payload_len: payload_len as usize,
            kind,
            flags,
            payload_crc: u32_at(raw, field::PAYLOAD_CRC),
        })
    }

    /// Bytes of the whole record, without segment headers.
    pub(crate) fn record_len(&self) -> u64 {
        (RECORD_HEADER_LEN + padded_len(self.payload_len)) as u64
    }
}

pub(crate) fn u64_at(raw: &[u8], offset: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&raw[offset..offset + 8]);
    u64::from_le_bytes(bytes)
}

pub(crate) fn u32_at(raw: &[u8], offset: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&raw[offset..offset + 4]);
    u32::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use walship_types::SystemId;

    fn header() -> RecordHeader {
        RecordHeader {
            lsn: Lsn(0x100_0040),
            previous: Lsn(0),
            payload_len: 5,
            kind: RecordKind::Commit,
            flags: 0,
            payload_crc: 0xDEAD_BEEF,
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let seed = CrcSeed::new(SystemId(7), TimelineId(1));
        let raw = header().encode(seed);
        assert_eq!(RecordHeader::decode(&raw, Lsn(0x100_0040), seed), Ok(header()));
        for bit in 0..RECORD_HEADER_LEN * 8 {
            let mut bad = raw;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(RecordHeader::decode(&bad, Lsn(0x100_0040), seed).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn other_positions_clusters_and_timelines_do_not_check_out() {
        let seed = CrcSeed::new(SystemId(7), TimelineId(1));
        let raw = header().encode(seed);
        let stale = RecordHeader::decode(&raw, Lsn(0x200_0040), seed);
        assert_eq!(stale, Err(EndReason::StaleRecord { found: Lsn(0x100_0040) }));
        for other in [CrcSeed::new(SystemId(8), TimelineId(1)), CrcSeed::new(SystemId(7), TimelineId(2))] {
            let decoded = RecordHeader::decode(&raw, Lsn(0x100_0040), other);
            assert!(matches!(decoded, Err(EndReason::HeaderChecksum { .. })));
        }
        let zeroes = RecordHeader::decode(&[0; RECORD_HEADER_LEN], Lsn(0x100_0040), seed);
        assert_eq!(zeroes, Err(EndReason::Zeroes));
    }
}
