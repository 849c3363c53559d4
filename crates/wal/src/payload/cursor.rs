use walship_types::{DatabaseName, PageSize, SqliteWalGeneration, SqliteWalPosition};

use super::PayloadError;
use super::varint::{self, Varint};

/// Bytes of a -wal position: checkpoint sequence, two salts, frame, two checksums.
pub(super) const POSITION_LEN: usize = 24;

/// Takes a payload apart from its start, checking every length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(payload: &'a [u8]) -> Cursor<'a> {
        Cursor { rest: payload, offset: 0 }
    }

    pub(super) fn at(rest: &'a [u8], offset: usize) -> Cursor<'a> {
        Cursor { rest, offset }
    }

    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take(&mut self, len: u64, field: &'static str) -> Result<&'a [u8], PayloadError> {
        let split = usize::try_from(len).ok().and_then(|n| self.rest.split_at_checked(n));
        let Some((taken, rest)) = split else {
            let (offset, available) = (self.offset, self.rest.len());
            return Err(PayloadError::Truncated { field, offset, needed: len, available });
        };
        self.rest = rest;
        self.offset += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], PayloadError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64, field)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, PayloadError> {
        Ok(u8::from_le_bytes(self.array(field)?))
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, PayloadError> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, PayloadError> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    pub(super) fn i64(&mut self, field: &'static str) -> Result<i64, PayloadError> {
        Ok(i64::from_le_bytes(self.array(field)?))
    }

    pub(super) fn varint(&mut self, field: &'static str) -> Result<u64, PayloadError> {
        let offset = self.offset;
        match varint::get(self.rest) {
            Varint::Value(value, len) => {
                self.take(len as u64, field)?;
                Ok(value)
            }
            Varint::Truncated => {
                let available = self.rest.len();
                Err(PayloadError::Truncated { field, offset, needed: available as u64 + 1, available })
            }
            Varint::Overlong => Err(PayloadError::Overlong { field, offset }),
        }
    }

    /// Flags of which only those in `known` may be set.
    pub(super) fn flags(&mut self, known: u8) -> Result<u8, PayloadError> {
        let offset = self.offset;
        let flags = self.u8("flags")?;
        if flags & !known == 0 {
            return Ok(flags);
        }
        let found = u64::from(flags);
        Err(PayloadError::Invalid { field: "flags", offset, found, expected: "known flags only" })
    }

    /// `len` bytes that are zero until a later version gives them a meaning.
    pub(super) fn reserved(&mut self, len: u64) -> Result<(), PayloadError> {
        let offset = self.offset;
        match self.take(len, "reserved")?.iter().find(|&&b| b != 0) {
            None => Ok(()),
            Some(&byte) => {
                let found = u64::from(byte);
                Err(PayloadError::Invalid { field: "reserved", offset, found, expected: "0" })
            }
        }
    }

    /// A page size, stored as its binary logarithm.
    pub(super) fn page_size(&mut self) -> Result<PageSize, PayloadError> {
        let offset = self.offset;
        let log2 = self.u8("page size")?;
        1u32.checked_shl(u32::from(log2)).and_then(|bytes| PageSize::new(bytes).ok()).ok_or({
            let found = u64::from(log2);
            PayloadError::Invalid { field: "page size", offset, found, expected: "9 to 16" }
        })
    }

    pub(super) fn position(&mut self) -> Result<SqliteWalPosition, PayloadError> {
        let field = "-wal position";
        let generation = SqliteWalGeneration {
            checkpoint_sequence: self.u32(field)?,
            salt1: self.u32(field)?,
            salt2: self.u32(field)?,
        };
        let frame = self.u32(field)?;
        Ok(SqliteWalPosition { generation, frame, checksum: (self.u32(field)?, self.u32(field)?) })
    }

    pub(super) fn database_name(&mut self, len: u8) -> Result<DatabaseName, PayloadError> {
        let (offset, field) = (self.offset, "database name");
        let name = self.take(u64::from(len), field)?;
        let text = String::from_utf8_lossy(name).into_owned();
        DatabaseName::try_from(text).map_err(|error| PayloadError::InvalidName {
            field,
            offset,
            found: error.0,
        })
    }

    /// That nothing is left.
    pub(super) fn end(self) -> Result<(), PayloadError> {
        let (offset, excess) = (self.offset, self.rest.len());
        if excess == 0 { Ok(()) } else { Err(PayloadError::Excess { offset, excess }) }
    }
}

pub(super) fn put_page_size(out: &mut Vec<u8>, size: PageSize) {
    out.push(size.bytes().trailing_zeros() as u8);
}

pub(super) fn put_position(out: &mut Vec<u8>, position: &SqliteWalPosition) {
    let g = &position.generation;
    let (c1, c2) = position.checksum;
    for word in [g.checkpoint_sequence, g.salt1, g.salt2, position.frame, c1, c2] {
        out.extend_from_slice(&word.to_le_bytes());
    }
}
