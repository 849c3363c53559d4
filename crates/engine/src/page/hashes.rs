use walship_types::{PageNo, PageSize};

use super::hash::NO_CONTENT;

/// The hash of every page of one database, and their XOR, the database checksum.
///
/// Eight bytes a page in memory: 2 MiB for each GiB of a database with pages of
/// 4096 bytes. It says what the content *has to be*; whether the file agrees is
/// for recovery and the scrub to find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageHashes {
    page_size: PageSize,
    hashes: Vec<u64>,
    checksum: u64,
}

impl PageHashes {
    /// The table of a database without pages.
    pub fn new(page_size: PageSize) -> PageHashes {
        PageHashes { page_size, hashes: Vec::new(), checksum: 0 }
    }

    /// The size of the database's pages.
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// How many pages the database has.
    pub fn pages(&self) -> u32 {
        // `set` and `resize` take page numbers of 32 bits, so this does not saturate
        u32::try_from(self.hashes.len()).unwrap_or(u32::MAX)
    }

    /// XOR of all page hashes.
    pub fn checksum(&self) -> u64 {
        self.checksum
    }

    /// The hash of `page`; `None` beyond the end of the database.
    pub fn get(&self, page: PageNo) -> Option<u64> {
        self.hashes.get(index(page)?).copied()
    }

    /// Every page with its hash, in order.
    pub fn iter(&self) -> impl Iterator<Item = (PageNo, u64)> + '_ {
        (1..).map(PageNo).zip(self.hashes.iter().copied())
    }

    /// Replaces the hash of `page`; the table grows if the page lies beyond its
    /// end. Pages that no one has set yet count as [`NO_CONTENT`].
    pub fn set(&mut self, page: PageNo, hash: u64) {
        let Some(index) = index(page) else { return };
        if index >= self.hashes.len() {
            self.hashes.resize(index + 1, NO_CONTENT);
        }
        if let Some(slot) = self.hashes.get_mut(index) {
            self.checksum ^= *slot ^ hash;
            *slot = hash;
        }
    }

    /// Makes the table one of `pages` pages. What is cut off is forgotten: a page
    /// that comes back later starts from [`NO_CONTENT`], as it does in the log.
    pub fn resize(&mut self, pages: u32) {
        let length = pages as usize;
        for hash in self.hashes.drain(length.min(self.hashes.len())..) {
            self.checksum ^= hash;
        }
        self.hashes.resize(length, NO_CONTENT);
    }

    /// The checksum that the table would have after a commit that leaves `pages`
    /// pages and gives those in `changes` (each at most once) new hashes.
    pub fn checksum_after(&self, pages: u32, changes: &[(PageNo, u64)]) -> u64 {
        let cut = self.hashes.get(pages as usize..).unwrap_or(&[]);
        let kept = cut.iter().fold(self.checksum, |sum, hash| sum ^ hash);
        let within = changes.iter().filter(|(page, _)| page.0 <= pages);
        within.fold(kept, |sum, (page, hash)| sum ^ self.get(*page).unwrap_or(NO_CONTENT) ^ hash)
    }

    /// Makes a commit's changes.
    pub fn commit(&mut self, pages: u32, changes: &[(PageNo, u64)]) {
        self.resize(pages);
        for &(page, hash) in changes.iter().filter(|(page, _)| page.0 <= pages) {
            self.set(page, hash);
        }
    }

    /// Whether the checksum is that of the hashes; costs a pass over all of them.
    pub fn check_invariants(&self) -> bool {
        self.hashes.iter().fold(0, |sum, hash| sum ^ hash) == self.checksum
    }

    pub(super) fn as_slice(&self) -> &[u64] {
        &self.hashes
    }
}

/// Page numbers count from 1; 0 is none.
fn index(page: PageNo) -> Option<usize> {
    (page.0 as usize).checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_follows_every_change() {
        let mut hashes = PageHashes::new(PageSize::DEFAULT);
        hashes.set(PageNo(3), 0xA);
        hashes.set(PageNo(1), 0xB);
        assert_eq!((hashes.pages(), hashes.checksum()), (3, 0xA ^ 0xB));
        hashes.set(PageNo(3), 0xC);
        assert_eq!(hashes.checksum(), 0xC ^ 0xB);
        assert!(hashes.check_invariants());
        assert_eq!(hashes.get(PageNo(2)), Some(NO_CONTENT));
        assert_eq!((hashes.get(PageNo(0)), hashes.get(PageNo(4))), (None, None));
    }

    #[test]
    fn a_truncation_forgets_a_page() {
        let mut hashes = PageHashes::new(PageSize::DEFAULT);
        for page in 1..=9 {
            hashes.set(PageNo(page), u64::from(page) << 8);
        }
        hashes.resize(2);
        assert_eq!(hashes.checksum(), 0x100 ^ 0x200);
        hashes.resize(9);
        assert_eq!(hashes.get(PageNo(9)), Some(NO_CONTENT));
        assert!(hashes.check_invariants());
    }

    #[test]
    fn the_checksum_of_a_commit_is_known_before_it_is_made() {
        let mut hashes = PageHashes::new(PageSize::DEFAULT);
        for (pages, changes) in [
            (3u32, vec![(1u32, 5u64), (2, 6), (3, 7)]),
            (6, vec![(6, 60), (2, 66), (4, 1), (5, 1)]),
            (2, vec![(1, 9)]),
            (4, vec![(4, 90), (3, 3)]),
        ] {
            let changes: Vec<_> = changes.into_iter().map(|(page, hash)| (PageNo(page), hash)).collect();
            let expected = hashes.checksum_after(pages, &changes);
            hashes.commit(pages, &changes);
            assert_eq!((hashes.checksum(), hashes.pages()), (expected, pages));
            assert!(hashes.check_invariants());
        }
    }
}
