use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A byte position in the log: 64 bits, printed `X/X` (upper-case hexadecimal,
/// high and low half, no padding) as PostgreSQL prints it.
///
/// A range of the log is written start inclusive, end exclusive; a position that
/// is reported (written, flushed, replayed) is the end of what was, so it is the
/// last byte plus one. `0/0` is never a position in the log and means "none".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    /// `0/0`: no position.
    pub const INVALID: Lsn = Lsn(0);
    /// The largest position; later than any that can be reached.
    pub const MAX: Lsn = Lsn(u64::MAX);

    /// Whether this is a position, that is, not `0/0`.
    pub const fn is_valid(self) -> bool {
        self.0 != 0
    }

    /// The position `bytes` further on; `None` beyond 64 bits.
    pub fn checked_add(self, bytes: u64) -> Option<Lsn> {
        self.0.checked_add(bytes).map(Lsn)
    }

    /// Bytes from `earlier` to here; `None` if `earlier` is later than this.
    pub fn checked_distance_from(self, earlier: Lsn) -> Option<u64> {
        self.0.checked_sub(earlier.0)
    }

    /// Bytes from `earlier` to here, 0 if `earlier` is not earlier.
    pub fn saturating_distance_from(self, earlier: Lsn) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text was not an LSN.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid LSN \"{0}\": expected two hexadecimal numbers of up to 8 digits, as in 16/B374D848")]
pub struct ParseLsnError(String);

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let half = |digits: &str| {
            let plain = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
            plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
        };
        text.split_once('/')
            .and_then(|(high, low)| Some(Lsn(half(high)? << 32 | half(low)?)))
            .ok_or_else(|| ParseLsnError(text.to_owned()))
    }
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_parses_as_postgresql_does() {
        for (value, text) in [(0, "0/0"), (0x1_6B37_4D84, "1/6B374D84"), (u64::MAX, "FFFFFFFF/FFFFFFFF")] {
            assert_eq!(Lsn(value).to_string(), text);
            assert_eq!(text.parse(), Ok(Lsn(value)));
        }
        assert_eq!("a/b".parse(), Ok(Lsn(0xA_0000_000B)));
        for bad in ["", "/", "1", "1/", "/1", "123456789/0", "0/123456789", "+1/0", "0/ 1", "g/0", "0/0/0"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn arithmetic_is_checked() {
        assert_eq!(Lsn::MAX.checked_add(1), None);
        assert_eq!(Lsn(5).checked_distance_from(Lsn(7)), None);
        assert_eq!(Lsn(5).saturating_distance_from(Lsn(7)), 0);
    }
}
