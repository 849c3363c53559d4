use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use walship_types::{Lsn, PageNo, Timestamp};

use crate::database::Database;
use crate::dbpage::{DbPage, DbPageError};
use crate::page::TrackedHashes;
use crate::shared::Role;

/// Pages that are held against the table in one read transaction. A longer one would
/// keep the -wal from being moved into the file.
pub const SCRUB_SLICE_PAGES: u32 = 1024;

/// Page cache of the connection that scrubs, in KiB: each page is read once.
const CACHE_KIB: u32 = 64;

/// How long a slice waits, at most, for a moment without a commit under way.
const SETTLE_WAIT_MAX: Duration = Duration::from_secs(10);

/// How often such a moment is looked for, and how often `cancel` is asked.
const POLL: Duration = Duration::from_millis(1);

/// What a pass over a database file found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrubReport {
    /// When it began.
    pub started: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// Pages that have their logged content.
    pub pages: u64,
    /// Whether every page was looked at.
    pub complete: bool,
    /// The position up to which the file was verified: that of the oldest slice.
    pub verified: Lsn,
    /// How many pages do not have their logged content.
    pub mismatches: u64,
    /// The first of them.
    pub first_mismatch: Option<PageMismatch>,
}

/// A page whose content in the file is not the logged one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageMismatch {
    /// The page.
    pub page: PageNo,
    /// Hash of the content that it should have.
    pub expected: u64,
    /// Hash of the content that it has; `None` if the file ends before it.
    pub found: Option<u64>,
    /// As of which commit.
    pub lsn: Lsn,
}

/// Reads the whole database file at `path` and holds every page against its logged hash,
/// at most `pages_per_second` of them (0: as fast as it goes), until `cancel` returns
/// true. Finds what checking each replayed page cannot: rot, and what another program
/// wrote elsewhere.
pub fn scrub(
    path: &Path,
    hashes: &TrackedHashes,
    pages_per_second: u32,
    cancel: &dyn Fn() -> bool,
) -> Result<ScrubReport, DbPageError> {
    pass(path, hashes, pages_per_second, cancel, &|| true)
}

impl Database {
    /// As [`scrub`], in either role, while sessions write. `None` if it is not known what the pages should be.
    pub fn scrub(
        &self,
        pages_per_second: u32,
        cancel: &dyn Fn() -> bool,
    ) -> Result<Option<ScrubReport>, DbPageError> {
        let Some(hashes) = self.hashes() else { return Ok(None) };
        // on a leader SQLite commits first, and the table follows when the commit is captured; a promotion begins a new
        // table, and leaves this one behind
        let is_captured = || {
            let in_use = self.hashes().is_some_and(|current| Arc::ptr_eq(&current, &hashes));
            let leads = matches!(self.shared.role(), Role::Leader(_));
            in_use && (!leads || self.published.covers(&self.wal_index.header()))
        };
        pass(self.path(), &hashes, pages_per_second, cancel, &is_captured).map(Some)
    }
}

/// `is_current` says, once a snapshot is fixed, whether the table has everything that there is in the -wal.
fn pass(
    path: &Path,
    hashes: &TrackedHashes,
    pages_per_second: u32,
    cancel: &dyn Fn() -> bool,
    is_current: &dyn Fn() -> bool,
) -> Result<ScrubReport, DbPageError> {
    let began = Instant::now();
    let mut report = ScrubReport {
        started: Timestamp::now(),
        took: Duration::ZERO,
        pages: 0,
        complete: false,
        verified: Lsn::MAX,
        mismatches: 0,
        first_mismatch: None,
    };
    let db = DbPage::open(path, CACHE_KIB)?;
    let mut next = PageNo::FIRST.0;
    while let Some(size) = slice(&db, hashes, next, &mut report, cancel, is_current)? {
        next = next.saturating_add(SCRUB_SLICE_PAGES);
        if next > size {
            report.complete = true;
            break;
        }
        if !pause(began, u64::from(next - 1), pages_per_second, cancel) {
            break;
        }
    }
    if report.verified == Lsn::MAX {
        report.verified = Lsn::INVALID;
    }
    report.took = began.elapsed();
    Ok(report)
}

/// One slice from page `first` on; returns the size of the database in pages, or `None`
/// if it was cancelled, or commits left no moment to begin.
fn slice(
    db: &DbPage,
    hashes: &TrackedHashes,
    first: u32,
    report: &mut ScrubReport,
    cancel: &dyn Fn() -> bool,
    is_current: &dyn Fn() -> bool,
) -> Result<Option<u32>, DbPageError> {
    let give_up = Instant::now() + SETTLE_WAIT_MAX;
    let cut = loop {
        let pages = first..first.saturating_add(SCRUB_SLICE_PAGES);
        let mut current = false;
        // asked before the table is looked at again: what is captured after that changes the table
        let begin = || db.begin_read().inspect(|()| current = is_current());
        let cut = hashes.cut(pages, begin)?;
        if let Some(cut) = cut.filter(|_| current) {
            break cut;
        }
        db.rollback()?;
        if cancel() || Instant::now() >= give_up {
            return Ok(None);
        }
        std::thread::sleep(POLL);
    };
    let mut content = Vec::new();
    let lock_page = db.page_size().lock_page();
    for (page, expected) in cut.hashes.into_iter().filter(|(page, _)| *page != lock_page) {
        let found = db.hash(page, &mut content)?;
        if found == Some(expected) {
            report.pages += 1;
            continue;
        }
        report.mismatches += 1;
        let mismatch = PageMismatch { page, expected, found, lsn: cut.lsn };
        report.first_mismatch.get_or_insert(mismatch);
        tracing::error!(
            sqlstate = "XX001", file = %db.path().display(), %page, lsn = %cut.lsn,
            expected = format_args!("{expected:016x}"), found = format_args!("{:016x}", found.unwrap_or(0)),
            "a page of the database file does not have its logged content"
        );
    }
    db.rollback()?;
    report.verified = report.verified.min(cut.lsn);
    Ok(Some(cut.pages))
}

/// Waits until `pages` are not more than the rate allows; `false` if it was cancelled.
fn pause(began: Instant, pages: u64, pages_per_second: u32, cancel: &dyn Fn() -> bool) -> bool {
    if pages_per_second == 0 {
        return !cancel();
    }
    let due = began + Duration::from_micros(pages.saturating_mul(1_000_000) / u64::from(pages_per_second));
    while Instant::now() < due {
        if cancel() {
            return false;
        }
        std::thread::sleep(POLL.max(due.saturating_duration_since(Instant::now()).min(POLL * 20)));
    }
    !cancel()
}
