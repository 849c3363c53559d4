use std::sync::Arc;

use Nature::{Pure, Reads, ReadsNull};
use regex::{Regex, RegexBuilder};

use super::{Nature, function};
use crate::catalog::cell::Cell;
use crate::catalog::function::{Call, Function};
use crate::catalog::types::{BOOL, INT4, INT8, NAME, TEXT};
use crate::catalog::{PgType, SqlError};

pub(super) static FUNCTIONS: &[Function] = &[
    function("pg_size_pretty", 1, &TEXT, Pure, |call| Ok(size_pretty(call.whole(0)?).into())),
    function("pg_size_bytes", 1, &INT8, Pure, size_bytes),
    function("pg_encoding_to_char", 1, &NAME, Pure, |call| {
        Ok(if call.integer(0)? == super::super::tables::ENCODING_UTF8 { "UTF8" } else { "" }.into())
    }),
    function("getdatabaseencoding", 0, &NAME, Pure, |_| Ok("UTF8".into())),
    function("pg_char_to_encoding", 1, &INT4, Pure, |call| {
        let utf8 = ["utf8", "utf-8", "unicode"].contains(&call.text(0).to_ascii_lowercase().as_str());
        Ok(if utf8 { super::super::tables::ENCODING_UTF8 } else { -1 }.into())
    }),
    function("format_type", 2, &TEXT, ReadsNull, format_type),
    function("quote_ident", 1, &TEXT, Pure, |call| Ok(quote_identifier(&call.text(0)).into())),
    function("quote_literal", 1, &TEXT, Pure, |call| {
        Ok(format!("'{}'", call.text(0).replace('\'', "''")).into())
    }),
    function("array_to_string", 2, &TEXT, Pure, |call| {
        Ok(array_items(&call.text(0)).join(&call.text(1)).into())
    }),
    function("regexp", 2, &BOOL, Pure, matches),
    function("has_database_privilege", 2, &BOOL, Reads, |_| Ok(true.into())),
    function("has_schema_privilege", 2, &BOOL, Reads, |_| Ok(true.into())),
    function("has_table_privilege", 2, &BOOL, Reads, |_| Ok(true.into())),
    function("pg_has_role", 2, &BOOL, Reads, |_| Ok(true.into())),
];

/// PostgreSQL's rule: the next unit from 10 of it on, rounded half away from zero.
fn size_pretty(bytes: i64) -> String {
    const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let negative = bytes < 0;
    // in half units from the second on, so that rounding is exact
    let (mut size, mut unit) = (u128::from(bytes.unsigned_abs()), 0);
    let mut halves = false;
    while unit + 1 < UNITS.len() && (if halves { size >= 20 * 1024 - 1 } else { size >= 10 * 1024 }) {
        size >>= if halves { 10 } else { 9 };
        halves = true;
        unit += 1;
    }
    let rounded = if halves { size.div_ceil(2) } else { size };
    format!("{}{rounded} {}", if negative { "-" } else { "" }, UNITS.get(unit).unwrap_or(&"bytes"))
}

fn size_bytes(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let text = call.text(0);
    let invalid = || SqlError::new("22023", format!("invalid size: \"{text}\""));
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !(c.is_ascii_digit() || ".-+".contains(c))).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let number: f64 = number.parse().map_err(|_| invalid())?;
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" | "bytes" => 0,
        "kb" => 10,
        "mb" => 20,
        "gb" => 30,
        "tb" => 40,
        "pb" => 50,
        _ => {
            return Err(invalid()
                .with_hint("Valid units are \"bytes\", \"B\", \"kB\", \"MB\", \"GB\", \"TB\", and \"PB\"."));
        }
    };
    Ok(((number * (1_u64 << shift) as f64).round() as i64).into())
}

fn format_type(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    if call.is_null(0) {
        return Ok(Cell::Null);
    }
    let Some(known) = u32::try_from(call.integer(0)?).ok().and_then(PgType::known) else {
        return Ok("???".into());
    };
    let modifier = if call.is_null(1) { -1 } else { call.integer(1)? };
    // PostgreSQL adds the four bytes of a length word to the length of character types
    Ok(match (known.type_name(), modifier) {
        ("varchar" | "bpchar", length) if length > 4 => {
            format!("{}({})", known.sql_name(), length - 4).into()
        }
        _ => known.sql_name().into(),
    })
}

/// A name as SQL would have to write it.
pub(crate) fn quote_identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// The items of a list in the form `{a,"b c"}`.
pub(crate) fn array_items(text: &str) -> Vec<String> {
    let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or(text);
    let (mut items, mut item, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' if quoted => item.extend(chars.next()),
            ',' if !quoted => items.push(std::mem::take(&mut item)),
            c => item.push(c),
        }
    }
    if !inner.is_empty() {
        items.push(item);
    }
    items
}

/// `text REGEXP pattern`, which SQLite calls with the pattern first.
fn matches(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    const PATTERN_BYTES_MAX: usize = 1 << 20;
    let compile = || -> Result<Regex, SqlError> {
        let pattern = call.text(0);
        RegexBuilder::new(&pattern).size_limit(PATTERN_BYTES_MAX).build().map_err(|error| {
            SqlError::new("2201B", format!("invalid regular expression \"{pattern}\": {error}"))
        })
    };
    let regex: Arc<Regex> = call.kept_for_argument(0, compile)?;
    Ok(regex.is_match(&call.text(1)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_as_postgresql_rounds() {
        for (bytes, pretty) in [
            (0, "0 bytes"),
            (10_239, "10239 bytes"),
            (10_240, "10 kB"),
            (10_752, "11 kB"),
            (10_751, "10 kB"),
            (10_485_247, "10239 kB"),
            (10_485_248, "10 MB"),
            (-10_240, "-10 kB"),
            (7_740_207, "7559 kB"),
            (i64::MAX, "8192 PB"),
        ] {
            assert_eq!(size_pretty(bytes), pretty, "{bytes}");
        }
    }

    #[test]
    fn arrays_come_apart() {
        assert_eq!(array_items("{a,\"b c\",\"d\\\"e\"}"), ["a", "b c", "d\"e"]);
        assert_eq!(array_items("{}"), [] as [&str; 0]);
    }
}
