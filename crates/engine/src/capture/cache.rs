use std::collections::HashMap;

use walship_types::{PageNo, PageSize};

/// Fewest pages that are kept, however little memory is given.
const PAGES_MIN: usize = 16;

/// The content of pages as the log last had it in the era in force, within a
/// bound of memory. What is in here may be logged as a change to it; what is not
/// is logged in full.
///
/// Which page makes room for another: the first, going round, that was not used
/// since the last round (the "clock" of operating systems).
#[derive(Debug)]
pub(crate) struct PageCache {
    page_bytes: usize,
    capacity: usize,
    era: u64,
    slots: HashMap<PageNo, usize>,
    pages: Vec<Slot>,
    content: Vec<u8>,
    hand: usize,
    /// No page in here is beyond it.
    last: PageNo,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    page: PageNo,
    used: bool,
}

impl PageCache {
    /// An empty cache that keeps up to `bytes` of pages.
    pub(crate) fn new(page_size: PageSize, bytes: usize) -> PageCache {
        let page_bytes = page_size.bytes();
        PageCache {
            page_bytes,
            capacity: (bytes / page_bytes).max(PAGES_MIN),
            era: 0,
            slots: HashMap::new(),
            pages: Vec::new(),
            content: Vec::new(),
            hand: 0,
            last: PageNo(0),
        }
    }

    /// Forgets everything unless `era` is the one that the content belongs to.
    pub(crate) fn enter_era(&mut self, era: u64) {
        if self.era != era {
            self.clear();
            self.era = era;
        }
    }

    /// Forgets everything; keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.pages.clear();
        self.content.clear();
        self.hand = 0;
        self.last = PageNo(0);
    }

    /// The content of `page` as last logged in this era.
    pub(crate) fn get(&mut self, page: PageNo) -> Option<&[u8]> {
        let slot = *self.slots.get(&page)?;
        self.pages.get_mut(slot)?.used = true;
        self.content.get(slot * self.page_bytes..(slot + 1) * self.page_bytes)
    }

    /// Notes what `page` was logged as. `content` is one page.
    pub(crate) fn put(&mut self, page: PageNo, content: &[u8]) {
        debug_assert_eq!(content.len(), self.page_bytes);
        let slot = match self.slots.get(&page) {
            Some(&slot) => slot,
            None => self.slot_for(page),
        };
        self.content[slot * self.page_bytes..(slot + 1) * self.page_bytes].copy_from_slice(content);
    }

    /// Forgets the pages beyond the end of a database of `pages` pages: they are
    /// logged in full when they come back.
    pub(crate) fn truncate(&mut self, pages: u32) {
        if self.last.0 > pages {
            self.slots.retain(|page, _| page.0 <= pages);
            self.last = PageNo(pages);
        }
    }

    fn slot_for(&mut self, page: PageNo) -> usize {
        let slot = if self.pages.len() < self.capacity {
            self.content.resize((self.pages.len() + 1) * self.page_bytes, 0);
            self.pages.push(Slot { page, used: false });
            self.pages.len() - 1
        } else {
            self.evict(page)
        };
        self.slots.insert(page, slot);
        self.last = self.last.max(page);
        slot
    }

    fn evict(&mut self, page: PageNo) -> usize {
        loop {
            let slot = self.hand;
            self.hand = (self.hand + 1) % self.pages.len();
            if !std::mem::replace(&mut self.pages[slot].used, false) {
                let old = std::mem::replace(&mut self.pages[slot], Slot { page, used: false });
                // a truncated page may have come back in another slot
                if self.slots.get(&old.page) == Some(&slot) {
                    self.slots.remove(&old.page);
                }
                return slot;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> PageCache {
        PageCache::new(PageSize::new(512).unwrap(), 16 * 512)
    }

    fn content(page: u32) -> [u8; 512] {
        [page as u8; 512]
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_makes_room() {
        let mut cache = cache();
        for page in 1..=100 {
            cache.put(PageNo(page), &content(page));
            assert_eq!(cache.get(PageNo(1)), Some(&content(1)[..]), "after page {page}");
        }
        let kept: Vec<u32> = (1..=100).filter(|&page| cache.slots.contains_key(&PageNo(page))).collect();
        assert_eq!(kept.len(), 16);
        for page in kept {
            assert_eq!(cache.get(PageNo(page)), Some(&content(page)[..]));
        }
    }

    #[test]
    fn a_truncated_page_is_forgotten_and_may_come_back() {
        let mut cache = cache();
        (1..=16).for_each(|page| cache.put(PageNo(page), &content(page)));
        cache.truncate(8);
        assert_eq!(cache.get(PageNo(9)), None);
        (9..=40).for_each(|page| cache.put(PageNo(page), &content(page)));
        for page in 1..=40 {
            if let Some(found) = cache.get(PageNo(page)) {
                assert_eq!(found, &content(page)[..]);
            }
        }
    }

    #[test]
    fn a_new_era_forgets_everything() {
        let mut cache = cache();
        cache.put(PageNo(1), &content(1));
        cache.enter_era(0);
        assert!(cache.get(PageNo(1)).is_some());
        cache.enter_era(1);
        assert!(cache.get(PageNo(1)).is_none());
    }
}
