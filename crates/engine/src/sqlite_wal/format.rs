use walship_types::{PageNo, SqliteWalGeneration};

use crate::SqliteWalProblem;

/// Bytes of the header of a -wal.
pub const HEADER_BYTES: usize = 32;

/// Bytes of the header of a frame.
pub const FRAME_HEADER_BYTES: usize = 24;

/// The magic number without its lowest bit, which says in which byte order the
/// checksums are computed.
const MAGIC: u32 = 0x377f_0682;

/// The only format version there is.
const VERSION: u32 = 3_007_000;

/// Offset of a frame (from 1) in the -wal, in bytes.
pub fn frame_offset(frame: u32, page_bytes: usize) -> u64 {
    HEADER_BYTES as u64 + u64::from(frame.saturating_sub(1)) * (FRAME_HEADER_BYTES + page_bytes) as u64
}

/// The header of a -wal (sqlite.org/fileformat2.html, section 4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalHeader {
    /// Page size in bytes.
    pub page_bytes: u32,
    /// Which life of the -wal this is.
    pub generation: SqliteWalGeneration,
}

impl WalHeader {
    /// Reads a header. Its checksum is not looked at: the caller knows the salts
    /// that it has to find.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<WalHeader, SqliteWalProblem> {
        let words = big_endian_words::<8>(bytes);
        if words[0] & !1 != MAGIC {
            return Err(SqliteWalProblem::Magic(words[0]));
        }
        if words[1] != VERSION {
            return Err(SqliteWalProblem::Version(words[1]));
        }
        let generation =
            SqliteWalGeneration { checkpoint_sequence: words[3], salt1: words[4], salt2: words[5] };
        Ok(WalHeader { page_bytes: words[2], generation })
    }
}

/// The header of one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// The page whose content follows.
    pub page: PageNo,
    /// Size of the database in pages after the commit that this frame ends; 0
    /// for a frame that ends none.
    pub commit_pages: u32,
    /// Salt-1 and salt-2.
    pub salts: (u32, u32),
    /// Cumulative checksum up to and with this frame.
    pub checksum: (u32, u32),
}

impl FrameHeader {
    /// Reads the header of a frame of the generation with these salts.
    pub fn parse(
        bytes: &[u8; FRAME_HEADER_BYTES],
        salts: (u32, u32),
    ) -> Result<FrameHeader, SqliteWalProblem> {
        let words = big_endian_words::<6>(bytes);
        let found = (words[2], words[3]);
        if found != salts {
            return Err(SqliteWalProblem::Salts { found, expected: salts });
        }
        if words[0] == 0 {
            return Err(SqliteWalProblem::PageNumber(0));
        }
        Ok(FrameHeader {
            page: PageNo(words[0]),
            commit_pages: words[1],
            salts,
            checksum: (words[4], words[5]),
        })
    }
}

fn big_endian_words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_be_bytes(*chunk);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqlite_writes_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        let writer = rusqlite::Connection::open(&path).unwrap();
        writer.execute_batch("PRAGMA page_size=512; PRAGMA journal_mode=WAL; CREATE TABLE t(a)").unwrap();
        let bytes = std::fs::read(dir.path().join("t.db-wal")).unwrap();
        let header = WalHeader::parse(bytes.first_chunk().unwrap()).unwrap();
        assert_eq!(header.page_bytes, 512);
        let salts = (header.generation.salt1, header.generation.salt2);
        let frame_at = |frame| {
            let offset = usize::try_from(frame_offset(frame, 512)).unwrap();
            FrameHeader::parse(bytes[offset..].first_chunk().unwrap(), salts)
        };
        assert_eq!(frame_at(1).unwrap().page, PageNo(1));
        let last = u32::try_from((bytes.len() - HEADER_BYTES) / (512 + FRAME_HEADER_BYTES)).unwrap();
        assert_eq!(frame_at(last).unwrap().commit_pages, 2);
        let wrong = FrameHeader::parse(bytes[HEADER_BYTES..].first_chunk().unwrap(), (1, 2));
        assert!(matches!(wrong, Err(SqliteWalProblem::Salts { expected: (1, 2), .. })));
    }

    #[test]
    fn what_is_no_wal_is_named() {
        assert_eq!(WalHeader::parse(&[0; 32]), Err(SqliteWalProblem::Magic(0)));
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&0x377f_0683_u32.to_be_bytes());
        assert_eq!(WalHeader::parse(&bytes), Err(SqliteWalProblem::Version(0)));
        assert_eq!(FrameHeader::parse(&[0; 24], (0, 0)), Err(SqliteWalProblem::PageNumber(0)));
    }
}
