//! What PostgreSQL's operators and casts do to positions, times and intervals: the statement's rewriting puts these
//! functions in their place.

use std::cmp::Ordering;

use Nature::{Pure, Reads, ReadsNull};
use walship_types::{Lsn, Timestamp};

use super::{Nature, function};
use crate::catalog::SqlError;
use crate::catalog::cell::{Cell, interval_text, parse_interval, parse_timestamp, timestamp_text};
use crate::catalog::function::{Call, Function};
use crate::catalog::types::{DATE, FLOAT8, INT2, INT4, INT8, INTERVAL, NUMERIC, PG_LSN, TEXT, TIMESTAMPTZ};

pub(super) static FUNCTIONS: &[Function] = &[
    function("pg_timestamptz", 1, &TIMESTAMPTZ, Pure, |call| Ok(call.timestamp(0)?.into())),
    function("pg_date", 1, &DATE, Pure, |call| Ok(date_of(call.timestamp(0)?).into())),
    function("pg_interval", 1, &INTERVAL, Pure, |call| Ok(interval_text(interval(call, 0)?).into())),
    function("pg_time_difference", 2, &INTERVAL, Pure, time_difference),
    function("pg_time_before", 2, &TIMESTAMPTZ, Pure, |call| {
        Ok(Timestamp(call.timestamp(0)?.0.saturating_sub(interval(call, 1)?)).into())
    }),
    function("pg_time_sum", 2, &TIMESTAMPTZ, Pure, time_sum),
    function("pg_interval_difference", 2, &INTERVAL, Pure, |call| {
        Ok(interval_text(interval(call, 0)?.saturating_sub(interval(call, 1)?)).into())
    }),
    function("pg_interval_sum", 2, &INTERVAL, Pure, |call| {
        Ok(interval_text(interval(call, 0)?.saturating_add(interval(call, 1)?)).into())
    }),
    function("age", 1, &INTERVAL, Reads, age_today),
    function("age", 2, &INTERVAL, Pure, time_difference),
    function("date_trunc", 2, &TEXT, Pure, truncate),
    function("pg_epoch", 1, &NUMERIC, Pure, epoch),
    function("pg_epoch_part", 1, &FLOAT8, Pure, epoch),
    function("to_char", 2, &TEXT, Pure, to_char),
    function("pg_lsn_mi", 2, &NUMERIC, Pure, lsn_difference),
    function("pg_wal_lsn_diff", 2, &NUMERIC, Pure, lsn_difference),
    function("pg_lsn_mii", 2, &PG_LSN, Pure, |call| moved(call.lsn(0)?, call.whole(1)?.checked_neg())),
    function("pg_lsn_sum", 2, &PG_LSN, Pure, |call| moved(call.lsn(0)?, Some(call.whole(1)?))),
    function("pg_int2", 1, &INT2, Pure, |call| {
        whole_within(call, i64::from(i16::MIN), i64::from(i16::MAX), "smallint")
    }),
    function("pg_int4", 1, &INT4, Pure, |call| {
        whole_within(call, i64::from(i32::MIN), i64::from(i32::MAX), "integer")
    }),
    function("pg_int8", 1, &INT8, Pure, |call| Ok(call.whole(0)?.into())),
    function("pg_bool_text", 1, &TEXT, Pure, |call| {
        Ok(if call.flag(0, false)? { "true" } else { "false" }.into())
    }),
    function("greatest", -1, &TEXT, ReadsNull, |call| Ok(extreme(call, Ordering::Greater))),
    function("least", -1, &TEXT, ReadsNull, |call| Ok(extreme(call, Ordering::Less))),
];

/// Integers up to here are exact as REAL.
const EXACT_MAX: i128 = 1 << 53;
const SECOND: i64 = 1_000_000;

fn interval(call: &Call<'_, '_>, index: usize) -> Result<i64, SqlError> {
    let text = call.text(index);
    parse_interval(&text)
        .ok_or_else(|| SqlError::new("22007", format!("invalid input syntax for type interval: \"{text}\"")))
}

fn date_of(at: Timestamp) -> String {
    timestamp_text(at).chars().take_while(|c| *c != ' ').collect()
}

/// A time less a time: PostgreSQL's minus, which SQLite would do on the leading digits.
fn time_difference(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let (left, right) = (call.timestamp(0)?, call.timestamp(1)?);
    Ok(interval_text(left.0.saturating_sub(right.0)).into())
}

/// From then to the beginning of today, as PostgreSQL counts an age.
fn age_today(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    if call.kind(0) == rusqlite::types::Type::Integer {
        return Err(SqlError::new("0A000", "there are no transaction ids, so that none has an age")
            .with_hint("Nothing here wraps around; leave checks for wraparound out."));
    }
    let then = call.timestamp(0)?;
    let today = parse_timestamp(&date_of(call.scope.session.transaction_start()));
    Ok(interval_text(today.unwrap_or(then).0.saturating_sub(then.0)).into())
}

/// A time and an interval, in whichever order.
fn time_sum(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let (at, by) = match call.timestamp(0) {
        Ok(at) => (at, interval(call, 1)?),
        Err(_) => (call.timestamp(1)?, interval(call, 0)?),
    };
    Ok(Timestamp(at.0.saturating_add(by)).into())
}

