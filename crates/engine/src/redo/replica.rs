use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use walship_types::{DatabaseId, DatabaseName, Lsn, PageNo, PageSize};
use walship_wal::payload::{Base, Commit, Entries, PageEntry};

use super::error::ReplayProblem;
use super::fence::differing_pages;
use crate::dbpage::{DbPage, DbPageError};
use crate::page::{PageHashes, TrackedHashes, page_hash};
use crate::sqlite::WalIndex;

/// Frames in a follower's -wal from which on each commit is followed by a passive
/// checkpoint, so that the next one can start the -wal from its beginning: as
/// many as SQLite itself would let it have.
const BACKFILL_FRAMES: u32 = 1000;
/// A -wal of this many frames is made to restart: readers that overlap without a pause
/// would otherwise let it grow for ever.
const RESTART_FRAMES: u32 = 3 * BACKFILL_FRAMES;
/// How long replay waits, at most, for readers to let the -wal restart.
const RESTART_WAIT: Duration = Duration::from_secs(1);
/// How often it looks whether they have.
const RESTART_LOOK: Duration = Duration::from_millis(1);

/// One database under replay.
///
/// Holds SQLite's write lock whenever it is not committing (the fence), and all
/// that has been replayed but not yet committed to the file.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) id: DatabaseId,
    pub(super) name: DatabaseName,
    path: PathBuf,
    cache_kib: u32,
    /// `None` until the first commit tells the page size: SQLite cannot change it.
    db: Option<DbPage>,
    hashes: Arc<TrackedHashes>,
    open: OpenCommit,
    batch: Batch,
    let_go: Option<LetGo>,
    /// End of the last record that was taken in; earlier ones are skipped.
    seen: Lsn,
    data_version: i64,
    frames_expected: u32,
    /// Frames of the -wal, when it has grown so far that the next commit should restart it.
    wants_restart: Option<u32>,
    /// From how many frames on. A reader that stays makes it wait for twice as many each
    /// time, so that replay is not held up for it again and again.
    restart_frames: u32,
}

/// A transaction whose commit record has not come yet.
#[derive(Debug, Default)]
struct OpenCommit {
    /// Start of its first record.
    start: Option<Lsn>,
    images: BTreeMap<PageNo, Vec<u8>>,
    /// Every page of it with its hash; stays in memory when images are written out.
    entries: Vec<(PageNo, u64)>,
    /// Whether images were written into the SQLite transaction to bound memory.
    streamed: bool,
}

/// Transactions that are complete but not yet committed to the file.
#[derive(Debug, Default)]
struct Batch {
    images: BTreeMap<PageNo, Vec<u8>>,
    /// The size after the last of them; `None` when there is none.
    pages: Option<u32>,
    /// The smallest size in between: what the file has above it is gone.
    pages_min: u32,
}

/// What a commit of a batch left, without the write lock.
#[derive(Debug)]
struct LetGo {
    /// The size of the file.
    pages: u32,
    /// How many pages were written.
    images: usize,
    /// The connection cannot read what was written.
    reopen: bool,
}

/// What keeps a call from waiting for ever.
pub(super) struct Patience<'a> {
    pub(super) deadline: Option<Instant>,
    pub(super) cancel: &'a dyn Fn() -> bool,
}

/// Moves frames until all are moved, for a while: readers that began before hold it
/// back, new ones do not.
fn wait_backfilled(db: &DbPage, patience: &Patience<'_>) -> Result<bool, ReplayProblem> {
    let deadline = Instant::now() + RESTART_WAIT;
    loop {
        let moved = db.checkpoint_passive()?;
        if moved.backfilled == moved.frames {
            return Ok(true);
        }
        if Instant::now() >= deadline || (patience.cancel)() {
            return Ok(false);
        }
        std::thread::sleep(RESTART_LOOK);
    }
}

/// Waits, for a while, until nobody reads from the -wal: everything is moved and nobody
/// can write, so readers that start now do not need it. The next commit then restarts
/// it. A -wal whose index cannot be read restarts some other time.
fn wait_drained(path: &Path, patience: &Patience<'_>) -> bool {
    let Ok(index) = WalIndex::open(path) else { return false };
    let deadline = Instant::now() + RESTART_WAIT;
    while !index.readers_drained() {
        if Instant::now() >= deadline || (patience.cancel)() {
            return false;
        }
        std::thread::sleep(RESTART_LOOK);
    }
    true
}

