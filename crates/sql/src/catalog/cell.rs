use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use walship_types::{Lsn, Timestamp};

/// One value of a catalog row or function: what SQLite keeps, in PostgreSQL's spelling.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    /// A number; a bool is 0 or 1, its column's declared type says what it is.
    Int(i64),
    Real(f64),
    Text(String),
}

impl ToSql for Cell {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Cell::Null => ToSqlOutput::Owned(Value::Null),
            Cell::Int(value) => ToSqlOutput::Owned(Value::Integer(*value)),
            Cell::Real(value) => ToSqlOutput::Owned(Value::Real(*value)),
            Cell::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

macro_rules! cell_from_number {
    ($($number:ty)*) => { $(impl From<$number> for Cell {
        fn from(value: $number) -> Cell { Cell::Int(i64::from(value)) }
    })* };
}
cell_from_number!(bool i16 u16 i32 u32 i64);

impl From<u64> for Cell {
    fn from(value: u64) -> Cell {
        Cell::Int(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Cell {
        Cell::Real(value)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<&Path> for Cell {
    fn from(path: &Path) -> Cell {
        Cell::Text(path.display().to_string())
    }
}

impl From<IpAddr> for Cell {
    fn from(address: IpAddr) -> Cell {
        Cell::Text(address.to_string())
    }
}

impl From<Lsn> for Cell {
    /// `0/0` is no position, so NULL.
    fn from(lsn: Lsn) -> Cell {
        if lsn.is_valid() { Cell::Text(lsn.to_string()) } else { Cell::Null }
    }
}

impl From<Timestamp> for Cell {
    fn from(at: Timestamp) -> Cell {
        Cell::Text(timestamp_text(at))
    }
}

impl From<Duration> for Cell {
    /// In hours, never in days: PostgreSQL's lags have no calendar either.
    fn from(duration: Duration) -> Cell {
        let (seconds, fraction) = (duration.as_secs(), fraction_text(duration.subsec_micros()));
        Cell::Text(format!("{:02}:{:02}:{:02}{fraction}", seconds / 3600, seconds / 60 % 60, seconds % 60))
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Cell {
        value.map_or(Cell::Null, Into::into)
    }
}

/// Milliseconds with fraction, as PostgreSQL's statistics print times.
pub(crate) fn milliseconds(duration: Duration) -> Cell {
    Cell::Real(duration.as_secs_f64() * 1000.0)
}

/// `2026-11-23 19:45:13.123456+00`: ISO style, in UTC, the fraction without trailing zeros.
pub(crate) fn timestamp_text(at: Timestamp) -> String {
    let Ok(instant) = jiff::Timestamp::from_microsecond(at.unix_micros()) else {
        return if at.0 < 0 { "-infinity" } else { "infinity" }.to_owned();
    };
    let civil = instant.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let fraction = fraction_text(civil.subsec_nanosecond().unsigned_abs() / 1000);
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}{fraction}+00",
        civil.year(),
        civil.month(),
        civil.day(),
        civil.hour(),
        civil.minute(),
        civil.second()
    )
}

/// `2 days 03:04:05.000123`, as PostgreSQL prints the difference of two times.
pub(crate) fn interval_text(micros: i64) -> String {
    let sign = if micros < 0 { "-" } else { "" };
    let total = micros.unsigned_abs();
    let (days, rest) = (total / 86_400_000_000, total % 86_400_000_000);
    let (seconds, fraction) = (rest / 1_000_000, u32::try_from(rest % 1_000_000).unwrap_or(0));
    let clock = format!(
        "{sign}{:02}:{:02}:{:02}{}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        fraction_text(fraction)
    );
    match days {
        0 => clock,
        1 => format!("{sign}1 day {clock}"),
        days => format!("{sign}{days} days {clock}"),
    }
}

fn fraction_text(micros: u32) -> String {
    if micros == 0 {
        return String::new();
    }
    format!(".{micros:06}").trim_end_matches('0').to_owned()
}

/// Microseconds of an interval in the form of [`interval_text`], or of a number and a unit as in `5 minutes`; several
/// of these add up.
pub(crate) fn parse_interval(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut words = text.split_ascii_whitespace();
    let mut any = false;
    while let Some(word) = words.next() {
        let micros = if word.contains(':') {
            clock_micros(word)?
        } else {
            let digits = word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len());
            let (number, unit) = word.split_at(digits);
            let unit = if unit.is_empty() { words.next().unwrap_or("s") } else { unit };
            (number.parse::<f64>().ok()? * unit_micros(unit)? as f64).round() as i64
        };
        total = total.checked_add(micros)?;
        any = true;
    }
    any.then_some(total)
}

fn clock_micros(clock: &str) -> Option<i64> {
    let (sign, clock) = match clock.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, clock.strip_prefix('+').unwrap_or(clock)),
    };
    let mut parts = clock.split(':');
    let hours: i64 = parts.next()?.parse().ok()?;
    let minutes: i64 = parts.next()?.parse().ok()?;
    let seconds: f64 = parts.next().map_or(Some(0.0), |part| part.parse().ok())?;
    let whole = hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?.checked_mul(1_000_000)?;
    (parts.next().is_none()).then_some(sign * (whole + (seconds * 1e6).round() as i64))
}

fn unit_micros(unit: &str) -> Option<i64> {
    let unit = unit.to_ascii_lowercase();
    Some(match unit.trim_end_matches('s') {
        "u" | "microsecond" | "usec" => 1,
        "m" if unit == "ms" => 1_000,
        "millisecond" | "msec" => 1_000,
        "" | "sec" | "second" => 1_000_000,
        "m" | "min" | "minute" => 60_000_000,
        "h" | "hour" | "hr" => 3_600_000_000,
        "d" | "day" => 86_400_000_000,
        "w" | "week" => 604_800_000_000,
        _ => return None,
    })
}

/// Reads a time as PostgreSQL and SQLite print it: date, optional time, optional offset (UTC if there is none).
pub(crate) fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let text = text.trim().replacen(' ', "T", 1);
    let (date, clock) = text.split_once('T').unwrap_or((&text, "00:00:00"));
    let (clock, offset) = match clock.find(['+', '-', 'Z']) {
        Some(at) => clock.split_at(at),
        None => (clock, "Z"),
    };
    let offset = match offset.len() {
        3 => format!("{offset}:00"),
        _ => offset.to_owned(),
    };
    let instant: jiff::Timestamp = format!("{date}T{clock}{offset}").parse().ok()?;
    Some(Timestamp::from_unix_micros(instant.as_microsecond()))
}

