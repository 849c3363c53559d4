use std::collections::BTreeMap;
use std::path::Path;

use walship_types::{Lsn, PageNo};
use walship_wal::WalSource;

use super::rebuild::{LogRange, rebuild};
use super::scan::ScannedDatabase;
use crate::dbpage::DbPage;
use crate::page::{NO_CONTENT, PageHashes, page_hash};
use crate::redo::{RedoError, RedoOptions, ReplayProblem, differing_pages, search};

/// What bringing a database to the end of the log took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restored {
    /// Pages whose content was not the one at the end of the log.
    pub differing: usize,
    /// Of these, how many the log since the redo point has.
    pub from_log: usize,
    /// The others: nobody but another program changed them, and what they were was
    /// still in the -wal or below it.
    pub from_remains: usize,
}

/// Why a database could not be brought to the end of the log.
pub(crate) enum NotRestored {
    /// It alone is to blame.
    Database(ReplayProblem),
    /// Recovery as a whole cannot go on.
    Recovery(RedoError),
}

impl<E: Into<ReplayProblem>> From<E> for NotRestored {
    fn from(error: E) -> NotRestored {
        NotRestored::Database(error.into())
    }
}

/// Brings one database to the end of the log as a single transaction: readers of
/// other processes, who may have seen all of it before a crash, never see a state in
/// between. Then holds the whole file against the log, and leaves in `scanned` the
/// table of its page hashes. `None` if there is no file and none is needed yet; else the
/// file comes with the write lock, which it was held against the log under.
pub(crate) fn restore(
    options: &RedoOptions,
    source: &WalSource,
    (redo, end): (Lsn, Lsn),
    scanned: &mut ScannedDatabase,
) -> Result<Option<(DbPage, Restored)>, NotRestored> {
    let path = options.database_path(&scanned.name);
    let Some(db) = open(options, &path, scanned)? else { return Ok(None) };
    db.begin(None, &|| false)?;
    let range = LogRange { source, redo, end, database: scanned.id, page_size: db.page_size() };
    let restored = replay(&db, range, scanned);
    let restored = match restored {
        Ok(restored) => restored,
        Err(error) => {
            db.rollback()?;
            return Err(error);
        }
    };
    let db = if db.in_transaction() { db } else { reopen(&db)? };
    verify(&db, scanned)?;
    Ok(Some((db, restored)))
}

/// Opens the file, or makes one for a database of which the log has everything.
fn open(
    options: &RedoOptions,
    path: &Path,
    scanned: &ScannedDatabase,
) -> Result<Option<DbPage>, NotRestored> {
    let page_size = scanned.hashes.page_size();
    if scanned.created && path.exists() {
        let db = DbPage::open(path, options.cache_kib)?;
        if scanned.hashes.pages() > 0 && db.page_size() == page_size {
            return Ok(Some(db));
        }
        // the file of a database of that name whose removal a crash interrupted
        drop(db);
        crate::redo::remove_database(path, &options.hash_path(&scanned.name))
            .map_err(NotRestored::Recovery)?;
    }
    if scanned.created && scanned.hashes.pages() == 0 {
        return Ok(None);
    }
    if scanned.created {
        return Ok(Some(DbPage::create(path, page_size, options.cache_kib)?));
    }
    let db = DbPage::open(path, options.cache_kib)?;
    if db.page_size() != page_size {
        let (found, expected) = (db.page_size(), page_size);
        return Err(ReplayProblem::PageSize { found, expected }.into());
    }
    Ok(Some(db))
}

/// The text encoding may have come with the pages, so the connection is a new one.
fn reopen(db: &DbPage) -> Result<DbPage, NotRestored> {
    let db = db.reopen()?;
    db.begin(None, &|| false)?;
    Ok(db)
}

