use std::collections::{BTreeMap, BTreeSet};

use walship_types::{DatabaseId, DatabaseName, Lsn, PageNo, Timestamp};
use walship_wal::WalSource;
use walship_wal::payload::{Entries, PagesPart, Payload};

use crate::recovery::for_each_record;
use crate::redo::RedoError;

/// The pages that a stretch of log has changed, a bit for each.
#[derive(Debug, Clone, Default)]
pub struct DirtyPages {
    databases: BTreeMap<DatabaseId, DirtyDatabase>,
}

/// Those of one database.
#[derive(Debug, Clone, Default)]
pub struct DirtyDatabase {
    bits: Vec<u64>,
    /// The smallest size that it had, in pages: what was above it is gone.
    pages_min: Option<u32>,
    /// It was created in the stretch, so that nothing of it was there before; its name.
    created: Option<DatabaseName>,
    /// It was dropped in the stretch, so that nothing of it is there any more.
    dropped: bool,
}

/// Something that is lost when the stretch is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostWork {
    /// Start of its (closing) record.
    pub lsn: Lsn,
    /// The database.
    pub database: DatabaseId,
    /// What it is.
    pub change: LostChange,
}

/// See [`LostWork`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LostChange {
    /// A transaction.
    Commit {
        /// When it was made.
        time: Timestamp,
        /// The pages that it changed.
        pages: Vec<PageNo>,
        /// Made by a program other than ours.
        foreign: bool,
    },
    /// The creation of a database.
    Create(DatabaseName),
    /// The removal of a database.
    Drop(DatabaseName),
}

const BITS: u32 = u64::BITS;

/// Transactions whose commit has not come yet.
#[derive(Default)]
struct OpenParts {
    pages: BTreeMap<DatabaseId, Vec<PageNo>>,
    /// Databases of which the beginning of the transaction that is open is known.
    settled: BTreeSet<DatabaseId>,
}

impl OpenParts {
    fn take(&mut self, part: &PagesPart<'_>) {
        let pages = self.pages.entry(part.database).or_default();
        if part.first {
            pages.clear();
            self.settled.insert(part.database);
        }
        pages.extend(part.entries().map(|entry| entry.page));
    }

    fn close(&mut self, database: DatabaseId, single: bool) -> Vec<PageNo> {
        self.settled.insert(database);
        self.pages.remove(&database).filter(|_| !single).unwrap_or_default()
    }
}

impl DirtyPages {
    /// Adds what the log from `start` to `end` changed, and calls `lost` with each
    /// transaction of it. `parts_before` gives the pages that a transaction of a database,
    /// which is closed here, has in records before `start`. Memory: a bit for each page of
    /// a database, and the page numbers of one transaction of each.
    pub fn collect(
        &mut self,
        source: &WalSource,
        start: Lsn,
        end: Lsn,
        parts_before: &mut dyn FnMut(DatabaseId) -> Result<Vec<PageNo>, RedoError>,
        lost: &mut dyn FnMut(LostWork) -> Result<(), RedoError>,
    ) -> Result<(), RedoError> {
        let mut open = OpenParts::default();
        // what the log last said that all pages of a database are
        let mut checksums: BTreeMap<DatabaseId, u64> = BTreeMap::new();
        for_each_record(source, start, end, |record| {
            let lsn = record.lsn;
            let payload = Payload::decode(record.kind, &record.payload)
                .map_err(|source| RedoError::Payload { lsn, source })?;
            match payload {
                Payload::Seal(seal) => drop(checksums.insert(seal.database, seal.checksum)),
                Payload::Pages(part) => {
                    self.note(part.database, part.entries());
                    open.take(&part);
                }
                Payload::Commit(commit) => {
                    let id = commit.database;
                    let began_before = !commit.flags.single && !open.settled.contains(&id);
                    let mut pages = open.close(id, commit.flags.single);
                    if began_before {
                        pages.extend(parts_before(id)?);
                    }
                    pages.extend(commit.entries().map(|entry| entry.page));
                    let database = self.databases.entry(id).or_default();
                    pages.iter().for_each(|page| database.set(*page));
                    database.size(commit.pages);
                    // as the one that ends a seal, which only restarts the -wal
                    let nothing = checksums.insert(id, commit.checksum) == Some(commit.checksum);
                    if !commit.flags.base_backup && !nothing {
                        pages.sort_unstable();
                        pages.dedup();
                        let (time, foreign) = (commit.time, commit.flags.foreign);
                        let change = LostChange::Commit { time, pages, foreign };
                        lost(LostWork { lsn, database: id, change })?;
                    }
                }
                Payload::CreateDatabase(create) => {
                    let created = Some(create.name.clone());
                    self.databases.insert(create.id, DirtyDatabase { created, ..DirtyDatabase::default() });
                    lost(LostWork { lsn, database: create.id, change: LostChange::Create(create.name) })?;
                }
                Payload::DropDatabase(dropped) => {
                    self.databases.entry(dropped.id).or_default().dropped = true;
                    lost(LostWork { lsn, database: dropped.id, change: LostChange::Drop(dropped.name) })?;
                }
                _ => {}
            }
            Ok(())
        })
    }

