use parking_lot::{Mutex, MutexGuard};

use std::ops::Range;

use walship_types::{Lsn, PageNo};

use super::PageHashes;

/// The page hashes of a database that is in use: one thread keeps them, others
/// look at them.
#[derive(Debug)]
pub struct TrackedHashes {
    /// Protects the table and what is known about its relation to the file. Held
    /// for memory operations only.
    inner: Mutex<Tracked>,
}

/// A table of page hashes, and whether it is what a reader of the file sees.
#[derive(Debug)]
pub struct Tracked {
    /// The hashes.
    pub hashes: PageHashes,
    /// Whether the table is what a new reader of the database sees: `false` while
    /// commits are in the table that are not yet committed to the file.
    pub settled: bool,
    /// Counts the changes of `settled`.
    pub changes: u64,
    /// End of the last commit in the table.
    pub lsn: Lsn,
}

impl TrackedHashes {
    /// Takes over a table that is what readers of the file see.
    pub fn new(hashes: PageHashes) -> TrackedHashes {
        TrackedHashes { inner: Mutex::new(Tracked { hashes, settled: true, changes: 0, lsn: Lsn::INVALID }) }
    }

    /// The hashes of the pages in `pages`, as a reader of the file sees them that calls
    /// `open` to fix its snapshot; `None` if a commit came between, or is under way.
    pub fn cut<E>(
        &self,
        pages: Range<u32>,
        open: impl FnOnce() -> Result<(), E>,
    ) -> Result<Option<HashCut>, E> {
        let before = {
            let tracked = self.inner.lock();
            if !tracked.settled {
                return Ok(None);
            }
            tracked.changes
        };
        open()?;
        let tracked = self.inner.lock();
        if !tracked.settled || tracked.changes != before {
            return Ok(None);
        }
        let end = pages.end.min(tracked.hashes.pages().saturating_add(1));
        let hashes = (pages.start..end)
            .filter_map(|number| Some((PageNo(number), tracked.hashes.get(PageNo(number))?)))
            .collect();
        Ok(Some(HashCut { hashes, pages: tracked.hashes.pages(), lsn: tracked.lsn }))
    }

    /// The table, for as long as the guard lives.
    pub fn lock(&self) -> MutexGuard<'_, Tracked> {
        self.inner.lock()
    }
}

impl Tracked {
    /// Says whether the table is what readers see from now on.
    pub fn settle(&mut self, settled: bool) {
        self.settled = settled;
        self.changes += 1;
    }
}

/// Some of the hashes of a database, as of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashCut {
    /// The pages asked for, as far as there are that many.
    pub hashes: Vec<(PageNo, u64)>,
    /// The size of the database in pages.
    pub pages: u32,
    /// End of the last commit that the snapshot has; `0/0` if there was none since the start.
    pub lsn: Lsn,
}
