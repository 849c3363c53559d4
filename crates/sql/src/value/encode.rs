use std::io::Write;
use std::net::IpAddr;

use walship_protocol::wire::SqlState;

use super::{PgType, array, datetime, numeric};
use crate::error::SqlError;
use crate::statement::Value;

/// A stored value is not of the type that its column was announced with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("stored {stored} value does not fit type {}", announced.name())]
pub(crate) struct Mismatch {
    /// SQLite's name of what is stored.
    pub stored: &'static str,
    /// What the column was announced as.
    pub announced: PgType,
}

impl Mismatch {
    /// The error that names the column.
    pub(crate) fn in_column(&self, column: &str) -> SqlError {
        let name = self.announced.name();
        SqlError::new(
            SqlState::DATATYPE_MISMATCH,
            format!("column \"{column}\" has type {name}, but a row holds a {} value that does not fit it", self.stored),
        )
        .with_hint(format!("Use CAST(... AS TEXT), or another type that fits, in the query: \"{column}\" is sent in binary as {name}."))
    }
}

/// Appends a value that is not NULL in text format. Any value has one.
pub(crate) fn encode_text(announced: PgType, value: Value<'_>, out: &mut Vec<u8>) {
    match (announced, value) {
        (_, Value::Null) => {}
        (PgType::Bool, Value::Integer(value @ (0 | 1))) => out.push(if value == 1 { b't' } else { b'f' }),
        (PgType::Bytea, value) => {
            let mut bytes = Vec::new();
            plain(value, &mut bytes);
            hex(&bytes, out);
        }
        (PgType::Uuid, Value::Blob(bytes)) if bytes.len() == 16 => uuid_text(bytes, out),
        (_, Value::Blob(bytes)) => hex(bytes, out),
        (PgType::Text | PgType::Varchar | PgType::BpChar | PgType::Json, Value::Real(value)) => {
            sqlite_real(value, out);
        }
        // numeric has no exponents
        (PgType::Numeric, Value::Real(value)) if value.fract() == 0.0 && value.abs() < 9.2e18 => {
            plain(Value::Integer(value as i64), out);
        }
        (_, value) => plain(value, out),
    }
}

/// Appends a value that is not NULL in binary format.
pub(crate) fn encode_binary(announced: PgType, value: Value<'_>, out: &mut Vec<u8>) -> Result<(), Mismatch> {
    let fits = match announced {
        PgType::Bool => boolean(value).map(|value| out.push(u8::from(value))),
        PgType::Int2 => narrowed::<i16>(value).map(|value| out.extend_from_slice(&value.to_be_bytes())),
        PgType::Int4 => narrowed::<i32>(value).map(|value| out.extend_from_slice(&value.to_be_bytes())),
        PgType::Oid | PgType::Xid => {
            narrowed::<u32>(value).map(|value| out.extend_from_slice(&value.to_be_bytes()))
        }
        PgType::Int8 => narrowed::<i64>(value).map(|value| out.extend_from_slice(&value.to_be_bytes())),
        PgType::Float4 => real(value).map(|value| out.extend_from_slice(&(value as f32).to_be_bytes())),
        PgType::Float8 => real(value).map(|value| out.extend_from_slice(&value.to_be_bytes())),
        PgType::Bytea => {
            plain(value, out);
            Some(())
        }
        PgType::Text | PgType::Varchar | PgType::BpChar | PgType::Name | PgType::Json => {
            encode_text(announced, value, out);
            Some(())
        }
        PgType::Jsonb => text(value).map(|value| {
            out.push(1);
            out.extend_from_slice(value.as_bytes());
        }),
        PgType::Uuid => uuid(value).map(|value| out.extend_from_slice(&value)),
        PgType::Numeric => {
            let mut digits = Vec::new();
            plain(value, &mut digits);
            std::str::from_utf8(&digits).ok().and_then(|digits| numeric::encode(digits, out))
        }
        PgType::Date => {
            text(value).and_then(datetime::date_days).map(|days| out.extend_from_slice(&days.to_be_bytes()))
        }
        PgType::Time => moment(value, datetime::time_micros, out),
        PgType::Timestamp => moment(value, |text| datetime::timestamp_micros(text, false), out),
        PgType::Timestamptz => moment(value, |text| datetime::timestamp_micros(text, true), out),
        PgType::Interval => {
            moment(value, datetime::interval_micros, out).map(|()| out.extend_from_slice(&[0; 8]))
        }
        PgType::PgLsn => text(value)
            .and_then(|text| text.parse::<walship_types::Lsn>().ok())
            .map(|lsn| out.extend_from_slice(&lsn.0.to_be_bytes())),
        PgType::Inet => text(value).and_then(|text| inet(text, out)),
        PgType::Char => text(value).filter(|text| text.len() <= 1).map(|text| {
            out.push(text.bytes().next().unwrap_or(0));
        }),
        PgType::Void => Some(()),
        other => {
            other.element().and_then(|element| text(value).and_then(|text| array::encode(text, element, out)))
        }
    };
    fits.ok_or(Mismatch { stored: stored(value), announced })
}

