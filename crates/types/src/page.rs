use std::fmt;

use serde::{Deserialize, Serialize};

/// Number of a page in an SQLite database file, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageNo(pub u32);

impl PageNo {
    /// The page that holds the database header.
    pub const FIRST: PageNo = PageNo(1);
}

impl fmt::Display for PageNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Size of an SQLite database's pages in bytes: a power of two from 512 to 65536.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PageSize(u32);

/// The number was not a page size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid page size {0}: must be a power of two between 512 and 65536")]
pub struct InvalidPageSize(pub u32);

impl PageSize {
    /// 4096: SQLite's default.
    pub const DEFAULT: PageSize = PageSize(4096);
    /// 65536: the largest.
    pub const MAX: PageSize = PageSize(65536);

    /// Checks that `bytes` is a page size.
    pub fn new(bytes: u32) -> Result<PageSize, InvalidPageSize> {
        if bytes.is_power_of_two() && (512..=65536).contains(&bytes) {
            Ok(PageSize(bytes))
        } else {
            Err(InvalidPageSize(bytes))
        }
    }

    /// Parses a number of bytes. The error says what is allowed.
    pub fn parse(text: &str) -> Result<PageSize, &'static str> {
        let size = text.parse().ok().and_then(|bytes| PageSize::new(bytes).ok());
        size.ok_or("must be a power of two between 512 and 65536")
    }

    /// The size in bytes.
    pub const fn bytes(self) -> usize {
        self.0 as usize
    }

    /// The page that holds the byte at 1 GiB, which SQLite uses for locks and
    /// never for data: it is in no -wal, cannot be written, and reads as zeroes
    /// (sqlite.org/fileformat2.html, "The Lock-Byte Page").
    pub const fn lock_page(self) -> PageNo {
        PageNo(0x4000_0000 / self.0 + 1)
    }

    /// Offset of a page in the database file, in bytes.
    pub fn offset_of(self, page: PageNo) -> u64 {
        u64::from(page.0 - 1) * u64::from(self.0)
    }
}

impl TryFrom<u32> for PageSize {
    type Error = InvalidPageSize;

    fn try_from(bytes: u32) -> Result<Self, Self::Error> {
        PageSize::new(bytes)
    }
}

impl From<PageSize> for u32 {
    fn from(size: PageSize) -> u32 {
        size.0
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_page_is_the_one_at_one_gibibyte() {
        for (size, page) in [(1024, 1_048_577), (4096, 262_145), (65536, 16_385)] {
            assert_eq!(PageSize::new(size).unwrap().lock_page(), PageNo(page));
        }
    }
}
