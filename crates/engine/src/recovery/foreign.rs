use walship_types::{Lsn, PageNo};
use walship_wal::WalWriter;

use super::leader::RecoveredDatabase;
use crate::capture::{CommitEnd, Parts};
use crate::dbpage::DbPage;
use crate::page::page_hash;
use crate::redo::RedoError;

/// Logs the pages that another program changed, as one commit of full images, and
/// brings the database's table of hashes up to it. Returns the end of the commit, which
/// is flushed.
pub(super) fn log_foreign_commit(
    database: &mut RecoveredDatabase,
    writer: &WalWriter,
) -> Result<Lsn, RedoError> {
    let db = DbPage::open(&database.path, 0)?;
    db.begin_read()?;
    let pages = db.page_count()?;
    let mut changes: Vec<(PageNo, u64)> = Vec::new();
    let (mut entries, mut content) = (Vec::new(), Vec::new());
    let mut parts = Parts::new(writer, database.id, db.page_size(), &mut entries);
    for &page in &database.foreign_pages {
        if !db.read(page, &mut content)? {
            continue;
        }
        let hash = page_hash(page, &content);
        parts.image(page, hash, &content)?;
        changes.push((page, hash));
    }
    database.hashes.commit(pages, &changes);
    // the commit's own time is not known
    let (position, checksum) = (database.position, database.hashes.checksum());
    let (end, _) = parts.close(&CommitEnd { pages, foreign: true, position, checksum })?;
    writer.flush(end)?;
    Ok(end)
}