/// Writes what differs; ends the transaction if it wrote.
fn replay(db: &DbPage, range: LogRange<'_>, scanned: &ScannedDatabase) -> Result<Restored, NotRestored> {
    let pages = scanned.hashes.pages();
    let mut missing = differing_pages(db, &scanned.hashes)?;
    // without a table of hashes, pages that the log does not have are left alone
    missing.retain(|_, hash| *hash != NO_CONTENT);
    let mut restored = Restored { differing: missing.len(), ..Restored::default() };
    if missing.is_empty() && db.page_count()? == pages {
        return Ok(restored);
    }
    let mut first_page = None;
    let wanted = missing.clone();
    rebuild(range, &wanted, |page, image| {
        missing.remove(&page);
        restored.from_log += 1;
        put(db, page, image, &mut first_page)
    })
    .map_err(NotRestored::Recovery)?;
    if !missing.is_empty() {
        restored.from_log += take_older(db, range, &mut missing, &mut first_page)?;
    }
    restored.from_remains = missing.len();
    take_remains(db, &missing, restored.differing, &mut first_page)?;
    db.commit(first_page.as_deref(), pages)?;
    Ok(restored)
}

fn put(db: &DbPage, page: PageNo, image: Vec<u8>, first_page: &mut Option<Vec<u8>>) -> Result<(), RedoError> {
    if page == PageNo::FIRST {
        *first_page = Some(image);
        return Ok(());
    }
    Ok(db.write(page, &image)?)
}

/// Pages that the log did not touch since the redo point, from the log that is kept from before it: if the -wal was
/// taken away, the file is older than the redo point. How many they were.
fn take_older(
    db: &DbPage,
    range: LogRange<'_>,
    missing: &mut BTreeMap<PageNo, u64>,
    first_page: &mut Option<Vec<u8>>,
) -> Result<usize, NotRestored> {
    let kept = LogRange { redo: range.source.kept_from(range.redo), ..range };
    let wanted = missing.clone();
    let rebuilt = rebuild(kept, &wanted, |page, image| {
        missing.remove(&page);
        put(db, page, image, first_page)
    });
    match rebuilt {
        Err(error @ RedoError::DbPage(_)) => return Err(NotRestored::Recovery(error)),
        // it is no part of recovery any more: what it does not give is looked for elsewhere
        Err(error) => tracing::warn!(%error, "the log before the redo point cannot be read"),
        Ok(()) => {}
    }
    Ok(wanted.len() - missing.len())
}

/// Pages that the log did not touch since the redo point, and that differ all the
/// same: somebody else wrote them.
fn take_remains(
    db: &DbPage,
    missing: &BTreeMap<PageNo, u64>,
    differing: usize,
    first_page: &mut Option<Vec<u8>>,
) -> Result<(), NotRestored> {
    if missing.is_empty() {
        return Ok(());
    }
    let found = search(db.path(), db.page_size(), missing);
    let read = |page: &PageNo, hash: &u64| found.get(page)?.read(db.page_size(), *page, *hash);
    let mut unknown = 0;
    let mut first_unknown = None;
    for (page, hash) in missing {
        match read(page, hash) {
            Some(image) => put(db, *page, image, first_page).map_err(NotRestored::Recovery)?,
            None => {
                unknown += 1;
                first_unknown.get_or_insert(*page);
            }
        }
    }
    match first_unknown {
        None => Ok(()),
        Some(first) => Err(ReplayProblem::ForeignWrite { pages: differing, unknown, first }.into()),
    }
}

/// Holds the whole file against the log, and completes the table of hashes.
fn verify(db: &DbPage, scanned: &mut ScannedDatabase) -> Result<(), NotRestored> {
    db.expect_page_count(scanned.hashes.pages())?;
    if scanned.complete {
        let left = differing_pages(db, &scanned.hashes)?;
        return match left.first_key_value() {
            Some((&first, _)) => Err(ReplayProblem::Damaged { pages: left.len(), first }.into()),
            None => Ok(()),
        };
    }
    let mut hashes = PageHashes::new(db.page_size());
    db.for_each_page(|page, content| {
        hashes.set(page, page_hash(page, content));
        true
    })?;
    // the lock page has no row of its own at the very end
    hashes.resize(scanned.hashes.pages());
    if hashes.checksum() != scanned.checksum {
        let (expected, found) = (scanned.checksum, hashes.checksum());
        return Err(ReplayProblem::FileChecksum { expected, found }.into());
    }
    scanned.hashes = hashes;
    scanned.complete = true;
    Ok(())
}
