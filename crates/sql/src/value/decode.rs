use walship_protocol::wire::SqlState;

use super::{PgType, datetime, numeric};
use crate::error::SqlError;
use crate::statement::Parameter;

/// The value that a client bound, as SQLite stores it. `number` counts from 1 and is for messages.
pub(crate) fn decode(
    announced: PgType,
    binary: bool,
    bytes: &[u8],
    number: usize,
) -> Result<Parameter, SqlError> {
    if binary { decode_binary(announced, bytes, number) } else { decode_text(announced, bytes) }
}

fn decode_text(announced: PgType, bytes: &[u8]) -> Result<Parameter, SqlError> {
    let text = std::str::from_utf8(bytes).map_err(|_| not_utf8())?;
    let invalid = || {
        let state = match announced {
            PgType::Date | PgType::Timestamp | PgType::Timestamptz => SqlState::INVALID_DATETIME_FORMAT,
            _ => SqlState::INVALID_TEXT_REPRESENTATION,
        };
        SqlError::new(state, format!("invalid input syntax for type {}: \"{text}\"", announced.name()))
    };
    let trimmed = text.trim();
    Ok(match announced {
        PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Oid | PgType::Xid => {
            let wide: i128 = trimmed.parse().map_err(|_| invalid())?;
            Parameter::Integer(in_range(announced, wide, text)?)
        }
        PgType::Float4 | PgType::Float8 => Parameter::Real(trimmed.parse().map_err(|_| invalid())?),
        PgType::Numeric => number_of(trimmed).ok_or_else(invalid)?,
        PgType::Bool => Parameter::Integer(i64::from(boolean(trimmed).ok_or_else(invalid)?)),
        PgType::Bytea => Parameter::Blob(bytea(text).ok_or_else(invalid)?),
        _ => Parameter::Text(text.to_owned()),
    })
}

fn decode_binary(announced: PgType, bytes: &[u8], number: usize) -> Result<Parameter, SqlError> {
    let malformed = || {
        SqlError::new(
            SqlState::INVALID_BINARY_REPRESENTATION,
            format!("incorrect binary data format in bind parameter {number} of type {}", announced.name()),
        )
    };
    let text = |text: Option<String>| text.map(Parameter::Text).ok_or_else(malformed);
    Ok(match announced {
        PgType::Bool => match bytes {
            [value] => Parameter::Integer(i64::from(*value != 0)),
            _ => return Err(malformed()),
        },
        PgType::Int2 => {
            Parameter::Integer(fixed(bytes).map(i16::from_be_bytes).ok_or_else(malformed)?.into())
        }
        PgType::Int4 => {
            Parameter::Integer(fixed(bytes).map(i32::from_be_bytes).ok_or_else(malformed)?.into())
        }
        PgType::Oid | PgType::Xid => {
            Parameter::Integer(fixed(bytes).map(u32::from_be_bytes).ok_or_else(malformed)?.into())
        }
        PgType::Int8 => Parameter::Integer(fixed(bytes).map(i64::from_be_bytes).ok_or_else(malformed)?),
        PgType::Float4 => Parameter::Real(fixed(bytes).map(f32::from_be_bytes).ok_or_else(malformed)?.into()),
        PgType::Float8 => Parameter::Real(fixed(bytes).map(f64::from_be_bytes).ok_or_else(malformed)?),
        PgType::Bytea => Parameter::Blob(bytes.to_vec()),
        PgType::Numeric => {
            numeric::decode(bytes).and_then(|digits| number_of(&digits)).ok_or_else(malformed)?
        }
        PgType::Uuid => {
            let value = fixed(bytes).map(u128::from_be_bytes).ok_or_else(malformed)?;
            Parameter::Text(uuid_text(value))
        }
        PgType::Date => text(fixed(bytes).map(i32::from_be_bytes).and_then(datetime::date_text))?,
        PgType::Time => text(fixed(bytes).map(i64::from_be_bytes).and_then(datetime::time_text))?,
        PgType::Timestamp => {
            text(fixed(bytes).map(i64::from_be_bytes).and_then(|at| datetime::timestamp_text(at, false)))?
        }
        PgType::Timestamptz => {
            text(fixed(bytes).map(i64::from_be_bytes).and_then(|at| datetime::timestamp_text(at, true)))?
        }
        PgType::PgLsn => {
            text(fixed(bytes).map(u64::from_be_bytes).map(|lsn| walship_types::Lsn(lsn).to_string()))?
        }
        PgType::Jsonb => match bytes {
            [1, json @ ..] => Parameter::Text(utf8(json)?),
            _ => return Err(malformed()),
        },
        PgType::Text | PgType::Varchar | PgType::BpChar | PgType::Name | PgType::Json => {
            Parameter::Text(utf8(bytes)?)
        }
        _ => {
            return Err(SqlError::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!(
                    "bind parameter {number}: type with OID {} has no binary format here",
                    announced.oid()
                ),
            )
            .with_hint("Send it in text format, or CAST it to text."));
        }
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

fn utf8(bytes: &[u8]) -> Result<String, SqlError> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| not_utf8())
}

