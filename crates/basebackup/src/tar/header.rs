use walship_types::Timestamp;

use super::BLOCK_BYTES;
use crate::clock::unix_seconds;

/// Longest name: the field has 100 bytes and ends with a zero, and PostgreSQL's tools
/// do not read the field that would make longer ones possible.
pub const MEMBER_NAME_BYTES_MAX: usize = 99;

/// The largest size in 11 octal digits; larger ones are written in binary.
const OCTAL_MAX: u64 = 0o777_7777_7777;

/// What a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberKind {
    /// A file, with its bytes behind the header.
    File,
    /// A directory.
    Directory,
    /// Something else, by its type byte (a link): its bytes, if any, are skipped.
    Other(u8),
}

/// One member of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Relative path, without a final `/`.
    pub name: String,
    /// What it is.
    pub kind: MemberKind,
    /// Bytes of a file.
    pub size: u64,
    /// Permissions.
    pub mode: u32,
    /// Time of change, in seconds since 1970.
    pub modified_unix_seconds: u64,
}

/// An archive that cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TarError {
    /// The name does not fit.
    #[error("file name too long for tar format: \"{0}\"")]
    NameTooLong(String),
    /// A header's checksum is not that of its bytes.
    #[error("tar header at offset {offset} has checksum {found}, expected {expected}")]
    Checksum {
        /// Where in the archive.
        offset: u64,
        /// What the bytes give.
        expected: u64,
        /// What the header says.
        found: u64,
    },
    /// A field of a header is no number, or not text.
    #[error("invalid {field} in tar header at offset {offset}")]
    Field {
        /// Which field.
        field: &'static str,
        /// Where in the archive.
        offset: u64,
    },
    /// The archive ends inside a member or without its end.
    #[error("archive is cut short at offset {0}")]
    Truncated(u64),
    /// There is something behind the archive's end.
    #[error("archive goes on behind its end at offset {0}")]
    AfterEnd(u64),
}

impl Member {
    /// A file.
    pub fn file(name: &str, size: u64, modified: Timestamp, mode: u32) -> Member {
        let modified_unix_seconds = unix_seconds(modified);
        Member { name: name.to_owned(), kind: MemberKind::File, size, mode, modified_unix_seconds }
    }

    /// A directory.
    pub fn directory(name: &str, modified: Timestamp, mode: u32) -> Member {
        Member { kind: MemberKind::Directory, ..Member::file(name, 0, modified, mode) }
    }

    /// The member's header.
    pub fn encode(&self) -> Result<[u8; BLOCK_BYTES], TarError> {
        let mut name = self.name.clone();
        let kind = match self.kind {
            MemberKind::File => b'0',
            MemberKind::Directory => {
                name.push('/');
                b'5'
            }
            MemberKind::Other(kind) => kind,
        };
        if name.len() > MEMBER_NAME_BYTES_MAX {
            return Err(TarError::NameTooLong(name));
        }
        let mut block = [0; BLOCK_BYTES];
        put(&mut block, 0, name.as_bytes());
        put(&mut block, 100, format!("{:07o}\0", self.mode & 0o7777).as_bytes());
        // owners mean nothing where a backup goes to
        put(&mut block, 108, b"0000000\0");
        put(&mut block, 116, b"0000000\0");
        put_size(&mut block, self.size);
        put(&mut block, 136, format!("{:011o} ", self.modified_unix_seconds.min(OCTAL_MAX)).as_bytes());
        put(&mut block, 156, &[kind]);
        put(&mut block, 257, b"ustar\x0000");
        put(&mut block, 265, b"postgres");
        put(&mut block, 297, b"postgres");
        put(&mut block, 329, b"0000000\0");
        put(&mut block, 337, b"0000000\0");
        let sum = checksum(&block);
        put(&mut block, 148, format!("{sum:06o}\0 ").as_bytes());
        Ok(block)
    }

