use std::ops::Range;

use walship_types::{PageNo, PageSize};

use super::PayloadError;
use super::cursor::Cursor;
use super::varint::{self, VARINT_LEN_MAX};

/// Low bits of an entry's third number that say what follows; the others count it.
const KIND_BITS: u32 = 2;
const KIND_MASK: u64 = (1 << KIND_BITS) - 1;
/// Ranges that go onto zeroes.
const KIND_ZERO: u64 = 0;
/// Ranges that go onto the page's previous content.
const KIND_PREVIOUS: u64 = 1;
/// Bytes of an LZ4 block.
const KIND_COMPRESSED: u64 = 2;

/// What an entry changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// A page of zeroes: the entry is a full image.
    Zero,
    /// The page's content as this log last had it since the redo point.
    Previous,
}

/// A page as a commit left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageEntry<'a> {
    /// Which page.
    pub page: PageNo,
    /// Hash of the whole page after the change.
    pub hash: u64,
    /// What the entry goes onto.
    pub base: Base,
    change: Change<'a>,
    stored_len: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Change<'a> {
    /// Ascending, within the page, checked when decoded.
    Ranges(Ranges<'a>),
    /// An LZ4 block of the whole page.
    Compressed(&'a [u8]),
}

impl PageEntry<'_> {
    /// Length in bytes of what the entry says of the page's content, as stored.
    pub fn stored_len(&self) -> usize {
        self.stored_len
    }

    /// Makes `page`, which has the size that the payload says and the content of the
    /// base, what the commit left. After an error its content is undefined.
    pub fn apply(&self, page: &mut [u8]) -> Result<(), PayloadError> {
        match &self.change {
            Change::Ranges(ranges) => {
                let page_size = page.len();
                for range in ranges.clone() {
                    let end = range.offset.saturating_add(range.bytes.len());
                    let target = page.get_mut(range.offset..end);
                    let target = target.ok_or(PayloadError::PageSize { page: self.page, page_size })?;
                    target.copy_from_slice(range.bytes);
                }
                Ok(())
            }
            Change::Compressed(block) => {
                let page_size = page.len();
                let found = lz4_flex::block::decompress_into(block, page);
                if found.as_ref().is_ok_and(|&len| len == page_size) {
                    return Ok(());
                }
                let problem = found.map_or_else(|e| e.to_string(), |len| format!("it has {len} bytes"));
                Err(PayloadError::Compressed { page: self.page, page_size, problem })
            }
        }
    }
}

/// Bytes of a page that an entry gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PageRange<'a> {
    /// Offset in the page.
    offset: usize,
    /// The bytes; never empty.
    bytes: &'a [u8],
}

/// The ranges of an entry, in ascending order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ranges<'a> {
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
        let offset = self.cursor.offset();
        let tag = self.cursor.varint("kind and count")?;
        let (kind, count) = (tag & KIND_MASK, tag >> KIND_BITS);
        let base = if kind == KIND_PREVIOUS { Base::Previous } else { Base::Zero };
        let before = self.cursor.offset();
        let change = match kind {
            KIND_ZERO | KIND_PREVIOUS => {
                let ranges = Ranges { cursor: self.cursor.clone(), position: 0, left: count };
                self.skip_ranges(&ranges, page)?;
                Change::Ranges(ranges)
            }
            KIND_COMPRESSED => Change::Compressed(self.cursor.take(count, "compressed page")?),
            _ => {
                let expected = "a kind of 0 to 2 in the lowest two bits";
                return Err(PayloadError::Invalid { field: "kind and count", offset, found: tag, expected });
            }
        };
        Ok(PageEntry { page, hash, base, change, stored_len: self.cursor.offset() - before })
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
    let kind = if base == Base::Zero { KIND_ZERO } else { KIND_PREVIOUS };
    put_head(out, page, hash, kind, ranges.len());
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

/// Images shorter than this in bytes, without their zeroes, are not compressed: there is
/// too little to gain.
const COMPRESSED_MIN: usize = 256;

