use std::cmp::Ordering;

use rusqlite::Connection;
use walship_types::Lsn;

use super::cell::{parse_interval, parse_timestamp};

/// The name of the collation by which texts compare as log positions: `0/A000000` before `0/1A000000`. What is no
/// position sorts behind those that are, as text.
pub const LSN_COLLATION: &str = "pg_lsn";

/// The name of the collation by which texts compare as intervals: `26:00:00` before `100:00:00` and `5 days`. What is
/// no interval sorts behind those that are, as text.
pub const INTERVAL_COLLATION: &str = "pg_interval";

/// The name of the collation by which texts compare as points in time, whatever their offset from UTC. What is none
/// sorts behind those that are, as text.
pub const TIMESTAMP_COLLATION: &str = "pg_timestamptz";

pub(crate) fn register(connection: &Connection) -> rusqlite::Result<()> {
    connection.create_collation(LSN_COLLATION, compare)?;
    connection.create_collation(INTERVAL_COLLATION, compare_intervals)?;
    connection.create_collation(TIMESTAMP_COLLATION, |left, right| compare_by(left, right, parse_timestamp))
}

fn compare(left: &str, right: &str) -> Ordering {
    compare_by(left, right, |text| text.parse::<Lsn>().ok())
}

fn compare_intervals(left: &str, right: &str) -> Ordering {
    compare_by(left, right, parse_interval)
}

fn compare_by<T: Ord>(left: &str, right: &str, read: impl Fn(&str) -> Option<T>) -> Ordering {
    match (read(left), read(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => left.cmp(right),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_sort_as_numbers() {
        let mut texts = ["none", "1/0", "0/1A000000", "0/A000000", "A/0", "0/0"];
        texts.sort_by(|left, right| compare(left, right));
        assert_eq!(texts, ["0/0", "0/A000000", "0/1A000000", "1/0", "A/0", "none"]);
        assert_eq!(compare("0/0A", "0/a"), Ordering::Equal);
    }

    #[test]
    fn times_sort_as_points_in_time() {
        let mut texts =
            ["2026-01-01 00:00:00+01", "2026-01-01 00:00:00.5+00", "2025-12-31 23:30:00+00", "2026-01-01"];
        texts.sort_by(|left, right| compare_by(left, right, parse_timestamp));
        assert_eq!(texts[0], "2026-01-01 00:00:00+01");
        assert_eq!(texts[2..], ["2026-01-01", "2026-01-01 00:00:00.5+00"]);
    }

    #[test]
    fn intervals_sort_by_their_length() {
        let mut texts = ["5 days", "soon", "26:00:00", "00:00:01", "-00:00:02", "100:00:00"];
        texts.sort_by(|left, right| compare_intervals(left, right));
        assert_eq!(texts, ["-00:00:02", "00:00:01", "26:00:00", "100:00:00", "5 days", "soon"]);
    }
}