    /// Reads a header that starts at `offset` of its archive.
    pub fn decode(block: &[u8; BLOCK_BYTES], offset: u64) -> Result<Member, TarError> {
        let (expected, found) = (checksum(block), number(block, 148..156, "checksum", offset)?);
        if expected != found {
            return Err(TarError::Checksum { offset, expected, found });
        }
        let name = text(block, 0..100).ok_or(TarError::Field { field: "name", offset })?;
        let kind = match block.get(156) {
            Some(0 | b'0') => MemberKind::File,
            Some(b'5') => MemberKind::Directory,
            other => MemberKind::Other(other.copied().unwrap_or(0)),
        };
        Ok(Member {
            name: name.trim_end_matches('/').to_owned(),
            kind,
            size: number(block, 124..136, "size", offset)?,
            mode: u32::try_from(number(block, 100..108, "mode", offset)? & 0o7777).unwrap_or(0),
            modified_unix_seconds: number(block, 136..148, "time", offset)?,
        })
    }
}

fn put(block: &mut [u8; BLOCK_BYTES], at: usize, bytes: &[u8]) {
    if let Some(field) = block.get_mut(at..at + bytes.len()) {
        field.copy_from_slice(bytes);
    }
}

/// 11 octal digits, or, for 8 GiB and more, a binary number marked by its first bit.
fn put_size(block: &mut [u8; BLOCK_BYTES], size: u64) {
    if size <= OCTAL_MAX {
        put(block, 124, format!("{size:011o} ").as_bytes());
    } else {
        put(block, 124, &[0x80, 0, 0, 0]);
        put(block, 128, &size.to_be_bytes());
    }
}

/// Sum of all bytes, with the checksum's own field taken as spaces.
fn checksum(block: &[u8; BLOCK_BYTES]) -> u64 {
    let field = 148..156;
    block.iter().enumerate().map(|(at, byte)| if field.contains(&at) { 32 } else { u64::from(*byte) }).sum()
}

fn text(block: &[u8; BLOCK_BYTES], range: std::ops::Range<usize>) -> Option<String> {
    let field = block.get(range)?;
    let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
    String::from_utf8(field.get(..end)?.to_vec()).ok()
}

fn number(
    block: &[u8; BLOCK_BYTES],
    range: std::ops::Range<usize>,
    field: &'static str,
    offset: u64,
) -> Result<u64, TarError> {
    let bad = || TarError::Field { field, offset };
    let bytes = block.get(range).ok_or_else(bad)?;
    if let Some((0x80, rest)) = bytes.split_first() {
        let (high, low) = rest.split_last_chunk::<8>().ok_or_else(bad)?;
        let fits = high.iter().all(|b| *b == 0);
        return if fits { Ok(u64::from_be_bytes(*low)) } else { Err(bad()) };
    }
    let digits = std::str::from_utf8(bytes).map_err(|_| bad())?;
    let digits = digits.trim_matches(|c| c == ' ' || c == '\0');
    if digits.is_empty() { Ok(0) } else { u64::from_str_radix(digits, 8).map_err(|_| bad()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_round_trip() {
        for size in [0, 1, OCTAL_MAX, OCTAL_MAX + 1, u64::MAX] {
            let file = Member::file("base/x.db", size, Timestamp(0), 0o600);
            assert_eq!(Member::decode(&file.encode().unwrap(), 0), Ok(file));
        }
        let directory = Member::directory("pg_wal", Timestamp(0), 0o700);
        assert_eq!(Member::decode(&directory.encode().unwrap(), 0), Ok(directory));
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        let name = "x".repeat(MEMBER_NAME_BYTES_MAX);
        assert!(Member::file(&name, 0, Timestamp(0), 0).encode().is_ok());
        assert!(Member::directory(&name, Timestamp(0), 0).encode().is_err());
    }

    #[test]
    fn a_flipped_bit_is_found() {
        let mut block = Member::file("a", 1, Timestamp(0), 0o600).encode().unwrap();
        block[0] ^= 1;
        assert!(matches!(Member::decode(&block, 512), Err(TarError::Checksum { offset: 512, .. })));
    }
}
