use bytes::{BufMut, Bytes, BytesMut};

use super::backend::{CopyDirection, TransactionStatus};
use super::fields::{ErrorFields, Severity};
use crate::{Column, ResultSet};

/// What messages are gathered in. Rows are encoded straight into it.
pub trait Buffer: BufMut + AsRef<[u8]> + AsMut<[u8]> {}

impl Buffer for Vec<u8> {}
impl Buffer for BytesMut {}

/// Columns that messages announce, as RowDescription has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDescription<'a> {
    /// Its name.
    pub name: &'a str,
    /// OID of its type.
    pub type_oid: u32,
    /// Size of the type in bytes, -1 if it varies.
    pub type_length: i16,
    /// Type modifier, -1 for none.
    pub type_modifier: i32,
    /// 0 text, 1 binary.
    pub format: i16,
}

/// Writes a length word, and behind it what `body` writes; `own` is what the word itself counts.
fn put_counted<B: Buffer, E>(
    out: &mut B,
    own: usize,
    body: impl FnOnce(&mut B) -> Result<(), E>,
) -> Result<(), E> {
    let at = out.as_ref().len();
    out.put_u32(0);
    body(out)?;
    // rows are bounded by SQLite's own limit of 10^9 bytes, other messages are small
    let length = u32::try_from(out.as_ref().len() - at - 4 + own).unwrap_or(u32::MAX);
    if let Some(word) = out.as_mut().get_mut(at..at + 4) {
        word.copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}

/// Writes tag, length and what `body` writes.
pub(super) fn put_message<B: Buffer>(out: &mut B, tag: Option<u8>, body: impl FnOnce(&mut B)) {
    let Ok(()) = try_put_message(out, tag, |out| {
        body(out);
        Ok::<_, std::convert::Infallible>(())
    });
}

fn try_put_message<B: Buffer, E>(
    out: &mut B,
    tag: Option<u8>,
    body: impl FnOnce(&mut B) -> Result<(), E>,
) -> Result<(), E> {
    if let Some(tag) = tag {
        out.put_u8(tag);
    }
    put_counted(out, 4, body)
}

pub(super) fn put_text(out: &mut impl Buffer, text: &str) {
    // a NUL inside would end the field early, and the rest would be read as other fields
    for part in text.as_bytes().split(|&byte| byte == 0) {
        out.put_slice(part);
    }
    out.put_u8(0);
}

fn put_count(out: &mut impl Buffer, count: usize) {
    out.put_u16(u16::try_from(count).unwrap_or(u16::MAX));
}

/// `R`: nothing (more) has to be proven.
pub fn put_authentication_ok(out: &mut impl Buffer) {
    put_message(out, Some(b'R'), |out| out.put_i32(0));
}

/// `R`: the client has to choose one of these SASL mechanisms.
pub fn put_sasl(out: &mut impl Buffer, mechanisms: &[&str]) {
    put_message(out, Some(b'R'), |out| {
        out.put_i32(10);
        for mechanism in mechanisms {
            put_text(out, mechanism);
        }
        out.put_u8(0);
    });
}

/// `R`: the next message of a SASL exchange.
pub fn put_sasl_continue(out: &mut impl Buffer, data: &[u8]) {
    put_message(out, Some(b'R'), |out| {
        out.put_i32(11);
        out.put_slice(data);
    });
}

/// `R`: the last message of a SASL exchange that went well.
pub fn put_sasl_final(out: &mut impl Buffer, data: &[u8]) {
    put_message(out, Some(b'R'), |out| {
        out.put_i32(12);
        out.put_slice(data);
    });
}

/// `S`
pub fn put_parameter_status(out: &mut impl Buffer, name: &str, value: &str) {
    put_message(out, Some(b'S'), |out| {
        put_text(out, name);
        put_text(out, value);
    });
}

/// `K`
pub fn put_backend_key_data(out: &mut impl Buffer, pid: i32, key: i32) {
    put_message(out, Some(b'K'), |out| {
        out.put_i32(pid);
        out.put_i32(key);
    });
}

/// `v`: the newest minor version spoken, and the options not understood.
pub fn put_negotiate_protocol_version(out: &mut impl Buffer, minor: i32, unknown: &[&str]) {
    put_message(out, Some(b'v'), |out| {
        out.put_i32(minor);
        out.put_i32(i32::try_from(unknown.len()).unwrap_or(i32::MAX));
        for option in unknown {
            put_text(out, option);
        }
    });
}

/// `Z`
pub fn put_ready_for_query(out: &mut impl Buffer, status: TransactionStatus) {
    let byte = match status {
        TransactionStatus::Idle => b'I',
        TransactionStatus::InTransaction => b'T',
        TransactionStatus::Failed => b'E',
    };
    put_message(out, Some(b'Z'), |out| out.put_u8(byte));
}

/// `C`
pub fn put_command_complete(out: &mut impl Buffer, tag: &str) {
    put_message(out, Some(b'C'), |out| put_text(out, tag));
}

/// `I`
pub fn put_empty_query(out: &mut impl Buffer) {
    put_message(out, Some(b'I'), |_| {});
}

/// `1`
pub fn put_parse_complete(out: &mut impl Buffer) {
    put_message(out, Some(b'1'), |_| {});
}

/// `2`
pub fn put_bind_complete(out: &mut impl Buffer) {
    put_message(out, Some(b'2'), |_| {});
}

/// `3`
pub fn put_close_complete(out: &mut impl Buffer) {
    put_message(out, Some(b'3'), |_| {});
}

/// `n`
pub fn put_no_data(out: &mut impl Buffer) {
    put_message(out, Some(b'n'), |_| {});
}

/// `s`
pub fn put_portal_suspended(out: &mut impl Buffer) {
    put_message(out, Some(b's'), |_| {});
}

/// `t`
pub fn put_parameter_description(out: &mut impl Buffer, types: impl ExactSizeIterator<Item = u32>) {
    put_message(out, Some(b't'), |out| {
        put_count(out, types.len());
        types.for_each(|oid| out.put_u32(oid));
    });
}

/// `E`, or `N` where the severity is that of a notice.
pub fn put_error(out: &mut impl Buffer, error: &ErrorFields) {
    let tag = if matches!(error.severity, Severity::Warning | Severity::Notice) { b'N' } else { b'E' };
    put_message(out, Some(tag), |out| {
        error.each_field(|code, value| {
            out.put_u8(code);
            put_text(out, value);
        });
        out.put_u8(0);
    });
}

/// `T`
pub fn put_row_description<'a>(
    out: &mut impl Buffer,
    fields: impl ExactSizeIterator<Item = FieldDescription<'a>>,
) {
    put_message(out, Some(b'T'), |out| {
        put_count(out, fields.len());
        for field in fields {
            put_text(out, field.name);
            // no table has an OID that a client could look up
            out.put_i32(0);
            out.put_i16(0);
            out.put_u32(field.type_oid);
            out.put_i16(field.type_length);
            out.put_i32(field.type_modifier);
            out.put_i16(field.format);
        }
    });
}