/// PostgreSQL's inet_send: family, bits of the mask, not a cidr, bytes of the address, the address.
fn inet(text: &str, out: &mut Vec<u8>) -> Option<()> {
    const FAMILIES: [u8; 2] = [2, 3];
    let (address, mask) = text.split_once('/').map_or((text, None), |(address, mask)| (address, Some(mask)));
    let (family, bytes) = match address.parse().ok()? {
        IpAddr::V4(address) => (FAMILIES[0], address.octets().to_vec()),
        IpAddr::V6(address) => (FAMILIES[1], address.octets().to_vec()),
    };
    let length = u8::try_from(bytes.len()).ok()?;
    let bits = mask.map_or(Some(length * 8), |mask| mask.parse().ok().filter(|bits| *bits <= length * 8))?;
    out.extend_from_slice(&[family, bits, 0, length]);
    out.extend_from_slice(&bytes);
    Some(())
}

fn moment(value: Value<'_>, parse: impl Fn(&str) -> Option<i64>, out: &mut Vec<u8>) -> Option<()> {
    text(value).and_then(parse).map(|micros| out.extend_from_slice(&micros.to_be_bytes()))
}

fn stored(value: Value<'_>) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Integer(_) => "integer",
        Value::Real(_) => "real",
        Value::Text(_) => "text",
        Value::Blob(_) => "blob",
    }
}

fn text(value: Value<'_>) -> Option<&str> {
    match value {
        Value::Text(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn boolean(value: Value<'_>) -> Option<bool> {
    match value {
        Value::Integer(0) => Some(false),
        Value::Integer(1) => Some(true),
        _ => None,
    }
}

fn narrowed<T: TryFrom<i64>>(value: Value<'_>) -> Option<T> {
    match value {
        Value::Integer(value) => T::try_from(value).ok(),
        // SQLite turns an integer that overflows a sum into a REAL; only exact ones go back
        Value::Real(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => T::try_from(value as i64).ok(),
        _ => None,
    }
}

fn real(value: Value<'_>) -> Option<f64> {
    match value {
        Value::Integer(value) => Some(value as f64),
        Value::Real(value) => Some(value),
        _ => None,
    }
}

fn plain(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => {}
        // writing to a Vec cannot fail
        Value::Integer(value) => write!(out, "{value}").unwrap_or_default(),
        Value::Real(value) => float_text(value, out),
        Value::Text(bytes) | Value::Blob(bytes) => out.extend_from_slice(bytes),
    }
}

/// Appends a double as PostgreSQL prints it: the shortest digits that read back as the same number.
fn float_text(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        let text: &[u8] = match value {
            value if value.is_nan() => b"NaN",
            value if value > 0.0 => b"Infinity",
            _ => b"-Infinity",
        };
        return out.extend_from_slice(text);
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..15).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            write!(out, "{mantissa}e{sign}{:02}", exponent.abs()).unwrap_or_default();
        }
        _ => write!(out, "{value}").unwrap_or_default(),
    }
}

