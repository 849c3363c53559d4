use std::path::Path;

use walship_types::{Lsn, PageNo};
use walship_wal::WalSource;

use super::scan::ScannedDatabase;
use super::verdict::{PageEvidence, SizeEvidence, SqliteWalEvidence, compare_positions};
use super::versions::{Wanted, look_before, look_since};
use crate::dbpage::DbPage;
use crate::page::NO_CONTENT;
use crate::redo::{
    RedoError, RedoOptions, ReplayProblem, differing_pages, frame_checksum, sqlite_wal_position,
};

/// Looks at the -wal that SQLite recovered.
pub(super) fn look_at_sqlite_wal(
    path: &Path,
    scanned: &ScannedDatabase,
) -> Result<SqliteWalEvidence, RedoError> {
    let found = sqlite_wal_position(path)?;
    let checksum = match scanned.position {
        Some(logged)
            if found.generation == logged.generation && (1..=found.frame).contains(&logged.frame) =>
        {
            frame_checksum(path, scanned.hashes.page_size(), &logged)?
        }
        _ => None,
    };
    Ok(compare_positions(scanned.position, scanned.sealed, found, checksum))
}

/// Compares every page with the hashes at the end of the log, and those that differ with
/// every content that the log had since the redo point. What is still unknown then is
/// looked for in the log that is kept from before it: files of which the -wal was taken
/// away are older than the redo point, since that needs nothing to be moved out of the
/// -wal. Returns the pages that differ.
pub(super) fn look_at_pages(
    options: &RedoOptions,
    source: &WalSource,
    (redo, end): (Lsn, Lsn),
    scanned: &ScannedDatabase,
    db: &DbPage,
) -> Result<(PageEvidence, Vec<PageNo>), RedoError> {
    let mut differing = differing_pages(db, &scanned.hashes).map_err(unreadable)?;
    // without a table of hashes nothing is known of pages that the log does not have
    differing.retain(|_, hash| *hash != NO_CONTENT);
    let pages: Vec<PageNo> = differing.keys().copied().collect();
    let count = db.page_count()?;
    let mut wanted = found_hashes(db, &pages)?;
    look_since(options, source, (redo, end), scanned, &mut wanted)?;
    let mut size = match count {
        count if count == scanned.hashes.pages() => SizeEvidence::Logged,
        count if scanned.sizes.contains(&count) => SizeEvidence::Earlier,
        _ => SizeEvidence::Unknown,
    };
    if wanted.unknown().next().is_some() || size == SizeEvidence::Unknown {
        let checksum = scanned.complete.then(|| file_checksum(db, scanned, &wanted)).transpose()?;
        let state = look_before(source, redo, scanned.id, &mut wanted, (count, checksum));
        if state.had_state {
            wanted.all_known();
        }
        // beside what no log had, a size or an empty page that was seen before proves nothing: VACUUM brings them back
        let foreign = wanted.unknown().next().is_some() && wanted.known() == 0;
        if state.had_size && size == SizeEvidence::Unknown && !foreign {
            size = SizeEvidence::Earlier;
        }
    }
    let evidence = PageEvidence {
        earlier: wanted.known(),
        unknown: wanted.unknown().count(),
        first_unknown: wanted.unknown().next(),
        size,
    };
    Ok((evidence, pages))
}

/// The hashes of those of the pages that the file has.
fn found_hashes(db: &DbPage, pages: &[PageNo]) -> Result<Wanted, RedoError> {
    let mut wanted = Wanted::default();
    let mut content = Vec::new();
    for &page in pages {
        if let Some(hash) = db.hash(page, &mut content)? {
            wanted.add(page, hash, &content);
        }
    }
    Ok(wanted)
}

/// The database checksum of the file as it is, from the pages that differ and the logged hashes of all others.
fn file_checksum(db: &DbPage, scanned: &ScannedDatabase, wanted: &Wanted) -> Result<u64, RedoError> {
    let count = db.page_count()?;
    let mut changes: Vec<(PageNo, u64)> = wanted.found().collect();
    let mut content = Vec::new();
    for page in (scanned.hashes.pages().saturating_add(1)..=count).map(PageNo) {
        if let Some(hash) = db.hash(page, &mut content)? {
            changes.push((page, hash));
        }
    }
    Ok(scanned.hashes.checksum_after(count, &changes))
}

/// Comparing only reads, so what goes wrong is SQLite's.
fn unreadable(problem: ReplayProblem) -> RedoError {
    match problem {
        ReplayProblem::DbPage(error) => RedoError::DbPage(error),
        problem => RedoError::Unexpected(Box::new(problem)),
    }
}