/// A time or an interval without what is smaller than the unit.
fn truncate(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let unit = call.text(0).to_ascii_lowercase();
    let micros = match unit.trim_end_matches('s') {
        "microsecond" => 1,
        "millisecond" => 1_000,
        "second" => SECOND,
        "minute" => 60 * SECOND,
        "hour" => 3_600 * SECOND,
        "day" => 86_400 * SECOND,
        _ => {
            return Err(SqlError::new("0A000", format!("date_trunc() to \"{unit}\" is not supported"))
                .with_hint("Units are microseconds, milliseconds, second, minute, hour and day."));
        }
    };
    if let Some(length) = parse_interval(&call.text(1)) {
        return Ok(interval_text(length - length % micros).into());
    }
    let at = call.timestamp(1)?;
    Ok(Timestamp(at.0 - at.0.rem_euclid(micros)).into())
}

/// Seconds of an interval, or of a time since 1970: `extract(epoch from x)`.
fn epoch(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let micros = match parse_interval(&call.text(0)) {
        Some(micros) => micros,
        None => call.timestamp(0)?.unix_micros(),
    };
    Ok((micros as f64 / SECOND as f64).into())
}

/// A time by a pattern of YYYY, MM, DD, HH24, MI, SS, MS and US; a letter of another pattern is an error.
fn to_char(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let (at, pattern) = (timestamp_text(call.timestamp(0)?), call.text(1));
    let (seconds, fraction) =
        at.trim_end_matches("+00").split_once('.').unwrap_or((at.trim_end_matches("+00"), ""));
    let micros = format!("{fraction:0<6}");
    let part = |range: std::ops::Range<usize>| seconds.get(range).unwrap_or_default().to_owned();
    let parts = [
        ("YYYY", part(0..4)),
        ("MM", part(5..7)),
        ("DD", part(8..10)),
        ("HH24", part(11..13)),
        ("MI", part(14..16)),
        ("SS", part(17..19)),
        ("MS", micros.chars().take(3).collect()),
        ("US", micros),
    ];
    let (mut out, mut rest) = (String::new(), pattern.as_str());
    while let Some(first) = rest.chars().next() {
        if let Some((name, value)) = parts.iter().find(|(name, _)| rest.starts_with(name)) {
            out.push_str(value);
            rest = rest.strip_prefix(name).unwrap_or_default();
        } else if first.is_alphabetic() {
            return Err(SqlError::new(
                "0A000",
                format!("to_char() with the pattern \"{pattern}\" is not supported"),
            )
            .with_hint("Patterns are YYYY, MM, DD, HH24, MI, SS, MS and US."));
        } else {
            out.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    Ok(out.into())
}

/// Bytes from the second position to the first; negative if the first is the earlier one. As REAL, since it is
/// numeric in PostgreSQL: divided by 1024 it keeps its fraction.
fn lsn_difference(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let (left, right) = (call.lsn(0)?, call.lsn(1)?);
    let bytes = i128::from(left.0) - i128::from(right.0);
    if bytes.abs() <= EXACT_MAX {
        return Ok((bytes as f64).into());
    }
    // beyond 63 bits only as text, which is how numeric travels anyway
    Ok(i64::try_from(bytes).map_or_else(|_| Cell::Text(bytes.to_string()), Cell::Int))
}

/// A position so many bytes further on.
fn moved(at: Lsn, bytes: Option<i64>) -> Result<Cell, SqlError> {
    match bytes.and_then(|bytes| at.0.checked_add_signed(bytes)) {
        Some(sum) => Ok(Lsn(sum).to_string().into()),
        None => Err(SqlError::new("22003", "pg_lsn out of range")),
    }
}

fn whole_within(call: &Call<'_, '_>, least: i64, most: i64, name: &str) -> Result<Cell, SqlError> {
    let whole = call.whole(0)?;
    if (least..=most).contains(&whole) {
        return Ok(whole.into());
    }
    Err(SqlError::new("22003", format!("{name} out of range")))
}

/// The greatest or least argument that is not NULL, as PostgreSQL has it; SQLite's max() would be NULL.
fn extreme(call: &Call<'_, '_>, wanted: Ordering) -> Cell {
    let mut found: Option<Cell> = None;
    for cell in (0..call.count()).map(|index| call.cell(index)).filter(|cell| *cell != Cell::Null) {
        if found.as_ref().is_none_or(|best| compare(&cell, best) == wanted) {
            found = Some(cell);
        }
    }
    found.unwrap_or(Cell::Null)
}

fn compare(left: &Cell, right: &Cell) -> Ordering {
    let number = |cell: &Cell| match cell {
        Cell::Int(number) => Some(*number as f64),
        Cell::Real(number) => Some(*number),
        _ => None,
    };
    match (left, right) {
        (Cell::Text(left), Cell::Text(right)) => compare_texts(left, right),
        _ => number(left).partial_cmp(&number(right)).unwrap_or(Ordering::Equal),
    }
}

/// As positions, times or intervals, where both are such.
fn compare_texts(left: &str, right: &str) -> Ordering {
    let both = |read: fn(&str) -> Option<i128>| Some(read(left)?.cmp(&read(right)?));
    both(|text| text.parse::<Lsn>().ok().map(|lsn| i128::from(lsn.0)))
        .or_else(|| both(|text| parse_timestamp(text).map(|at| i128::from(at.0))))
        .or_else(|| both(|text| parse_interval(text).map(i128::from)))
        .unwrap_or_else(|| left.cmp(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_compare_as_what_the_texts_mean() {
        for (less, greater) in [
            ("0/A000000", "0/1A000000"),
            ("26:00:00", "5 days"),
            ("2026-01-01 00:30:00+01", "2026-01-01 00:00:00+00"),
            ("a", "b"),
        ] {
            assert_eq!(compare_texts(less, greater), Ordering::Less, "{less} {greater}");
        }
        assert_eq!(compare(&Cell::Int(2), &Cell::Real(1.5)), Ordering::Greater);
    }
}
