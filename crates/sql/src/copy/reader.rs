use walship_protocol::wire::SqlState;

use super::options::CopyFormat;
use crate::error::SqlError;

/// Longest line, in bytes; more is refused before it is kept.
const LINE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// One row: its fields stand in one buffer, which the next row uses again.
#[derive(Debug, Default)]
pub(crate) struct Row {
    data: Vec<u8>,
    // end of each field in `data`, and whether it is NULL, and whether it was quoted
    fields: Vec<(usize, bool, bool)>,
}

impl Row {
    /// How many fields it has.
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// A field; `None` is NULL. The flags say what CSV's options make of its quotes.
    pub(crate) fn field(
        &self,
        at: usize,
        force_not_null: bool,
        force_null: bool,
        null: &[u8],
    ) -> Option<&[u8]> {
        let start = at.checked_sub(1).and_then(|before| self.fields.get(before)).map_or(0, |(end, ..)| *end);
        let (end, is_null, quoted) = *self.fields.get(at)?;
        let text = self.data.get(start..end)?;
        if is_null && !force_not_null || (force_null && quoted && text == null) {
            return None;
        }
        // what looked like NULL was kept as its text
        Some(text)
    }

    fn clear(&mut self) {
        self.data.clear();
        self.data.shrink_to(64 * 1024);
        self.fields.clear();
    }
}

/// Makes rows of the bytes of a COPY FROM, which come in blocks that end anywhere.
#[derive(Debug)]
pub(crate) struct CopyReader {
    format: CopyFormat,
    input: Vec<u8>,
    // input[start..] is not consumed; input[..scanned] was searched for the end of the line
    start: usize,
    scanned: usize,
    in_quotes: bool,
    // the data ended: with the client's CopyDone, or a line of its own that holds only \.
    ended: bool,
    line: u64,
}

impl CopyReader {
    pub(crate) fn new(format: CopyFormat) -> CopyReader {
        CopyReader {
            format,
            input: Vec::new(),
            start: 0,
            scanned: 0,
            in_quotes: false,
            ended: false,
            line: 0,
        }
    }

    /// The line of the row that was read last, counted from 1.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// More bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), SqlError> {
        self.input.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        if self.ended {
            return Ok(());
        }
        if self.input.len() + bytes.len() > LINE_BYTES_MAX {
            return Err(SqlError::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("a line of COPY data is longer than {LINE_BYTES_MAX} bytes"),
            ));
        }
        self.input.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole row; `false` when more bytes are needed. With `at_end` a last line may lack its newline.
    pub(crate) fn next_row(&mut self, row: &mut Row, at_end: bool) -> Result<bool, SqlError> {
        if self.ended {
            return Ok(false);
        }
        let (content_end, next) = match self.line_end() {
            Some(end) => (end, end + 1),
            None if !at_end || self.start >= self.input.len() => return Ok(false),
            None if self.in_quotes => {
                self.line += 1;
                return Err(bad_format("unterminated CSV quoted field"));
            }
            None => (self.input.len(), self.input.len()),
        };
        let line = self.input.get(self.start..content_end).unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.line += 1;
        let result = if line == b"\\." {
            self.ended = true;
            Ok(false)
        } else {
            row.clear();
            let parsed = if self.format.csv {
                csv_fields(line, &self.format, row)
            } else {
                text_fields(line, &self.format, row)
            };
            parsed.map(|()| true)
        };
        // lines inside quotes count, as an editor shows them
        self.line += line.iter().filter(|&&b| b == b'\n').count() as u64;
        self.start = next;
        self.scanned = next;
        result
    }

    // the newline that ends the row, with what is escaped or quoted skipped
    fn line_end(&mut self) -> Option<usize> {
        let mut at = self.scanned;
        while let Some(&byte) = self.input.get(at) {
            if self.format.csv {
                if self.in_quotes && byte == self.format.escape && byte != self.format.quote {
                    if at + 1 >= self.input.len() {
                        break;
                    }
                    at += 1;
                } else if byte == self.format.quote {
                    self.in_quotes = !self.in_quotes;
                } else if byte == b'\n' && !self.in_quotes {
                    self.scanned = at;
                    return Some(at);
                }
            } else if byte == b'\\' {
                // what follows belongs to it, and may not be here yet
                if at + 1 >= self.input.len() {
                    break;
                }
                at += 1;
            } else if byte == b'\n' {
                self.scanned = at;
                return Some(at);
            }
            at += 1;
        }
        self.scanned = at;
        None
    }
}

fn bad_format(message: &str) -> SqlError {
    SqlError::new(SqlState::BAD_COPY_FILE_FORMAT, message)
}

fn text_fields(line: &[u8], format: &CopyFormat, row: &mut Row) -> Result<(), SqlError> {
    let mut rest = line;
    loop {
        let from = row.data.len();
        let mut length = 0;
        // the NULL mark is compared before escapes are taken out
        while let Some(&byte) = rest.get(length) {
            if byte == format.delimiter {
                break;
            }
            length += if byte == b'\\' { 2 } else { 1 };
        }
        let raw = rest.get(..length).unwrap_or(rest);
        let is_null = raw == format.null.as_slice();
        unescape(raw, &mut row.data);
        if is_null {
            row.data.truncate(from);
        }
        row.fields.push((row.data.len(), is_null, false));
        match rest.get(raw.len()..) {
            Some([_delimiter, tail @ ..]) => rest = tail,
            _ => return Ok(()),
        }
    }
}

fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    let mut rest = raw;
    loop {
        let plain = rest.iter().position(|&b| b == b'\\').unwrap_or(rest.len());
        let (before, escaped) = rest.split_at(plain);
        out.extend_from_slice(before);
        let (byte, used) = match escaped {
            [] => return,
            [_, b'b', ..] => (0x08, 2),
            [_, b'f', ..] => (0x0c, 2),
            [_, b'n', ..] => (b'\n', 2),
            [_, b'r', ..] => (b'\r', 2),
            [_, b't', ..] => (b'\t', 2),
            [_, b'v', ..] => (0x0b, 2),
            [_, b'x', digits @ ..] => match number(digits, 2, 16) {
                (_, 0) => (b'x', 2),
                (value, used) => (value, 2 + used),
            },
            [_, digits @ ..] => match number(digits, 3, 8) {
                (_, 0) => (digits.first().copied().unwrap_or(b'\\'), 1 + usize::from(!digits.is_empty())),
                (value, used) => (value, 1 + used),
            },
        };
        out.push(byte);
        rest = escaped.get(used..).unwrap_or_default();
    }
}

// the value of up to `max` digits, and how many there were
fn number(digits: &[u8], max: usize, radix: u32) -> (u8, usize) {
    let values = digits.iter().take(max).map_while(|&b| char::from(b).to_digit(radix));
    let (value, used) = values.fold((0u32, 0), |(value, used), digit| (value * radix + digit, used + 1));
    // PostgreSQL, too, keeps the low byte of \777
    ((value & 0xff) as u8, used)
}

fn csv_fields(line: &[u8], format: &CopyFormat, row: &mut Row) -> Result<(), SqlError> {
    let mut at = 0;
    loop {
        let from = row.data.len();
        let mut quoted = false;
        let mut in_quotes = false;
        while let Some(&byte) = line.get(at) {
            let next = line.get(at + 1).copied();
            if in_quotes {
                if byte == format.escape
                    && next.is_some_and(|next| next == format.quote || next == format.escape)
                {
                    row.data.extend(next);
                    at += 1;
                } else if byte == format.quote {
                    in_quotes = false;
                } else {
                    row.data.push(byte);
                }
            } else if byte == format.delimiter {
                break;
            } else if byte == format.quote {
                in_quotes = true;
                quoted = true;
            } else {
                row.data.push(byte);
            }
            at += 1;
        }
        if in_quotes {
            return Err(bad_format("unterminated CSV quoted field"));
        }
        let is_null = !quoted && row.data.get(from..) == Some(format.null.as_slice());
        row.fields.push((row.data.len(), is_null, quoted));
        if at >= line.len() {
            return Ok(());
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::options::{CopyStatement, Header};
    use super::*;
    use crate::lexer::split;

    fn format(options: &str) -> CopyFormat {
        let text = format!("copy t from stdin {options}");
        CopyStatement::parse(&text, &split(&text)[0]).unwrap().format
    }

    fn rows(options: &str, data: &[u8], block: usize) -> Result<Vec<Vec<Option<String>>>, SqlError> {
        let format = format(options);
        let null = format.null.clone();
        let mut reader = CopyReader::new(format);
        let (mut row, mut rows) = (Row::default(), vec![]);
        let take = |row: &Row| {
            let text =
                |at| row.field(at, false, false, &null).map(|b| String::from_utf8(b.to_vec()).unwrap());
            (0..row.len()).map(text).collect::<Vec<_>>()
        };
        for block in data.chunks(block) {
            reader.push(block)?;
            while reader.next_row(&mut row, false)? {
                rows.push(take(&row));
            }
        }
        while reader.next_row(&mut row, true)? {
            rows.push(take(&row));
        }
        Ok(rows)
    }

    fn some(fields: &[&str]) -> Vec<Option<String>> {
        fields.iter().map(|field| Some((*field).to_owned())).collect()
    }

    #[test]
    fn text_rows_in_blocks_of_any_size() {
        let data = b"a\\tb\t\\N\t\r\n\\\\\\x41\\101\t\\\nx\t2\nlast\tq\tr";
        for block in 1..data.len() {
            let found = rows("", data, block).unwrap();
            assert_eq!(found[0], [Some("a\tb".to_owned()), None, Some(String::new())]);
            assert_eq!(found[1], some(&["\\AA", "\nx", "2"]));
            assert_eq!(found[2], some(&["last", "q", "r"]));
        }
        assert_eq!(rows("", b"1\n\\.\n2\n", 100).unwrap(), [some(&["1"])]);
    }

    #[test]
    fn csv_rows_in_blocks_of_any_size() {
        let data = b"1,\"a\"\"b,\nc\",\r\n\"\",x,\"\\.\"\n";
        for block in 1..data.len() {
            let found = rows("csv", data, block).unwrap();
            assert_eq!(found[0], [Some("1".to_owned()), Some("a\"b,\nc".to_owned()), None]);
            assert_eq!(found[1], some(&["", "x", "\\."]));
        }
        let error = rows("csv", b"1,\"a", 9).unwrap_err();
        assert_eq!(error.report().message, "unterminated CSV quoted field");
        assert_eq!(rows("csv escape E'\\\\'", b"\"a\\\"b\"\n", 1).unwrap(), [some(&["a\"b"])]);
        assert_eq!(format("csv header").header, Header::Skip);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(data: Vec<u8>, csv: bool, block in 1usize..9) {
            let mut reader = CopyReader::new(format(if csv { "csv" } else { "" }));
            let mut row = Row::default();
            for block in data.chunks(block) {
                reader.push(block).unwrap();
                while let Ok(true) = reader.next_row(&mut row, false) {}
            }
            while let Ok(true) = reader.next_row(&mut row, true) {}
        }
    }
}
