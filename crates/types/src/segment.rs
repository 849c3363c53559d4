use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Lsn, TimelineId};

/// Number of a segment file: its first LSN divided by the segment size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNo(pub u64);

impl SegmentNo {
    /// The segment after this one.
    pub fn next(self) -> SegmentNo {
        SegmentNo(self.0 + 1)
    }
}

/// Size of the log's segment files in bytes: a power of two from 1 MiB to 1 GiB,
/// chosen when the cluster is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct SegmentSize(u64);

/// The number was not a segment size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid WAL segment size {0}: must be a power of two between 1 MiB and 1 GiB")]
pub struct InvalidSegmentSize(pub u64);

impl SegmentSize {
    /// 1 MiB.
    pub const MIN: SegmentSize = SegmentSize(1 << 20);
    /// 16 MiB.
    pub const DEFAULT: SegmentSize = SegmentSize(16 << 20);
    /// 1 GiB.
    pub const MAX: SegmentSize = SegmentSize(1 << 30);

    /// Checks that `bytes` is a segment size.
    pub fn new(bytes: u64) -> Result<SegmentSize, InvalidSegmentSize> {
        if bytes.is_power_of_two() && (Self::MIN.0..=Self::MAX.0).contains(&bytes) {
            Ok(SegmentSize(bytes))
        } else {
            Err(InvalidSegmentSize(bytes))
        }
    }

    /// Parses a size as people write it: bytes, or a number with `MB` or `GB`. The error
    /// says what is allowed.
    pub fn parse(text: &str) -> Result<SegmentSize, &'static str> {
        let (digits, unit) = match (text.strip_suffix("MB"), text.strip_suffix("GB")) {
            (Some(digits), _) => (digits, 1 << 20),
            (_, Some(digits)) => (digits, 1 << 30),
            _ => (text, 1),
        };
        let bytes = digits.trim().parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
        let size = bytes.and_then(|bytes| SegmentSize::new(bytes).ok());
        size.ok_or("must be a power of two between 1MB and 1GB")
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The segment that holds the byte at `lsn`.
    pub fn segment_of(self, lsn: Lsn) -> SegmentNo {
        SegmentNo(lsn.0 / self.0)
    }

    /// First LSN of a segment.
    pub fn start_of(self, segment: SegmentNo) -> Lsn {
        Lsn(segment.0 * self.0)
    }

    /// Offset of the byte at `lsn` within its segment.
    pub fn offset_of(self, lsn: Lsn) -> u64 {
        lsn.0 % self.0
    }

    /// Segments per 4 GiB: the low half of a file name counts up to this.
    fn per_high_half(self) -> u64 {
        (1 << 32) / self.0
    }
}

impl TryFrom<u64> for SegmentSize {
    type Error = InvalidSegmentSize;

    fn try_from(bytes: u64) -> Result<Self, Self::Error> {
        SegmentSize::new(bytes)
    }
}

impl From<SegmentSize> for u64 {
    fn from(size: SegmentSize) -> u64 {
        size.0
    }
}

/// Prints as PostgreSQL's `SHOW wal_segment_size` does: `16MB`, `1GB`.
impl fmt::Display for SegmentSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 >> 20 {
            mib if mib >= 1024 => write!(f, "{}GB", mib >> 10),
            mib => write!(f, "{mib}MB"),
        }
    }
}

/// Name of a segment file as PostgreSQL makes it: timeline, high and low part of
/// the segment number, 8 hexadecimal digits each.
pub fn segment_file_name(timeline: TimelineId, segment: SegmentNo, size: SegmentSize) -> String {
    let per_high = size.per_high_half();
    format!("{:08X}{:08X}{:08X}", timeline.0, segment.0 / per_high, segment.0 % per_high)
}

/// Parses what [`segment_file_name`] makes; `None` for any other name.
pub fn parse_segment_file_name(name: &str, size: SegmentSize) -> Option<(TimelineId, SegmentNo)> {
    let upper_hex = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
    if name.len() != 24 || !name.bytes().all(upper_hex) {
        return None;
    }
    let part = |from: usize| u32::from_str_radix(&name[from..from + 8], 16).ok();
    let (timeline, high, low) = (part(0)?, u64::from(part(8)?), u64::from(part(16)?));
    let per_high = size.per_high_half();
    (timeline != 0 && low < per_high).then(|| (TimelineId(timeline), SegmentNo(high * per_high + low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_round_trip_and_match_postgresql() {
        let size = SegmentSize::DEFAULT;
        let lsn: Lsn = "2A/FF000028".parse().unwrap();
        let name = segment_file_name(TimelineId(0x1F), size.segment_of(lsn), size);
        assert_eq!(name, "0000001F0000002A000000FF");
        assert_eq!(parse_segment_file_name(&name, size), Some((TimelineId(0x1F), size.segment_of(lsn))));
        for bad in [
            "",
            "0000001F0000002A000000F",
            "0000001F0000002A000000ff",
            "0000001F0000002A00000100",
            "000000000000002A00000001",
        ] {
            assert_eq!(parse_segment_file_name(bad, size), None, "{bad}");
        }
    }

    #[test]
    fn sizes_parse_as_people_write_them() {
        assert_eq!(SegmentSize::parse("1MB"), Ok(SegmentSize::MIN));
        assert_eq!(SegmentSize::parse("1GB"), Ok(SegmentSize::MAX));
        assert_eq!(SegmentSize::parse("16777216"), Ok(SegmentSize::DEFAULT));
        for bad in ["", "3MB", "2GB", "512kB", "MB", "99999999999999999999MB"] {
            assert!(SegmentSize::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_powers_of_two_within_bounds() {
        for bad in [0, 1 << 19, (1 << 20) + 1, 3 << 20, 1 << 31] {
            assert_eq!(SegmentSize::new(bad), Err(InvalidSegmentSize(bad)));
        }
        assert_eq!(SegmentSize::MAX.to_string(), "1GB");
        assert_eq!(SegmentSize::DEFAULT.to_string(), "16MB");
    }
}
