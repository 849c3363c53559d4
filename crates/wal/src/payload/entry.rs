use std::ops::Range;

use walship_types::{PageNo, PageSize};

use super::PayloadError;
use super::cursor::Cursor;
use super::varint::{self, VARINT_LEN_MAX};

/// What the ranges of an entry are written onto.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// A page of zeroes: the entry is a full image whose zero runs are left out.
    Zero,
    /// The page's content as this log last had it since the redo point.
    Previous,
}

/// Bytes of a page that an entry gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRange<'a> {
    /// Offset in the page.
    pub offset: usize,
    /// The bytes; never empty.
    pub bytes: &'a [u8],
}

/// A page as a commit left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageEntry<'a> {
    /// Which page.
    pub page: PageNo,
    /// Hash of the whole page after the change.
    pub hash: u64,
    /// What the ranges go onto.
    pub base: Base,
    ranges: Ranges<'a>,
    ranges_len: usize,
}

impl<'a> PageEntry<'a> {
    /// The ranges: ascending, within the page, checked when decoded.
    pub fn ranges(&self) -> Ranges<'a> {
        self.ranges.clone()
    }

    /// Length in bytes of the ranges as stored.
    pub fn ranges_len(&self) -> usize {
        self.ranges_len
    }
}

/// The ranges of an entry, in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges<'a> {
    cursor: Cursor<'a>,
    position: u64,
    left: u64,
}

impl<'a> Ranges<'a> {
    /// Gap, then length, then bytes.
    fn decode_next(&mut self) -> Result<PageRange<'a>, PayloadError> {
        let offset = self.position.saturating_add(self.cursor.varint("range gap")?);
        let bytes = {
            let len = self.cursor.varint("range length")?;
            self.cursor.take(len, "range")?
        };
        self.position = offset.saturating_add(bytes.len() as u64);
        self.left -= 1;
        Ok(PageRange { offset: usize::try_from(offset).unwrap_or(usize::MAX), bytes })
    }
}

impl<'a> Iterator for Ranges<'a> {
    type Item = PageRange<'a>;

    fn next(&mut self) -> Option<PageRange<'a>> {
        if self.left == 0 { None } else { self.decode_next().ok() }
    }
}

/// The entries of a payload, checked when it was decoded; iterating allocates nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entries<'a> {
    cursor: Cursor<'a>,
    page_size: PageSize,
}

impl<'a> Entries<'a> {
    /// Checks all that is left in `cursor`.
    pub(super) fn decode(cursor: Cursor<'a>, page_size: PageSize) -> Result<Entries<'a>, PayloadError> {
        let entries = Entries { cursor, page_size };
        let mut walk = entries.clone();
        while !walk.cursor.is_empty() {
            walk.decode_next()?;
        }
        Ok(entries)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cursor.is_empty()
    }

    fn decode_next(&mut self) -> Result<PageEntry<'a>, PayloadError> {
        let offset = self.cursor.offset();
        let number = self.cursor.varint("page number")?;
        let page = u32::try_from(number).ok().filter(|&n| n != 0 && PageNo(n) != self.page_size.lock_page());
        let page = PageNo(page.ok_or(PayloadError::Invalid {
            field: "page number",
            offset,
            found: number,
            expected: "1 to 4294967295, not the lock page",
        })?);
        let hash = self.cursor.u64("page hash")?;
        let tag = self.cursor.varint("base and range count")?;
        let base = if tag & 1 == 0 { Base::Zero } else { Base::Previous };
        let before = self.cursor.offset();
        let ranges = Ranges { cursor: self.cursor.clone(), position: 0, left: tag >> 1 };
        self.skip_ranges(&ranges, page)?;
        Ok(PageEntry { page, hash, base, ranges, ranges_len: self.cursor.offset() - before })
    }

    /// Moves behind `ranges`, checking that each lies in the page, behind the one before.
    fn skip_ranges(&mut self, ranges: &Ranges<'a>, page: PageNo) -> Result<(), PayloadError> {
        let page_size = self.page_size.bytes() as u64;
        let mut walk = ranges.clone();
        let mut index = 0;
        while walk.left > 0 {
            let range = walk.decode_next()?;
            let (start, end) = (range.offset as u64, walk.position);
            if range.bytes.is_empty() || end > page_size {
                let page = u64::from(page.0);
                return Err(PayloadError::RangeOutsidePage { page, index, start, end, page_size });
            }
            index += 1;
        }
        self.cursor = Cursor::at(walk.cursor.rest(), walk.cursor.offset());
        Ok(())
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = PageEntry<'a>;

    fn next(&mut self) -> Option<PageEntry<'a>> {
        if self.cursor.is_empty() { None } else { self.decode_next().ok() }
    }
}

/// Most bytes that an entry takes beside the bytes of its ranges, per range; an entry
/// without ranges takes no more than three times this.
pub const ENTRY_RANGES_LEN_MAX: usize = 2 * VARINT_LEN_MAX;