impl Replica {
    /// A database of which every commit up to `seen` is in the file and in `hashes`.
    /// `open_from`: start of a transaction that has no commit yet, whose parts have to be
    /// read again.
    pub(super) fn new(
        (id, name): (DatabaseId, DatabaseName),
        path: PathBuf,
        cache_kib: u32,
        hashes: Arc<TrackedHashes>,
        (seen, open_from): (Lsn, Option<Lsn>),
    ) -> Replica {
        Replica {
            id,
            name,
            path,
            cache_kib,
            db: None,
            hashes,
            open: OpenCommit { start: open_from, ..OpenCommit::default() },
            batch: Batch::default(),
            let_go: None,
            seen: open_from.unwrap_or(seen),
            data_version: 0,
            frames_expected: 0,
            wants_restart: None,
            restart_frames: RESTART_FRAMES,
        }
    }

    pub(super) fn seen(&self) -> Lsn {
        self.seen
    }

    pub(super) fn mark_seen(&mut self, end: Lsn) {
        self.seen = self.seen.max(end);
    }

    pub(super) fn hashes(&self) -> &Arc<TrackedHashes> {
        &self.hashes
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    pub(super) fn db(&self) -> Option<&DbPage> {
        self.db.as_ref()
    }

    /// Bytes of page images in memory.
    pub(super) fn buffered_bytes(&self) -> usize {
        let images = self.open.images.len() + self.batch.images.len();
        images * self.db.as_ref().map_or(0, |db| db.page_size().bytes())
    }

    pub(super) fn has_batch(&self) -> bool {
        self.batch.pages.is_some()
    }

    /// Start of the transaction that has no commit yet.
    pub(super) fn open_start(&self) -> Option<Lsn> {
        self.open.start
    }

    /// Goes on with a file that was held against the log under the write lock, which
    /// `db` has not let go of since.
    pub(super) fn take_over(&mut self, db: DbPage) -> Result<(), ReplayProblem> {
        debug_assert!(db.in_transaction(), "the write lock is held");
        self.data_version = db.data_version()?;
        self.db = Some(db);
        Ok(())
    }

    /// Lets go of the write lock and of the file.
    pub(super) fn close(&mut self) -> Result<(), DbPageError> {
        self.db.take().map_or(Ok(()), |db| db.rollback())
    }

    /// One part of a transaction. `first`: parts that came before it never got
    /// their commit, and do not exist.
    pub(super) fn part(
        &mut self,
        start: Lsn,
        first: bool,
        page_size: PageSize,
        entries: Entries<'_>,
        patience: &Patience<'_>,
    ) -> Result<(), ReplayProblem> {
        if first {
            self.discard_open(patience)?;
        }
        self.file(page_size, patience)?;
        self.open.start.get_or_insert(start);
        entries.into_iter().try_for_each(|entry| self.entry(&entry))
    }

    /// The record that closes a transaction, with its inline pages.
    pub(super) fn commit(
        &mut self,
        start: Lsn,
        commit: &Commit<'_>,
        patience: &Patience<'_>,
    ) -> Result<(), ReplayProblem> {
        if commit.flags.single {
            self.discard_open(patience)?;
        }
        self.file(commit.page_size, patience)?;
        self.open.start.get_or_insert(start);
        commit.entries().try_for_each(|entry| self.entry(&entry))?;
        let pages = commit.pages;
        if let Some(&(page, _)) = self.open.entries.iter().find(|(page, _)| page.0 > pages) {
            return Err(ReplayProblem::PageBeyondEnd { page, pages });
        }
        let found = self.hashes.lock().hashes.checksum_after(pages, &self.open.entries);
        if found != commit.checksum {
            return Err(ReplayProblem::DatabaseChecksum { expected: commit.checksum, found });
        }
        if self.open.streamed {
            return self.commit_streamed(pages, patience);
        }
        let open = std::mem::take(&mut self.open);
        let mut tracked = self.hashes.lock();
        tracked.hashes.commit(pages, &open.entries);
        tracked.settle(false);
        drop(tracked);
        self.batch.take_in(open.images, pages);
        Ok(())
    }

    /// Commits a transaction of which a part is in the SQLite transaction already.
    /// The table follows only when that has succeeded, since on an error all of it
    /// has to be read from the log again.
    fn commit_streamed(&mut self, pages: u32, patience: &Patience<'_>) -> Result<(), ReplayProblem> {
        self.stream(patience)?;
        let Some(db) = &self.db else { return Ok(()) };
        self.hashes.lock().settle(false);
        let first = self.open.images.get(&PageNo::FIRST);
        db.commit(first.map(Vec::as_slice), pages)?;
        let reopen = first.is_some_and(|image| db.needs_reopen(image));
        let open = std::mem::take(&mut self.open);
        let mut tracked = self.hashes.lock();
        tracked.hashes.commit(pages, &open.entries);
        tracked.settle(true);
        drop(tracked);
        self.committed(pages, open.entries.len(), reopen, patience)
    }

    /// Writes the images in memory into the SQLite transaction. Only while a
    /// single transaction is open, because writing cannot be undone alone.
    pub(super) fn stream(&mut self, patience: &Patience<'_>) -> Result<(), ReplayProblem> {
        self.lock_again(patience)?;
        let Some(db) = &self.db else { return Ok(()) };
        // page 1 has to be the last to be written
        let first = self.open.images.remove(&PageNo::FIRST);
        for (page, image) in std::mem::take(&mut self.open.images) {
            db.write(page, &image)?;
        }
        self.open.images.extend(first.map(|image| (PageNo::FIRST, image)));
        self.open.streamed = true;
        Ok(())
    }

    /// Takes the write lock if a write that failed has lost it: without a transaction each
    /// page would be visible by itself.
    fn lock_again(&mut self, patience: &Patience<'_>) -> Result<(), ReplayProblem> {
        let Some(db) = self.db.as_ref().filter(|db| !db.in_transaction()) else { return Ok(()) };
        db.begin(patience.deadline, patience.cancel)?;
        let version = db.data_version()?;
        self.expect_ours(version != self.data_version, patience)
    }

    /// Holds the file against the table, if it is `suspect`. The write lock is held, and
    /// everything in the table is in the file.
    fn expect_ours(&mut self, suspect: bool, patience: &Patience<'_>) -> Result<(), ReplayProblem> {
        let Some(db) = &self.db else { return Ok(()) };
        if suspect {
            super::fence::repair(db, &self.hashes, &self.name, patience)?;
        }
        self.data_version = db.data_version()?;
        Ok(())
    }

    /// Commits the batch to the file; [`hold_again`](Replica::hold_again) has to follow. On
    /// an error the batch stays in memory, so that this can be tried again.
    pub(super) fn commit_batch(&mut self, patience: &Patience<'_>) -> Result<(), ReplayProblem> {
        let (Some(pages), Some(db)) = (self.batch.pages, &self.db) else { return Ok(()) };
        if !db.in_transaction() {
            db.begin(patience.deadline, patience.cancel)?;
        }
        let first = self.batch.images.get(&PageNo::FIRST);
        // not a range: of one page, 2..=1 would be a panic
        for (page, image) in self.batch.images.iter().filter(|(page, _)| (2..=pages).contains(&page.0)) {
            db.write(*page, image)?;
        }
        db.commit(first.map(Vec::as_slice), pages)?;
        let reopen = first.is_some_and(|image| db.needs_reopen(image));
        let images = std::mem::take(&mut self.batch).images.len();
        self.hashes.lock().settle(true);
        self.let_go = Some(LetGo { pages, images, reopen });
        Ok(())
    }

    /// Takes the write lock again that a commit has let go of, and holds the file against
    /// what that left. Readers need not wait for it.
    pub(super) fn hold_again(&mut self, patience: &Patience<'_>) -> Result<(), ReplayProblem> {
        match self.let_go.take() {
            Some(LetGo { pages, images, reopen }) => self.committed(pages, images, reopen, patience),
            None => Ok(()),
        }
    }

    /// What follows every commit to the file.
    fn committed(
        &mut self,
        pages: u32,
        images: usize,
        reopen: bool,
        patience: &Patience<'_>,
    ) -> Result<(), ReplayProblem> {
        if let Some(db) = self.db.as_ref().filter(|_| reopen) {
            self.db = Some(db.reopen()?);
        }
        self.frames_expected = self.frames_expected.saturating_add(u32::try_from(images).unwrap_or(u32::MAX));
        self.backfill()?;
        self.fence(pages, reopen, patience)
    }

    /// Gives up what is in the SQLite transaction and in the open commit, after a
    /// write failed; the batch stays. The open commit has to be read again.
    pub(super) fn roll_back(&mut self) -> Result<(), ReplayProblem> {
        let start = self.open.start;
        self.seen = start.unwrap_or(self.seen);
        self.open = OpenCommit { start, ..OpenCommit::default() };
        Ok(self.db.as_ref().map_or(Ok(()), DbPage::rollback)?)
    }

    /// Ends the SQLite transaction after a write of the batch failed. The batch stays.
    pub(super) fn abandon_write(&mut self) -> Result<(), DbPageError> {
        self.db.as_ref().map_or(Ok(()), DbPage::rollback)
    }

    fn backfill(&mut self) -> Result<(), ReplayProblem> {
        let Some(db) = &self.db else { return Ok(()) };
        if self.frames_expected < BACKFILL_FRAMES {
            return Ok(());
        }
        let backfill = db.checkpoint_passive()?;
        // readers that hold it back are given as many frames again
        self.frames_expected = 0;
        self.wants_restart = Some(backfill.frames).filter(|frames| *frames >= self.restart_frames);
        tracing::trace!(database = %self.name, ?backfill, "moved frames into the database file");
        Ok(())
    }

    /// Takes the write lock again after a commit of our own, and holds the file
    /// against what we left.
    fn fence(&mut self, pages: u32, reopened: bool, patience: &Patience<'_>) -> Result<(), ReplayProblem> {
        let Some(db) = &self.db else { return Ok(()) };
        let restart = self.wants_restart.take();
        let moved = restart.is_some() && wait_backfilled(db, patience)?;
        db.begin(patience.deadline, patience.cancel)?;
        if let Some(frames) = restart {
            let drained = moved && wait_drained(db.path(), patience);
            self.restart_frames = if drained { RESTART_FRAMES } else { frames.saturating_mul(2) };
        }
        // another connection's version says nothing of what was committed before it
        let suspect = match reopened {
            true => !self.is_as_logged(db)?,
            false => db.data_version()? != self.data_version,
        };
        self.expect_ours(suspect, patience)?;
        self.db.as_ref().map_or(Ok(()), |db| Ok(db.expect_page_count(pages)?))
    }

    fn is_as_logged(&self, db: &DbPage) -> Result<bool, ReplayProblem> {
        let expected = self.hashes.lock().hashes.clone();
        Ok(db.page_count()? == expected.pages() && differing_pages(db, &expected)?.is_empty())
    }

    /// Opens the file, or makes it: only here the page size is known.
    fn file(&mut self, page_size: PageSize, patience: &Patience<'_>) -> Result<(), ReplayProblem> {
        if self.db.is_none() {
            let db = if self.path.exists() {
                DbPage::open(&self.path, self.cache_kib)?
            } else {
                DbPage::create(&self.path, page_size, self.cache_kib)?
            };
            db.begin(patience.deadline, patience.cancel)?;
            self.take_over(db)?;
            let mut tracked = self.hashes.lock();
            if tracked.hashes.pages() == 0 {
                tracked.hashes = PageHashes::new(page_size);
            }
        }
        match self.db.as_ref().map(DbPage::page_size) {
            Some(expected) if expected != page_size => {
                Err(ReplayProblem::PageSize { found: page_size, expected })
            }
            _ => Ok(()),
        }
    }

    fn discard_open(&mut self, patience: &Patience<'_>) -> Result<(), ReplayProblem> {
        let open = std::mem::take(&mut self.open);
        if let Some(db) = self.db.as_ref().filter(|_| open.streamed) {
            db.rollback()?;
            db.begin(patience.deadline, patience.cancel)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &PageEntry<'_>) -> Result<(), ReplayProblem> {
        let page = entry.page;
        let mut image = match entry.base {
            Base::Zero => vec![0; self.db.as_ref().map_or(0, |db| db.page_size().bytes())],
            Base::Previous => self.previous(page)?,
        };
        entry.apply(&mut image).map_err(|source| ReplayProblem::Entry { page, source })?;
        let found = page_hash(page, &image);
        if found != entry.hash {
            return Err(ReplayProblem::PageHash { page, expected: entry.hash, found });
        }
        self.open.entries.push((page, found));
        self.open.images.insert(page, image);
        Ok(())
    }

    /// The content that the log last gave `page`. SQLite's own page cache, which
    /// has what was written lately, makes this cheap.
    fn previous(&self, page: PageNo) -> Result<Vec<u8>, ReplayProblem> {
        if let Some(image) = self.batch.images.get(&page) {
            return Ok(image.clone());
        }
        let mut image = Vec::new();
        let cut = self.batch.pages.is_some() && page.0 > self.batch.pages_min;
        match &self.db {
            Some(db) if !cut && db.read(page, &mut image)? => Ok(image),
            _ => Err(ReplayProblem::NoBase { page }),
        }
    }
}

impl Batch {
    fn take_in(&mut self, images: BTreeMap<PageNo, Vec<u8>>, pages: u32) {
        self.pages_min = if self.pages.is_some() { self.pages_min.min(pages) } else { pages };
        self.pages = Some(pages);
        // a truncation forgets a page: should it come back, it is logged in full
        drop(self.images.split_off(&PageNo(pages.saturating_add(1))));
        self.images.extend(images);
    }
}

#[cfg(test)]
mod tests;
