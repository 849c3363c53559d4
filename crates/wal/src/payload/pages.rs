use walship_types::{DatabaseId, PageSize};

use super::cursor::{Cursor, put_page_size};
use super::{Entries, PayloadError};

/// Bytes before the entries.
pub const PAGES_PART_HEADER_LEN: usize = 8;

const FIRST: u8 = 1;

/// One part of a commit that is too large for one record. The parts of a commit come in
/// order, and those of one database never mix; without the commit record that closes
/// them they do not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PagesPart<'a> {
    /// Whose pages.
    pub database: DatabaseId,
    /// Whether this begins a commit: parts before it that got no commit record are void.
    pub first: bool,
    /// Size of the database's pages.
    pub page_size: PageSize,
    entries: Entries<'a>,
}

impl<'a> PagesPart<'a> {
    /// Appends the fields before the entries, which the caller appends after it with
    /// [`encode_entry`](super::encode_entry) and [`encode_image`](super::encode_image).
    pub fn encode_header(out: &mut Vec<u8>, database: DatabaseId, first: bool, page_size: PageSize) {
        out.extend_from_slice(&database.0.to_le_bytes());
        out.push(if first { FIRST } else { 0 });
        put_page_size(out, page_size);
        out.extend_from_slice(&[0; 2]);
    }

    /// Decodes and checks a payload.
    pub fn decode(payload: &'a [u8]) -> Result<PagesPart<'a>, PayloadError> {
        let mut cursor = Cursor::new(payload);
        let database = DatabaseId(cursor.u32("database")?);
        let first = cursor.flags(FIRST)? & FIRST != 0;
        let page_size = cursor.page_size()?;
        cursor.reserved(2)?;
        Ok(PagesPart { database, first, page_size, entries: Entries::decode(cursor, page_size)? })
    }

    /// The pages.
    pub fn entries(&self) -> Entries<'a> {
        self.entries.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_round_trips_and_unknown_bits_are_refused() {
        let mut out = Vec::new();
        PagesPart::encode_header(&mut out, DatabaseId(7), true, PageSize::MAX);
        assert_eq!(out.len(), PAGES_PART_HEADER_LEN);
        let part = PagesPart::decode(&out).unwrap();
        assert_eq!((part.database, part.first, part.page_size), (DatabaseId(7), true, PageSize::MAX));
        for (offset, byte) in [(4, 2), (5, 8), (5, 17), (5, 200), (6, 1), (7, 1)] {
            let mut bad = out.clone();
            bad[offset] = byte;
            assert!(PagesPart::decode(&bad).is_err(), "{offset}");
        }
    }
}