/// `{a,"b c"}`: a list as PostgreSQL prints a text array.
pub(crate) fn array_text<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let quoted = items.into_iter().map(|item| {
        let plain = !item.is_empty()
            && !item.eq_ignore_ascii_case("null")
            && !item.contains(|c: char| c.is_whitespace() || "{},\"\\".contains(c));
        if plain {
            item.to_owned()
        } else {
            format!("\"{}\"", item.replace('\\', "\\\\").replace('"', "\\\""))
        }
    });
    format!("{{{}}}", quoted.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_postgresql_prints_them_and_read_back() {
        for (micros, text) in [
            (0, "2000-01-01 00:00:00+00"),
            (123_456, "2000-01-01 00:00:00.123456+00"),
            (-1_500_000, "1999-12-31 23:59:58.5+00"),
        ] {
            assert_eq!(timestamp_text(Timestamp(micros)), text);
            assert_eq!(parse_timestamp(text), Some(Timestamp(micros)));
        }
        assert_eq!(parse_timestamp("2000-01-01"), Some(Timestamp(0)));
        assert_eq!(parse_timestamp("2000-01-01T01:00:00+01:00"), Some(Timestamp(0)));
        assert_eq!(parse_timestamp("yesterday"), None);
    }

    #[test]
    fn intervals_print_as_postgresql_prints_them_and_read_back() {
        for (micros, text) in [
            (0, "00:00:00"),
            (123, "00:00:00.000123"),
            (3_661_500_000, "01:01:01.5"),
            (-1_000_000, "-00:00:01"),
            (2 * 86_400_000_000 + 1_000_000, "2 days 00:00:01"),
        ] {
            assert_eq!(interval_text(micros), text);
            assert_eq!(parse_interval(text), Some(micros));
        }
        for (text, micros) in [
            ("5 minutes", 300_000_000),
            ("100ms", 100_000),
            ("1 day 2 h", 93_600_000_000),
            ("30", 30_000_000),
        ] {
            assert_eq!(parse_interval(text), Some(micros), "{text}");
        }
        assert_eq!(parse_interval("soon"), None);
    }

    #[test]
    fn lags_print_in_hours() {
        assert_eq!(Cell::from(Duration::from_millis(93_784_500)), Cell::from("26:03:04.5"));
    }

    #[test]
    fn arrays_quote_what_needs_it() {
        assert_eq!(
            array_text(["on", "read committed", "", "a\"b"]),
            "{on,\"read committed\",\"\",\"a\\\"b\"}"
        );
    }
}
