use walship_types::{DatabaseId, PageSize, SqliteWalPosition, Timestamp};

use super::cursor::{Cursor, put_page_size, put_position};
use super::{Entries, PayloadError};

/// Bytes before the entries.
pub const COMMIT_HEADER_LEN: usize = 52;

const FOREIGN: u8 = 1;
const SINGLE: u8 = 2;
const BASE_BACKUP: u8 = 4;

/// What kind of commit it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommitFlags {
    /// Made by a program other than ours, found in the -wal afterwards.
    pub foreign: bool,
    /// No [`PagesPart`](super::PagesPart) belongs to it: all its pages are inline.
    pub single: bool,
    /// Images of pages as they are, logged for a base backup; changes nothing.
    pub base_backup: bool,
}

impl CommitFlags {
    fn to_byte(self) -> u8 {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        bit(self.foreign, FOREIGN) | bit(self.single, SINGLE) | bit(self.base_backup, BASE_BACKUP)
    }

    fn from_byte(byte: u8) -> CommitFlags {
        CommitFlags {
            foreign: byte & FOREIGN != 0,
            single: byte & SINGLE != 0,
            base_backup: byte & BASE_BACKUP != 0,
        }
    }
}

/// Closes a transaction. A small one is this record alone, with its pages inline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit<'a> {
    /// Which database.
    pub database: DatabaseId,
    /// Its size in pages after the commit.
    pub pages: u32,
    /// What kind of commit.
    pub flags: CommitFlags,
    /// Size of its pages.
    pub page_size: PageSize,
    /// Where the commit ends in the -wal of the node that made it.
    pub position: SqliteWalPosition,
    /// When it was made.
    pub time: Timestamp,
    /// Checksum of the whole database after the commit: XOR of its pages' hashes.
    pub checksum: u64,
    entries: Entries<'a>,
}

impl<'a> Commit<'a> {
    /// A commit without inline entries, to be encoded.
    #[allow(clippy::too_many_arguments, reason = "the record has these fields")]
    pub fn new(
        database: DatabaseId,
        pages: u32,
        flags: CommitFlags,
        page_size: PageSize,
        position: SqliteWalPosition,
        time: Timestamp,
        checksum: u64,
    ) -> Result<Commit<'static>, PayloadError> {
        let entries = Entries::decode(Cursor::new(&[]), page_size)?;
        Ok(Commit { database, pages, flags, page_size, position, time, checksum, entries })
    }

    /// Appends the fields before the entries; the caller appends entries after it, or
    /// gives them to `append` as another part of the payload.
    pub fn encode_header(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.database.0.to_le_bytes());
        out.extend_from_slice(&self.pages.to_le_bytes());
        out.push(self.flags.to_byte());
        put_page_size(out, self.page_size);
        out.extend_from_slice(&[0; 2]);
        put_position(out, &self.position);
        out.extend_from_slice(&self.time.0.to_le_bytes());
        out.extend_from_slice(&self.checksum.to_le_bytes());
    }

    /// Decodes and checks a payload.
    pub fn decode(payload: &'a [u8]) -> Result<Commit<'a>, PayloadError> {
        let mut cursor = Cursor::new(payload);
        let database = DatabaseId(cursor.u32("database")?);
        let pages = cursor.u32("size in pages")?;
        let flags = CommitFlags::from_byte(cursor.flags(FOREIGN | SINGLE | BASE_BACKUP)?);
        let page_size = cursor.page_size()?;
        cursor.reserved(2)?;
        let position = cursor.position()?;
        let time = Timestamp(cursor.i64("time")?);
        let checksum = cursor.u64("checksum")?;
        let entries = Entries::decode(cursor, page_size)?;
        Ok(Commit { database, pages, flags, page_size, position, time, checksum, entries })
    }

    /// The inline pages.
    pub fn entries(&self) -> Entries<'a> {
        self.entries.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::encode_image;
    use walship_types::{PageNo, SqliteWalGeneration};

    #[test]
    fn round_trips_with_inline_entries() {
        let generation = SqliteWalGeneration { checkpoint_sequence: 1, salt1: 2, salt2: 3 };
        let position = SqliteWalPosition { generation, frame: 4, checksum: (5, 6) };
        let flags = CommitFlags { foreign: true, single: true, base_backup: false };
        let made = Commit::new(DatabaseId(9), 77, flags, PageSize::DEFAULT, position, Timestamp(-1), 0xABCD)
            .unwrap();
        let mut out = Vec::new();
        made.encode_header(&mut out);
        assert_eq!(out.len(), COMMIT_HEADER_LEN);
        encode_image(&mut out, PageNo(77), 1, &[1; 4096]);
        let found = Commit::decode(&out).unwrap();
        assert_eq!(found.entries().count(), 1);
        assert_eq!(Commit { entries: made.entries(), ..found }, made);
    }
}
