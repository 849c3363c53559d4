use crate::sql::error::{Severity, SqlError};

/// The transaction status byte of ReadyForQuery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransactionStatus {
    /// Not in a transaction block.
    Idle,
    /// In a transaction block.
    InTransaction,
    /// In a transaction block that failed.
    Failed,
}

/// One column of a RowDescription.
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

/// Backend messages, gathered until they are sent with one write.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    // where the length word of the message that is being built stands
    length_at: usize,
}

impl Output {
    /// What was gathered.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets what was gathered; keeps a modest buffer.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
    }

    /// Cuts back to an earlier length: what a failed row had begun must not be sent.
    pub fn truncate(&mut self, length: usize) {
        self.bytes.truncate(length);
    }

    /// Bytes gathered.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was gathered.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn begin(&mut self, tag: u8) {
        self.bytes.push(tag);
        self.length_at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
    }

    fn end(&mut self) {
        // rows are bounded by SQLite's own limit of 10^9 bytes, other messages are small
        let length = (self.bytes.len() - self.length_at) as u32;
        if let Some(word) = self.bytes.get_mut(self.length_at..self.length_at + 4) {
            word.copy_from_slice(&length.to_be_bytes());
        }
    }

    fn text(&mut self, text: &str) {
        // a NUL inside would end the field early, and the rest would be read as other fields
        self.bytes.extend(text.bytes().filter(|&b| b != 0));
        self.bytes.push(0);
    }

    fn empty_message(&mut self, tag: u8) {
        self.begin(tag);
        self.end();
    }

    /// AuthenticationOk.
    pub fn authentication_ok(&mut self) {
        self.begin(b'R');
        self.bytes.extend_from_slice(&0i32.to_be_bytes());
        self.end();
    }

    /// ParameterStatus.
    pub fn parameter_status(&mut self, name: &str, value: &str) {
        self.begin(b'S');
        self.text(name);
        self.text(value);
        self.end();
    }

    /// BackendKeyData.
    pub fn backend_key_data(&mut self, pid: i32, key: i32) {
        self.begin(b'K');
        self.bytes.extend_from_slice(&pid.to_be_bytes());
        self.bytes.extend_from_slice(&key.to_be_bytes());
        self.end();
    }

    /// NegotiateProtocolVersion: the newest minor version spoken, and the options not understood.
    pub fn negotiate_protocol_version(&mut self, minor: i32, unknown: &[&str]) {
        self.begin(b'v');
        self.bytes.extend_from_slice(&minor.to_be_bytes());
        self.bytes.extend_from_slice(&(unknown.len() as i32).to_be_bytes());
        for option in unknown {
            self.text(option);
        }
        self.end();
    }

    /// ReadyForQuery.
    pub fn ready_for_query(&mut self, status: TransactionStatus) {
        self.begin(b'Z');
        self.bytes.push(match status {
            TransactionStatus::Idle => b'I',
            TransactionStatus::InTransaction => b'T',
            TransactionStatus::Failed => b'E',
        });
        self.end();
    }

    /// CommandComplete.
    pub fn command_complete(&mut self, tag: &str) {
        self.begin(b'C');
        self.text(tag);
        self.end();
    }

    /// EmptyQueryResponse.
    pub fn empty_query_response(&mut self) {
        self.empty_message(b'I');
    }

    /// ParseComplete.
    pub fn parse_complete(&mut self) {
        self.empty_message(b'1');
    }

    /// BindComplete.
    pub fn bind_complete(&mut self) {
        self.empty_message(b'2');
    }

    /// CloseComplete.
    pub fn close_complete(&mut self) {
        self.empty_message(b'3');
    }

    /// NoData.
    pub fn no_data(&mut self) {
        self.empty_message(b'n');
    }

    /// PortalSuspended.
    pub fn portal_suspended(&mut self) {
        self.empty_message(b's');
    }

    /// ParameterDescription.
    pub fn parameter_description(&mut self, types: impl ExactSizeIterator<Item = u32>) {
        self.begin(b't');
        self.bytes.extend_from_slice(&(types.len() as u16).to_be_bytes());
        for oid in types {
            self.bytes.extend_from_slice(&oid.to_be_bytes());
        }
        self.end();
    }

    /// RowDescription.
    pub fn row_description<'a>(&mut self, fields: impl ExactSizeIterator<Item = FieldDescription<'a>>) {
        self.begin(b'T');
        self.bytes.extend_from_slice(&(fields.len() as u16).to_be_bytes());
        for field in fields {
            self.text(field.name);
            // no table has an OID that a client could look up
            self.bytes.extend_from_slice(&[0; 6]);
            self.bytes.extend_from_slice(&field.type_oid.to_be_bytes());
            self.bytes.extend_from_slice(&field.type_length.to_be_bytes());
            self.bytes.extend_from_slice(&field.type_modifier.to_be_bytes());
            self.bytes.extend_from_slice(&field.format.to_be_bytes());
        }
        self.end();
    }

    /// Begins a DataRow of that many columns; each follows with [`Output::null`] or [`Output::value`].
    pub fn begin_row(&mut self, columns: usize) {
        self.begin(b'D');
        self.bytes.extend_from_slice(&(columns as u16).to_be_bytes());
    }

    /// The next column is NULL.
    pub fn null(&mut self) {
        self.bytes.extend_from_slice(&(-1i32).to_be_bytes());
    }

    /// The next column is what `encode` appends.
    pub fn value<E>(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        encode(&mut self.bytes)?;
        let length = (self.bytes.len() - at - 4) as u32;
        if let Some(word) = self.bytes.get_mut(at..at + 4) {
            word.copy_from_slice(&length.to_be_bytes());
        }
        Ok(())
    }

    /// Ends the DataRow.
    pub fn end_row(&mut self) {
        self.end();
    }

    /// A whole DataRow of text columns.
    pub fn text_row(&mut self, columns: &[Option<&str>]) {
        self.begin_row(columns.len());
        for column in columns {
            match column {
                None => self.null(),
                Some(text) => {
                    self.bytes.extend_from_slice(&(text.len() as u32).to_be_bytes());
                    self.bytes.extend_from_slice(text.as_bytes());
                }
            }
        }
        self.end_row();
    }

    /// CopyInResponse: text, that many columns.
    pub fn copy_in_response(&mut self, columns: usize) {
        self.copy_response(b'G', columns);
    }

    /// CopyOutResponse: text, that many columns.
    pub fn copy_out_response(&mut self, columns: usize) {
        self.copy_response(b'H', columns);
    }

    fn copy_response(&mut self, tag: u8, columns: usize) {
        self.begin(tag);
        self.bytes.push(0);
        self.bytes.extend_from_slice(&(columns as u16).to_be_bytes());
        self.bytes.extend(std::iter::repeat_n(0, columns * 2));
        self.end();
    }

    /// CopyData: what `encode` appends.
    pub fn copy_data<E>(&mut self, encode: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        self.begin(b'd');
        encode(&mut self.bytes)?;
        self.end();
        Ok(())
    }

    /// CopyDone.
    pub fn copy_done(&mut self) {
        self.empty_message(b'c');
    }

    /// ErrorResponse, or NoticeResponse where the severity is that of one.
    pub fn error(&mut self, error: &SqlError) {
        let report = error.report();
        self.begin(if matches!(report.severity, Severity::Warning | Severity::Notice) { b'N' } else { b'E' });
        let position = report.position.map(|p| p.to_string());
        let fields = [
            (b'S', Some(report.severity.as_str())),
            (b'V', Some(report.severity.as_str())),
            (b'C', Some(report.state.as_str())),
            (b'M', Some(report.message.as_str())),
            (b'D', report.detail.as_deref()),
            (b'H', report.hint.as_deref()),
            (b'P', position.as_deref()),
            (b'W', report.context.as_deref()),
            (b't', report.table.as_deref()),
            (b'c', report.column.as_deref()),
            (b'n', report.constraint.as_deref()),
        ];
        for (code, text) in fields {
            if let Some(text) = text {
                self.bytes.push(code);
                self.text(text);
            }
        }
        self.bytes.push(0);
        self.end();
    }
}

// what a buffer keeps when it is emptied; more than a response needs is given back
const KEPT_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::state::SqlState;

    #[test]
    fn messages_carry_their_length_without_the_type_byte() {
        let mut output = Output::default();
        output.ready_for_query(TransactionStatus::Failed);
        output.command_complete("SELECT 1");
        assert_eq!(output.bytes(), b"Z\0\0\0\x05EC\0\0\0\x0dSELECT 1\0");
    }

    #[test]
    fn a_nul_in_a_message_does_not_end_its_field() {
        let mut output = Output::default();
        output.error(&SqlError::new(SqlState::SYNTAX_ERROR, "a\0b"));
        assert_eq!(output.bytes(), b"E\0\0\0\x1eSERROR\0VERROR\0C42601\0Mab\0\0");
    }

    #[test]
    fn rows_hold_nulls_and_values() {
        let mut output = Output::default();
        output.text_row(&[None, Some("ab")]);
        assert_eq!(output.bytes(), b"D\0\0\0\x10\0\x02\xff\xff\xff\xff\0\0\0\x02ab");
    }
}