/// `D`: a row of that many columns, each written by [`put_null`] or [`put_value`]. After an
/// error the buffer ends in half a row, which the caller cuts off.
pub fn put_row<B: Buffer, E>(
    out: &mut B,
    columns: usize,
    values: impl FnOnce(&mut B) -> Result<(), E>,
) -> Result<(), E> {
    try_put_message(out, Some(b'D'), |out| {
        put_count(out, columns);
        values(out)
    })
}

/// The row's next column is NULL.
pub fn put_null(out: &mut impl Buffer) {
    out.put_i32(-1);
}

/// The row's next column is what `encode` appends.
pub fn put_value<B: Buffer, E>(out: &mut B, encode: impl FnOnce(&mut B) -> Result<(), E>) -> Result<(), E> {
    put_counted(out, 0, encode)
}

/// `D`: a whole row of texts.
pub fn put_data_row<T: AsRef<[u8]>>(out: &mut impl Buffer, row: &[Option<T>]) {
    put_message(out, Some(b'D'), |out| {
        put_count(out, row.len());
        for value in row {
            match value {
                Some(value) => {
                    let value = value.as_ref();
                    out.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
                    out.put_slice(value);
                }
                None => put_null(out),
            }
        }
    });
}

/// `T`, a `D` per row, `C`.
pub fn put_result_set(out: &mut impl Buffer, set: &ResultSet) {
    put_row_description(out, set.columns.iter().map(described));
    for row in &set.rows {
        put_data_row::<Bytes>(out, row);
    }
    put_command_complete(out, set.tag);
}

