//! Dates and times: text in SQLite, counts since 2000-01-01 in PostgreSQL's binary format.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
// the Julian day of 2000-01-01 minus that of 1970-01-01
const EPOCH_DAYS: i64 = 10_957;

/// Days since 2000-01-01 of `YYYY-MM-DD`; a time behind it is ignored as PostgreSQL's cast does.
pub(super) fn date_days(text: &str) -> Option<i32> {
    let date: Date = text.trim().get(..10)?.parse().ok()?;
    i32::try_from(days_of(date)).ok()
}

/// `YYYY-MM-DD` of days since 2000-01-01.
pub(super) fn date_text(days: i32) -> Option<String> {
    Some(date_of(i64::from(days))?.to_string())
}

/// Microseconds since midnight of `HH:MM[:SS[.ffffff]]`.
pub(super) fn time_micros(text: &str) -> Option<i64> {
    let time: Time = text.trim().parse().ok()?;
    Some(micros_of(time))
}

/// `HH:MM:SS[.ffffff]` of microseconds since midnight.
pub(super) fn time_text(micros: i64) -> Option<String> {
    Some(time_of(micros)?.to_string())
}

/// Microseconds since 2000-01-01 of `YYYY-MM-DD[ HH:MM[:SS[.ffffff]]][zone]`.
/// A zone is applied when `zoned`, else ignored; without one the time is UTC.
pub(super) fn timestamp_micros(text: &str, zoned: bool) -> Option<i64> {
    let text = text.trim();
    let date: Date = text.get(..10)?.parse().ok()?;
    let rest = text.get(10..)?.trim_start_matches(['T', 't', ' ']);
    let zone_at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(zone_at);
    let time = if clock.trim().is_empty() { 0 } else { time_micros(clock)? };
    let offset = if zoned { zone_seconds(zone)? } else { 0 };
    days_of(date)
        .checked_mul(MICROS_PER_DAY)?
        .checked_add(time)?
        .checked_sub(offset.checked_mul(MICROS_PER_SECOND)?)
}

/// `YYYY-MM-DD HH:MM:SS[.ffffff]` of microseconds since 2000-01-01, with `+00` when `zoned`.
pub(super) fn timestamp_text(micros: i64, zoned: bool) -> Option<String> {
    let date = date_of(micros.div_euclid(MICROS_PER_DAY))?;
    let time = time_of(micros.rem_euclid(MICROS_PER_DAY))?;
    Some(format!("{date} {time}{}", if zoned { "+00" } else { "" }))
}

/// Microseconds of `[-][H]H:MM:SS[.ffffff]`, as lags are shown.
pub(super) fn interval_micros(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (hours, rest) = text.split_once(':')?;
    let within_hour = time_micros(&format!("00:{rest}"))?;
    let hours: i64 = hours.parse().ok()?;
    hours.checked_mul(3600 * MICROS_PER_SECOND)?.checked_add(within_hour)?.checked_mul(sign)
}

fn zone_seconds(zone: &str) -> Option<i64> {
    let zone = zone.trim();
    if zone.is_empty() || zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let digits: String = digits.chars().filter(|&c| c != ':').collect();
    let number = |range: std::ops::Range<usize>| match digits.get(range) {
        None | Some("") => Some(0),
        Some(part) => part.parse::<i64>().ok(),
    };
    let seconds = number(0..2.min(digits.len()))? * 3600 + number(2..4)? * 60 + number(4..6)?;
    Offset::from_seconds(i32::try_from(sign * seconds).ok()?).ok().map(|o| i64::from(o.seconds()))
}

fn days_of(date: Date) -> i64 {
    let epoch = DateTime::from_parts(date, Time::midnight());
    // a civil date taken as UTC is always a timestamp, but for the two days at the ends
    epoch
        .to_zoned(jiff::tz::TimeZone::UTC)
        .map_or(0, |zoned| zoned.timestamp().as_second().div_euclid(86_400))
        - EPOCH_DAYS
}

fn date_of(days: i64) -> Option<Date> {
    let seconds = days.checked_add(EPOCH_DAYS)?.checked_mul(86_400)?;
    let instant = jiff::Timestamp::from_second(seconds).ok()?;
    Some(Offset::UTC.to_datetime(instant).date())
}

fn micros_of(time: Time) -> i64 {
    let seconds = i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    seconds * MICROS_PER_SECOND + i64::from(time.subsec_nanosecond()) / 1000
}

fn time_of(micros: i64) -> Option<Time> {
    let seconds = micros.div_euclid(MICROS_PER_SECOND);
    let part = |value: i64| i8::try_from(value).ok();
    let nanoseconds = i32::try_from(micros.rem_euclid(MICROS_PER_SECOND) * 1000).ok()?;
    Time::new(part(seconds / 3600)?, part(seconds / 60 % 60)?, part(seconds % 60)?, nanoseconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_round_trip() {
        // PostgreSQL 15: select timestamp_send('2026-11-23 03:26:57.5'::timestamp)
        let micros = 848_719_617_500_000;
        for text in ["2026-11-23 03:26:57.5", "2026-11-23T03:26:57.500000Z"] {
            assert_eq!(timestamp_micros(text, true), Some(micros), "{text}");
        }
        assert_eq!(timestamp_micros("2026-11-23 05:26:57.5+02", true), Some(micros));
        assert_eq!(timestamp_micros("2026-11-22 21:56:57.5-05:30", true), Some(micros));
        assert_eq!(timestamp_text(micros, true).as_deref(), Some("2026-11-23 03:26:57.5+00"));
        assert_eq!(timestamp_text(-1, false).as_deref(), Some("1999-12-31 23:59:59.999999"));
        assert_eq!(timestamp_micros("2000-01-02", false), Some(MICROS_PER_DAY));
        assert_eq!(timestamp_micros("yesterday", false), None);
    }

    #[test]
    fn dates_times_and_intervals() {
        assert_eq!(date_days("1999-12-31"), Some(-1));
        assert_eq!(date_text(366).as_deref(), Some("2001-01-01"));
        assert_eq!(time_micros("01:00:00.25"), Some(3_600_250_000));
        assert_eq!(time_text(3_600_250_000).as_deref(), Some("01:00:00.25"));
        assert_eq!(interval_micros("100:00:01"), Some(360_001 * MICROS_PER_SECOND));
        assert_eq!(date_days("2026-02-30"), None);
    }
}