// a REAL in a column without a type keeps its point, as SQLite shows it
fn sqlite_real(value: f64, out: &mut Vec<u8>) {
    let from = out.len();
    float_text(value, out);
    if out.get(from..).is_some_and(|text| text.iter().all(|b| b.is_ascii_digit() || *b == b'-')) {
        out.extend_from_slice(b".0");
    }
}

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    out.extend_from_slice(b"\\x");
    out.extend(bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]));
}

fn uuid_text(bytes: &[u8], out: &mut Vec<u8>) {
    let mut digits = Vec::with_capacity(34);
    hex(bytes, &mut digits);
    for (at, digit) in digits.iter().skip(2).enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            out.push(b'-');
        }
        out.push(*digit);
    }
}

fn uuid(value: Value<'_>) -> Option<[u8; 16]> {
    match value {
        Value::Blob(bytes) => bytes.try_into().ok(),
        Value::Text(text) => {
            let digits: Vec<u8> = text.iter().copied().filter(|b| !matches!(b, b'-' | b'{' | b'}')).collect();
            let digits = std::str::from_utf8(&digits).ok().filter(|digits| digits.len() == 32)?;
            u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(announced: PgType, value: Value<'_>) -> String {
        let mut out = vec![];
        encode_text(announced, value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_postgresqls() {
        for (value, text) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (1e300, "1e+300"),
            (1.5e-7, "1.5e-07"),
            (1e14, "100000000000000"),
            (-0.0, "-0"),
        ] {
            assert_eq!(shown(PgType::Float8, Value::Real(value)), text);
        }
        assert_eq!(shown(PgType::Text, Value::Real(1.0)), "1.0");
        assert_eq!(shown(PgType::Bool, Value::Integer(1)), "t");
        assert_eq!(shown(PgType::Bool, Value::Integer(2)), "2");
        assert_eq!(shown(PgType::Bytea, Value::Blob(&[0xde, 0xad])), "\\xdead");
        assert_eq!(shown(PgType::Bytea, Value::Text(b"a")), "\\x61");
        assert_eq!(shown(PgType::Uuid, Value::Blob(&[0; 16])), "00000000-0000-0000-0000-000000000000");
        assert_eq!(shown(PgType::Int8, Value::Integer(i64::MIN)), "-9223372036854775808");
    }

    #[test]
    fn binary_that_does_not_fit_is_refused() {
        let mut out = vec![];
        assert!(encode_binary(PgType::Int4, Value::Integer(1 << 40), &mut out).is_err());
        assert!(encode_binary(PgType::Int8, Value::Text(b"abc"), &mut out).is_err());
        assert!(encode_binary(PgType::Bool, Value::Integer(7), &mut out).is_err());
        let error = encode_binary(PgType::Timestamp, Value::Text(b"soon"), &mut out).unwrap_err();
        assert!(out.is_empty());
        let message = error.in_column("at").to_string();
        assert!(
            message.contains("column \"at\" has type timestamp") && message.contains("CAST"),
            "{message}"
        );
    }

    #[test]
    fn binary_is_big_endian() {
        let mut out = vec![];
        encode_binary(PgType::Int8, Value::Integer(-2), &mut out).unwrap();
        encode_binary(PgType::Float8, Value::Integer(1), &mut out).unwrap();
        encode_binary(PgType::Date, Value::Text(b"2000-01-02"), &mut out).unwrap();
        assert_eq!(out, [255, 255, 255, 255, 255, 255, 255, 254, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        out.clear();
        encode_binary(PgType::Inet, Value::Text(b"127.0.0.1"), &mut out).unwrap();
        encode_binary(PgType::Char, Value::Text(b"r"), &mut out).unwrap();
        encode_binary(PgType::Xid, Value::Integer(3), &mut out).unwrap();
        assert_eq!(out, [2, 32, 0, 4, 127, 0, 0, 1, b'r', 0, 0, 0, 3]);
        assert!(encode_binary(PgType::Inet, Value::Text(b"127.0.0.1/33"), &mut out).is_err());
    }
}
