use std::collections::BTreeMap;

use walship_types::{DatabaseId, Lsn, PageNo, PageSize};
use walship_wal::WalSource;
use walship_wal::payload::{Base, Entries, Payload};

use super::scan::for_each_record;
use crate::page::page_hash;
use crate::redo::RedoError;

/// Page images that one pass over the log rebuilds, at most, in bytes. More pages
/// take more passes, not more memory.
const REBUILD_BYTES_MAX: usize = 32 << 20;

/// A part of the log, and the database that is looked at in it.
#[derive(Clone, Copy)]
pub(crate) struct LogRange<'a> {
    pub(crate) source: &'a WalSource,
    pub(crate) redo: Lsn,
    pub(crate) end: Lsn,
    pub(crate) database: DatabaseId,
    pub(crate) page_size: PageSize,
}

/// Rebuilds the pages `wanted` from the log alone, and calls `each` with those that
/// come out with the right hash. The first record of a page after the redo point is a
/// full image, so the file's own content, torn or not, plays no part.
pub(crate) fn rebuild(
    range: LogRange<'_>,
    wanted: &BTreeMap<PageNo, u64>,
    mut each: impl FnMut(PageNo, Vec<u8>) -> Result<(), RedoError>,
) -> Result<(), RedoError> {
    let count = (REBUILD_BYTES_MAX / range.page_size.bytes()).max(1);
    let pages: Vec<PageNo> = wanted.keys().copied().collect();
    for chunk in pages.chunks(count) {
        let chunk: BTreeMap<PageNo, u64> =
            chunk.iter().filter_map(|page| Some((*page, *wanted.get(page)?))).collect();
        for (page, image) in pass(range, &chunk)? {
            if chunk.get(&page) == Some(&page_hash(page, &image)) {
                each(page, image)?;
            }
        }
    }
    Ok(())
}

/// The pages of one pass: as of the last commit, and as of the transaction that has
/// no commit yet.
#[derive(Default)]
struct Images {
    committed: BTreeMap<PageNo, Vec<u8>>,
    open: BTreeMap<PageNo, Vec<u8>>,
}

fn pass(range: LogRange<'_>, wanted: &BTreeMap<PageNo, u64>) -> Result<BTreeMap<PageNo, Vec<u8>>, RedoError> {
    let mut images = Images::default();
    for_each_record(range.source, range.redo, range.end, |record| {
        let lsn = record.lsn;
        let payload = Payload::decode(record.kind, &record.payload)
            .map_err(|source| RedoError::Payload { lsn, source })?;
        match payload {
            Payload::Pages(part) if part.database == range.database => {
                if part.first {
                    images.open.clear();
                }
                images.take(part.entries(), wanted, range.page_size);
            }
            Payload::Commit(commit) if commit.database == range.database => {
                if commit.flags.single {
                    images.open.clear();
                }
                images.take(commit.entries(), wanted, range.page_size);
                images.commit(commit.pages);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(images.committed)
}

impl Images {
    /// What cannot be patched is left out: the hash decides in the end.
    fn take(&mut self, entries: Entries<'_>, wanted: &BTreeMap<PageNo, u64>, page_size: PageSize) {
        for entry in entries.into_iter().filter(|entry| wanted.contains_key(&entry.page)) {
            let base = match entry.base {
                Base::Zero => Some(vec![0; page_size.bytes()]),
                Base::Previous => self.committed.get(&entry.page).cloned(),
            };
            let Some(mut image) = base else { continue };
            if entry.apply(&mut image).is_ok() {
                self.open.insert(entry.page, image);
            }
        }
    }

    fn commit(&mut self, pages: u32) {
        self.committed.append(&mut self.open);
        // a truncation forgets a page
        drop(self.committed.split_off(&PageNo(pages.saturating_add(1))));
    }
}