/// Appends an entry: `ranges` of `content`, which is the page after the change.
///
/// # Panics
/// If a range is empty, not within `content`, or not behind the one before it: that is
/// a mistake of the caller, and the log must not carry it.
pub fn encode_entry(
    out: &mut Vec<u8>,
    page: PageNo,
    hash: u64,
    base: Base,
    content: &[u8],
    ranges: &[Range<usize>],
) {
    put_head(out, page, hash, base, ranges.len());
    let mut position = 0;
    for range in ranges {
        let ordered = position <= range.start && range.start < range.end;
        assert!(ordered && range.end <= content.len(), "range {range:?} of page {page}");
        varint::put(out, (range.start - position) as u64);
        varint::put(out, range.len() as u64);
        out.extend_from_slice(&content[range.clone()]);
        position = range.end;
    }
}

/// Runs of zeroes shorter than this, in bytes, are stored: leaving them out would take
/// about as many.
const ZERO_RUN_MIN: usize = 16;

/// Appends a full image of a page, leaving out its runs of zeroes.
pub fn encode_image(out: &mut Vec<u8>, page: PageNo, hash: u64, content: &[u8]) {
    put_head(out, page, hash, Base::Zero, nonzero_runs(content).count());
    let mut position = 0;
    for run in nonzero_runs(content) {
        varint::put(out, (run.start - position) as u64);
        varint::put(out, run.len() as u64);
        position = run.end;
        out.extend_from_slice(&content[run]);
    }
}

fn put_head(out: &mut Vec<u8>, page: PageNo, hash: u64, base: Base, ranges: usize) {
    varint::put(out, u64::from(page.0));
    out.extend_from_slice(&hash.to_le_bytes());
    varint::put(out, (ranges as u64) << 1 | u64::from(base == Base::Previous));
}

/// The stretches of `content` between runs of at least [`ZERO_RUN_MIN`] zeroes.
fn nonzero_runs(content: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + content.get(from..)?.iter().position(|&b| b != 0)?;
        let mut end = start + 1;
        let mut zeroes = 0;
        for (index, &byte) in content.iter().enumerate().skip(end) {
            zeroes = if byte == 0 { zeroes + 1 } else { 0 };
            if byte != 0 {
                end = index + 1;
            } else if zeroes >= ZERO_RUN_MIN {
                break;
            }
        }
        from = end;
        Some(start..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<Vec<PageEntry<'_>>, PayloadError> {
        Ok(Entries::decode(Cursor::new(bytes), PageSize::new(512).unwrap())?.collect())
    }

    #[test]
    fn images_come_back_whole_without_their_zeroes() {
        let mut content = [0u8; 512];
        content[3] = 1;
        content[10..20].fill(7);
        content[500..].fill(9);
        let mut out = Vec::new();
        encode_image(&mut out, PageNo(5), 42, &content);
        encode_image(&mut out, PageNo(6), 43, &[0; 512]);
        assert!(out.len() < 70, "{}", out.len());
        let entries = decode(&out).unwrap();
        let mut rebuilt = [0u8; 512];
        for range in entries[0].ranges() {
            rebuilt[range.offset..range.offset + range.bytes.len()].copy_from_slice(range.bytes);
        }
        assert_eq!(rebuilt, content);
        assert_eq!((entries[0].page, entries[0].hash, entries[0].base), (PageNo(5), 42, Base::Zero));
        assert_eq!(entries[1].ranges().count(), 0);
    }

    #[test]
    fn ranges_outside_the_page_and_bad_pages_are_refused() {
        let entry = |page: u64, ranges: &[(u64, u64)]| {
            let mut out = Vec::new();
            varint::put(&mut out, page);
            out.extend_from_slice(&[0; 8]);
            varint::put(&mut out, (ranges.len() as u64) << 1 | 1);
            for &(gap, len) in ranges {
                varint::put(&mut out, gap);
                varint::put(&mut out, len);
                out.extend(std::iter::repeat_n(1, usize::try_from(len.min(2000)).unwrap()));
            }
            out
        };
        assert!(decode(&entry(1, &[(0, 512)])).is_ok());
        assert!(decode(&entry(1, &[(0, 1), (1, 510)])).is_ok());
        for bad in [&[(0, 513)][..], &[(512, 1)], &[(0, 0)], &[(0, 10), (503, 1)], &[(u64::MAX, 1), (1, 1)]] {
            assert!(matches!(decode(&entry(1, bad)), Err(PayloadError::RangeOutsidePage { .. })), "{bad:?}");
        }
        assert!(matches!(decode(&entry(1, &[(0, u64::MAX)])), Err(PayloadError::Truncated { .. })));
        let lock_page = u64::from(PageSize::new(512).unwrap().lock_page().0);
        for page in [0, lock_page, 1 << 32] {
            assert!(matches!(decode(&entry(page, &[])), Err(PayloadError::Invalid { .. })), "{page}");
        }
    }
}