fn described(column: &Column) -> FieldDescription<'_> {
    FieldDescription {
        name: &column.name,
        type_oid: column.type_oid,
        type_length: column.type_length,
        type_modifier: column.type_modifier,
        format: 0,
    }
}

/// `G`, `H` or `W`: a copy stream of that many columns of text begins.
pub fn put_copy_response(out: &mut impl Buffer, direction: CopyDirection, columns: usize) {
    let tag = match direction {
        CopyDirection::In => b'G',
        CopyDirection::Out => b'H',
        CopyDirection::Both => b'W',
    };
    put_message(out, Some(tag), |out| {
        out.put_u8(0);
        put_count(out, columns);
        out.put_bytes(0, columns * 2);
    });
}

/// `d`
pub fn put_copy_data(out: &mut impl Buffer, data: &[u8]) {
    put_message(out, Some(b'd'), |out| out.put_slice(data));
}

/// `d`: what `encode` appends.
pub fn put_copy_data_with<B: Buffer, E>(
    out: &mut B,
    encode: impl FnOnce(&mut B) -> Result<(), E>,
) -> Result<(), E> {
    try_put_message(out, Some(b'd'), encode)
}

/// The beginning of a `d` message: `data`, and so many bytes more, which the caller sends
/// after it without copying them here.
pub fn put_copy_data_head(out: &mut impl Buffer, data: &[u8], following: usize) {
    let length = 4 + data.len() + following;
    out.put_u8(b'd');
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    out.put_slice(data);
}

/// `c`
pub fn put_copy_done(out: &mut impl Buffer) {
    put_message(out, Some(b'c'), |_| {});
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::SqlState;

    #[test]
    fn messages_carry_their_length_without_the_type_byte() {
        let mut out = Vec::new();
        put_ready_for_query(&mut out, TransactionStatus::Failed);
        put_command_complete(&mut out, "SELECT 1");
        assert_eq!(out, b"Z\0\0\0\x05EC\0\0\0\x0dSELECT 1\0");
    }

    #[test]
    fn a_nul_in_a_message_does_not_end_its_field() {
        let mut out = Vec::new();
        put_error(&mut out, &ErrorFields::error(SqlState::SYNTAX_ERROR, "a\0b"));
        assert_eq!(out, b"E\0\0\0\x1eSERROR\0VERROR\0C42601\0Mab\0\0");
    }

    #[test]
    fn rows_hold_nulls_and_values() {
        let mut out = Vec::new();
        put_data_row(&mut out, &[None, Some("ab")]);
        let row = out.clone();
        assert_eq!(row, b"D\0\0\0\x10\0\x02\xff\xff\xff\xff\0\0\0\x02ab");
        out.clear();
        let encoded: Result<(), ()> = put_row(&mut out, 2, |out| {
            put_null(out);
            put_value(out, |out| {
                out.extend_from_slice(b"ab");
                Ok(())
            })
        });
        assert_eq!((encoded, out), (Ok(()), row));
    }
}
