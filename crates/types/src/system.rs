use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Identifies a cluster and all its copies: a 64-bit number, printed in decimal.
/// It is in every file and every handshake, so that nothing of one cluster is
/// ever taken for another's.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SystemId(pub u64);

impl fmt::Display for SystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for SystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text was not a system identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid system identifier \"{0}\": expected a decimal number of 64 bits")]
pub struct ParseSystemIdError(String);

impl FromStr for SystemId {
    type Err = ParseSystemIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(SystemId).map_err(|_| ParseSystemIdError(text.to_owned()))
    }
}

// As text in JSON: many readers of JSON round numbers above 2^53.
impl Serialize for SystemId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SystemId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A branch of the log's history. A new cluster is on timeline 1; each promotion
/// starts the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimelineId(pub u32);

impl TimelineId {
    /// The timeline of a new cluster.
    pub const FIRST: TimelineId = TimelineId(1);

    /// The timeline that a promotion of this one starts; `None` after the last.
    pub fn next(self) -> Option<TimelineId> {
        self.0.checked_add(1).map(TimelineId)
    }
}

impl fmt::Display for TimelineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
