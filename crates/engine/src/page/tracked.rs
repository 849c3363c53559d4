use parking_lot::{Mutex, MutexGuard};

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
}

impl TrackedHashes {
    /// Takes over a table that is what readers of the file see.
    pub fn new(hashes: PageHashes) -> TrackedHashes {
        TrackedHashes { inner: Mutex::new(Tracked { hashes, settled: true, changes: 0 }) }
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
