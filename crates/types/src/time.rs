use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A point in time as PostgreSQL's protocol carries it: microseconds since
/// 2000-01-01 00:00 UTC. For people and for lag, never for ordering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

/// Seconds from 1970-01-01 to 2000-01-01.
const POSTGRES_EPOCH_UNIX_SECONDS: i64 = 946_684_800;

impl Timestamp {
    /// The system clock's time.
    pub fn now() -> Timestamp {
        SystemTime::now().into()
    }

    /// Microseconds since 1970-01-01 00:00 UTC.
    pub fn unix_micros(self) -> i64 {
        self.0.saturating_add(POSTGRES_EPOCH_UNIX_SECONDS * 1_000_000)
    }

    /// From microseconds since 1970-01-01 00:00 UTC.
    pub fn from_unix_micros(micros: i64) -> Timestamp {
        Timestamp(micros.saturating_sub(POSTGRES_EPOCH_UNIX_SECONDS * 1_000_000))
    }

    /// Time since `earlier`; zero if the clock went back in between.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        let micros = match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX),
        };
        Timestamp::from_unix_micros(micros)
    }
}