/// Appends a full image of a page, compressed with LZ4 where that is the shortest.
pub fn encode_image(out: &mut Vec<u8>, page: PageNo, hash: u64, content: &[u8]) {
    let start = out.len();
    encode_plain_image(out, page, hash, content);
    let plain = out.len() - start;
    if plain < COMPRESSED_MIN {
        return;
    }
    let block = lz4_flex::block::compress(content);
    if block.len() + COMPRESSED_GAIN_MIN < plain {
        out.truncate(start);
        put_head(out, page, hash, KIND_COMPRESSED, block.len());
        out.extend_from_slice(&block);
    }
}

/// Bytes that compressing has to save: an image that is not compressed is read faster.
const COMPRESSED_GAIN_MIN: usize = 64;

/// Appends a full image of a page, leaving out its runs of zeroes.
pub fn encode_plain_image(out: &mut Vec<u8>, page: PageNo, hash: u64, content: &[u8]) {
    put_head(out, page, hash, KIND_ZERO, nonzero_runs(content).count());
    let mut position = 0;
    for run in nonzero_runs(content) {
        varint::put(out, (run.start - position) as u64);
        varint::put(out, run.len() as u64);
        position = run.end;
        out.extend_from_slice(&content[run]);
    }
}

fn put_head(out: &mut Vec<u8>, page: PageNo, hash: u64, kind: u64, count: usize) {
    varint::put(out, u64::from(page.0));
    out.extend_from_slice(&hash.to_le_bytes());
    varint::put(out, (count as u64) << KIND_BITS | kind);
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

    fn rebuilt(entry: &PageEntry<'_>) -> [u8; 512] {
        let mut page = [0; 512];
        entry.apply(&mut page).unwrap();
        page
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
        assert_eq!(rebuilt(&entries[0]), content);
        assert_eq!((entries[0].page, entries[0].hash, entries[0].base), (PageNo(5), 42, Base::Zero));
        assert_eq!(rebuilt(&entries[1]), [0; 512]);
    }

    #[test]
    fn an_image_is_compressed_where_that_is_shorter() {
        let mut words = [0u8; 512];
        words.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(b"ordinary"));
        let mut noise = [0u8; 512];
        let mut state = 1u32;
        noise.iter_mut().for_each(|byte| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = (state >> 24) as u8 | 1;
        });
        let mut out = Vec::new();
        encode_image(&mut out, PageNo(1), 1, &words);
        let compressed = out.len();
        assert!(compressed < 64, "{compressed}");
        encode_image(&mut out, PageNo(2), 2, &noise);
        assert!(out.len() - compressed < 512 + 16, "noise is stored as it is");
        let entries = decode(&out).unwrap();
        assert_eq!((rebuilt(&entries[0]), rebuilt(&entries[1])), (words, noise));
        assert!(entries.iter().all(|entry| entry.base == Base::Zero));
        // a block of another length, and none at all, are told
        let mut short = [0; 256];
        assert!(matches!(entries[0].apply(&mut short), Err(PayloadError::Compressed { page_size: 256, .. })));
        let mut long = [0; 1024];
        let error = entries[0].apply(&mut long).unwrap_err();
        assert_eq!(error.to_string(), "image of page 1 does not decompress to 1024 bytes: it has 512 bytes");
        let mut bad = Vec::new();
        put_head(&mut bad, PageNo(1), 1, KIND_COMPRESSED, 3);
        bad.extend_from_slice(&[0xF0, 0xFF, 0xFF]);
        let bad = decode(&bad).unwrap();
        assert!(matches!(bad[0].apply(&mut [0; 512]), Err(PayloadError::Compressed { .. })));
        // a kind that is not known, and a block that is not there
        for tag in [3, 9 << KIND_BITS | KIND_COMPRESSED] {
            let mut bad = vec![1];
            bad.extend_from_slice(&[0; 8]);
            varint::put(&mut bad, tag);
            assert!(decode(&bad).is_err(), "{tag}");
        }
    }

    #[test]
    fn ranges_outside_the_page_and_bad_pages_are_refused() {
        let entry = |page: u64, ranges: &[(u64, u64)]| {
            let mut out = Vec::new();
            varint::put(&mut out, page);
            out.extend_from_slice(&[0; 8]);
            varint::put(&mut out, (ranges.len() as u64) << KIND_BITS | KIND_PREVIOUS);
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
