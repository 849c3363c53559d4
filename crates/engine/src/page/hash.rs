use walship_types::{PageNo, PageSize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// What a page that has no content of its own counts as: the lock page, and a
/// page whose content nobody has logged yet. Neutral in the database checksum.
pub const NO_CONTENT: u64 = 0;

/// Length of the database header, the only part of page 1 with masked bytes.
const HEADER_BYTES: usize = 100;

/// Bytes of the database header that SQLite sets by itself and that therefore
/// differ between a leader and a follower of the same content: the versions that
/// stand for the journal mode (18, 19), the change counter (24 to 27), and what
/// goes with it, version-valid-for and the library version (92 to 99).
/// (sqlite.org/fileformat2.html, "The Database Header")
const MASKED: [std::ops::Range<usize>; 3] = [18..20, 24..28, 92..100];

/// The hash of one page's content, 64 bits of xxh3 seeded with the page number,
/// so that two pages which changed places do not cancel out in the checksum.
///
/// The bytes of page 1 that SQLite keeps for itself count as zero, and the lock
/// page as [`NO_CONTENT`].
pub fn page_hash(page: PageNo, content: &[u8]) -> u64 {
    let size = u32::try_from(content.len()).ok().and_then(|bytes| PageSize::new(bytes).ok());
    if size.is_some_and(|size| size.lock_page() == page) {
        return NO_CONTENT;
    }
    let seed = u64::from(page.0);
    match content.split_first_chunk::<HEADER_BYTES>() {
        Some((header, rest)) if page == PageNo::FIRST => {
            let mut hasher = Xxh3::with_seed(seed);
            hasher.update(&masked_header(*header));
            hasher.update(rest);
            hasher.digest()
        }
        _ => xxh3_64_with_seed(content, seed),
    }
}

/// Whether two images of a page have the same content as far as [`page_hash`]
/// looks at it.
pub fn same_content(page: PageNo, left: &[u8], right: &[u8]) -> bool {
    if page != PageNo::FIRST {
        return left == right;
    }
    match (left.split_first_chunk::<HEADER_BYTES>(), right.split_first_chunk::<HEADER_BYTES>()) {
        (Some((left_header, left_rest)), Some((right_header, right_rest))) => {
            masked_header(*left_header) == masked_header(*right_header) && left_rest == right_rest
        }
        _ => left == right,
    }
}

fn masked_header(mut header: [u8; HEADER_BYTES]) -> [u8; HEADER_BYTES] {
    for range in MASKED {
        header[range].fill(0);
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_number_counts() {
        let content = [7u8; 512];
        assert_ne!(page_hash(PageNo(2), &content), page_hash(PageNo(3), &content));
    }

    #[test]
    fn page_one_hashes_as_if_its_masked_bytes_were_zero() {
        let mut content: Vec<u8> = (0..4096u32).map(|i| (i % 251) as u8).collect();
        let before = page_hash(PageNo::FIRST, &content);
        let original = content.clone();
        for masked in [18, 19, 24, 27, 92, 99] {
            content[masked] ^= 0xFF;
        }
        assert_eq!(page_hash(PageNo::FIRST, &content), before);
        assert!(same_content(PageNo::FIRST, &content, &original));
        assert!(!same_content(PageNo(2), &content, &original));
        for counted in [17, 20, 23, 28, 91, 100, 4095] {
            let mut changed = original.clone();
            changed[counted] ^= 1;
            assert_ne!(page_hash(PageNo::FIRST, &changed), before, "byte {counted}");
            assert!(!same_content(PageNo::FIRST, &original, &changed), "byte {counted}");
        }
        for masked in MASKED {
            content[masked].fill(0);
        }
        assert_eq!(xxh3_64_with_seed(&content, 1), before, "the mask is zeroes, not a gap");
    }

    #[test]
    fn the_lock_page_has_no_content() {
        let content = vec![1u8; 65536];
        assert_eq!(page_hash(PageNo(16_385), &content), NO_CONTENT);
        assert_ne!(page_hash(PageNo(16_384), &content), NO_CONTENT);
    }
}