    /// The pages that the transaction of `database` which is open at `end` has in records
    /// from `start` on; `None` if it began before them.
    pub fn open_parts(
        source: &WalSource,
        start: Lsn,
        end: Lsn,
        database: DatabaseId,
    ) -> Result<Option<Vec<PageNo>>, RedoError> {
        let mut open = OpenParts::default();
        for_each_record(source, start, end, |record| {
            let lsn = record.lsn;
            let payload = Payload::decode(record.kind, &record.payload)
                .map_err(|source| RedoError::Payload { lsn, source })?;
            match payload {
                Payload::Pages(part) if part.database == database => open.take(&part),
                Payload::Commit(commit) if commit.database == database => {
                    drop(open.close(database, commit.flags.single));
                }
                _ => {}
            }
            Ok(())
        })?;
        Ok(open.settled.contains(&database).then(|| open.close(database, false)))
    }

    fn note(&mut self, id: DatabaseId, entries: Entries<'_>) {
        let database = self.databases.entry(id).or_default();
        entries.for_each(|entry| database.set(entry.page));
    }

    /// What is known of a database; `None` if the stretch has nothing of it.
    pub fn database(&self, id: DatabaseId) -> Option<&DirtyDatabase> {
        self.databases.get(&id)
    }

    /// Names of the databases that were created.
    pub fn created(&self) -> impl Iterator<Item = &DatabaseName> {
        self.databases.values().filter_map(|database| database.created.as_ref())
    }

    /// How many pages were changed, of databases that were there before.
    pub fn count(&self) -> u64 {
        let there = self.databases.values().filter(|database| database.created.is_none());
        there.map(|d| d.bits.iter().map(|word| u64::from(word.count_ones())).sum::<u64>()).sum()
    }
}

impl DirtyDatabase {
    /// Of which nothing is there.
    pub fn whole() -> DirtyDatabase {
        DirtyDatabase { dropped: true, ..DirtyDatabase::default() }
    }

    /// The pages of a database that had `pages` pages at the fork and that do not have
    /// their content of then any more, as runs of consecutive ones: first page and number.
    /// Page 1, which has the size, is always among them.
    pub fn runs(&self, pages: u32) -> impl Iterator<Item = (PageNo, u32)> + '_ {
        let mut next = 1;
        std::iter::from_fn(move || {
            while next <= pages && !self.is_dirty(next) {
                // a word of clean pages at once: most of a large database is
                let word = self.bits.get(index(next).0).copied().unwrap_or(0);
                let whole = index(next).1 == 0 && word == 0 && next + BITS - 1 <= self.clean_below(pages);
                next += if whole { BITS } else { 1 };
            }
            let first = next;
            while next <= pages && self.is_dirty(next) {
                next += 1;
            }
            (next > first).then_some((PageNo(first), next - first))
        })
    }

    /// Up to here a page is dirty only if its bit says so.
    fn clean_below(&self, pages: u32) -> u32 {
        if self.dropped { 0 } else { self.pages_min.map_or(pages, |min| min.min(pages)) }
    }

    fn is_dirty(&self, page: u32) -> bool {
        let (word, bit) = index(page);
        let set = self.bits.get(word).is_some_and(|word| word & (1 << bit) != 0);
        set || page == 1 || self.dropped || self.pages_min.is_some_and(|min| page > min)
    }

    fn set(&mut self, page: PageNo) {
        let (word, bit) = index(page.0);
        if word >= self.bits.len() {
            self.bits.resize(word + 1, 0);
        }
        if let Some(word) = self.bits.get_mut(word) {
            *word |= 1 << bit;
        }
    }

    fn size(&mut self, pages: u32) {
        self.pages_min = Some(self.pages_min.map_or(pages, |min| min.min(pages)));
    }
}

/// Where the bit of a page is.
fn index(page: u32) -> (usize, u32) {
    let bit = page.saturating_sub(1);
    ((bit / BITS) as usize, bit % BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirty(pages: &[u32], min: Option<u32>) -> DirtyDatabase {
        let mut database = DirtyDatabase { pages_min: min, ..DirtyDatabase::default() };
        for page in pages {
            database.set(PageNo(*page));
        }
        database
    }

    fn runs(database: &DirtyDatabase, pages: u32) -> Vec<(u32, u32)> {
        database.runs(pages).map(|(first, count)| (first.0, count)).collect()
    }

    #[test]
    fn runs_are_what_was_changed_or_cut_off() {
        assert_eq!(runs(&dirty(&[], None), 500), [(1, 1)]);
        assert_eq!(runs(&dirty(&[2, 3, 64, 65, 300, 501], None), 500), [(1, 3), (64, 2), (300, 1)]);
        assert_eq!(runs(&dirty(&[100], Some(400)), 500), [(1, 1), (100, 1), (401, 100)]);
        assert_eq!(runs(&dirty(&[100], Some(10)), 100), [(1, 1), (11, 90)]);
        assert_eq!(runs(&DirtyDatabase::whole(), 200), [(1, 200)]);
        assert_eq!(runs(&dirty(&[2], None), 0), []);
    }

    #[test]
    fn every_page_is_in_a_run_if_and_only_if_it_is_dirty() {
        let database = dirty(&[1, 63, 64, 65, 128, 129, 192, 193, 777], Some(900));
        let mut seen = vec![false; 1001];
        for (first, count) in database.runs(1000) {
            for page in first.0..first.0 + count {
                seen[page as usize] = true;
            }
        }
        for page in 1..=1000 {
            assert_eq!(seen[page as usize], database.is_dirty(page), "{page}");
        }
    }
}
