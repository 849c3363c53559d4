use std::collections::BTreeMap;
use std::path::Path;

use walship_types::{Lsn, PageNo};
use walship_wal::WalSource;
use walship_wal::payload::{Entries, Payload};

use super::scan::{ScannedDatabase, for_each_record};
use super::verdict::{PageEvidence, SizeEvidence, SqliteWalEvidence, compare_positions};
use crate::dbpage::DbPage;
use crate::page::{HashFile, NO_CONTENT};
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
/// every content that the log had since the redo point. Returns the pages that differ.
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
    let mut found = BTreeMap::new();
    let mut content = Vec::new();
    for &page in &pages {
        if let Some(hash) = db.hash(page, &mut content)? {
            found.insert(page, hash);
        }
    }
    let had = earlier_versions(options, source, (redo, end), scanned, &found)?;
    let unknown: Vec<PageNo> = found.keys().copied().filter(|page| !had.contains_key(page)).collect();
    let count = db.page_count()?;
    let size = match count {
        count if count == scanned.hashes.pages() => SizeEvidence::Logged,
        count if scanned.sizes.contains(&count) => SizeEvidence::Earlier,
        _ => SizeEvidence::Unknown,
    };
    let evidence = PageEvidence {
        earlier: had.len(),
        unknown: unknown.len(),
        first_unknown: unknown.first().copied(),
        size,
    };
    Ok((evidence, pages))
}

/// Those of the pages in `found` whose hash is one that the log gave them: at the redo
/// point, or since.
fn earlier_versions(
    options: &RedoOptions,
    source: &WalSource,
    (redo, end): (Lsn, Lsn),
    scanned: &ScannedDatabase,
    found: &BTreeMap<PageNo, u64>,
) -> Result<BTreeMap<PageNo, u64>, RedoError> {
    let mut had = BTreeMap::new();
    if found.is_empty() {
        return Ok(had);
    }
    let path = options.hash_path(&scanned.name);
    if let Ok(file) = HashFile::read(&path, options.system_id, scanned.id) {
        let same = |(page, hash): (&PageNo, &u64)| file.hashes.get(*page) == Some(*hash);
        had.extend(found.iter().filter(|entry| same(*entry)).map(|(page, hash)| (*page, *hash)));
    }
    let mut note = |entries: Entries<'_>| {
        for entry in entries.into_iter().filter(|entry| found.get(&entry.page) == Some(&entry.hash)) {
            had.insert(entry.page, entry.hash);
        }
    };
    for_each_record(source, redo, end, |record| {
        let lsn = record.lsn;
        let payload = Payload::decode(record.kind, &record.payload)
            .map_err(|source| RedoError::Payload { lsn, source })?;
        match payload {
            Payload::Pages(part) if part.database == scanned.id => note(part.entries()),
            Payload::Commit(commit) if commit.database == scanned.id => note(commit.entries()),
            _ => {}
        }
        Ok(())
    })?;
    Ok(had)
}

/// Comparing only reads, so what goes wrong is SQLite's.
fn unreadable(problem: ReplayProblem) -> RedoError {
    match problem {
        ReplayProblem::DbPage(error) => RedoError::DbPage(error),
        problem => RedoError::Unexpected(Box::new(problem)),
    }
}