fn not_utf8() -> SqlError {
    SqlError::new(SqlState::CHARACTER_NOT_IN_REPERTOIRE, "invalid byte sequence for encoding \"UTF8\"")
}

fn in_range(announced: PgType, value: i128, text: &str) -> Result<i64, SqlError> {
    let (min, max) = match announced {
        PgType::Int2 => (i128::from(i16::MIN), i128::from(i16::MAX)),
        PgType::Int4 => (i128::from(i32::MIN), i128::from(i32::MAX)),
        PgType::Oid | PgType::Xid => (0, i128::from(u32::MAX)),
        _ => (i128::from(i64::MIN), i128::from(i64::MAX)),
    };
    i64::try_from(value).ok().filter(|_| (min..=max).contains(&value)).ok_or_else(|| {
        SqlError::new(
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("value \"{text}\" is out of range for type {}", announced.name()),
        )
    })
}

/// What NUMERIC affinity makes of a number: an integer, else a double where it keeps every digit, else text.
fn number_of(text: &str) -> Option<Parameter> {
    numeric::encode(text, &mut Vec::new())?;
    if let Ok(value) = text.parse() {
        return Some(Parameter::Integer(value));
    }
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    match text.parse::<f64>() {
        // 15 decimal digits always survive a double
        Ok(value) if digits <= 15 && value.is_finite() => Some(Parameter::Real(value)),
        _ => Some(Parameter::Text(text.to_owned())),
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "t" | "tr" | "tru" | "true" | "y" | "ye" | "yes" | "on" | "1" => Some(true),
        "f" | "fa" | "fal" | "fals" | "false" | "n" | "no" | "of" | "off" | "0" => Some(false),
        _ => None,
    }
}

fn bytea(text: &str) -> Option<Vec<u8>> {
    let Some(digits) = text.strip_prefix("\\x") else { return escaped(text.as_bytes()) };
    let digits = digits.as_bytes();
    let nibble = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let byte = |pair: &[u8]| match pair {
        [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}

// PostgreSQL's older form: a backslash doubled, or before three octal digits
fn escaped(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(rest.len());
    loop {
        match rest {
            [] => return Some(bytes),
            [b'\\', b'\\', tail @ ..] => {
                bytes.push(b'\\');
                rest = tail;
            }
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = tail;
            }
            [b'\\', ..] => return None,
            [plain, tail @ ..] => {
                bytes.push(*plain);
                rest = tail;
            }
        }
    }
}

fn uuid_text(value: u128) -> String {
    let digits = format!("{value:032x}");
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_parameters_are_what_their_type_says() {
        let decoded = |announced, text: &str| decode(announced, false, text.as_bytes(), 1);
        assert_eq!(decoded(PgType::Int8, " -4001 ").unwrap(), Parameter::Integer(-4001));
        assert_eq!(decoded(PgType::Bool, "TRUE").unwrap(), Parameter::Integer(1));
        assert_eq!(decoded(PgType::Bytea, "\\x00Ff").unwrap(), Parameter::Blob(vec![0, 255]));
        assert_eq!(decoded(PgType::Bytea, "a\\\\\\001").unwrap(), Parameter::Blob(b"a\\\x01".to_vec()));
        assert_eq!(decoded(PgType::Numeric, "1.5").unwrap(), Parameter::Real(1.5));
        assert_eq!(decoded(PgType::Int8, "x").unwrap_err().state(), SqlState::INVALID_TEXT_REPRESENTATION);
        assert_eq!(decoded(PgType::Int2, "40000").unwrap_err().state(), SqlState::NUMERIC_VALUE_OUT_OF_RANGE);
        let error = decoded(PgType::Int8, "abc").unwrap_err();
        assert_eq!(error.report().message, "invalid input syntax for type bigint: \"abc\"");
    }

    #[test]
    fn binary_parameters_have_their_exact_size() {
        assert_eq!(decode(PgType::Int4, true, &[255, 255, 255, 254], 1).unwrap(), Parameter::Integer(-2));
        assert_eq!(
            decode(PgType::Timestamptz, true, &[0; 8], 1).unwrap(),
            Parameter::Text("2000-01-01 00:00:00+00".to_owned())
        );
        assert_eq!(
            decode(PgType::Int8, true, &[0; 4], 3).unwrap_err().state(),
            SqlState::INVALID_BINARY_REPRESENTATION
        );
        assert_eq!(
            decode(PgType::Uuid, true, &[0x11; 16], 1).unwrap(),
            Parameter::Text("11111111-1111-1111-1111-111111111111".to_owned())
        );
    }
}
