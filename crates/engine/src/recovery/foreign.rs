use walship_types::{Lsn, PageNo, Timestamp};
use walship_wal::payload::{Commit, CommitFlags, PagesPart, encode_image};
use walship_wal::{RecordKind, WalWriter};

use super::leader::RecoveredDatabase;
use crate::dbpage::DbPage;
use crate::page::page_hash;
use crate::redo::RedoError;

/// Entries of one record, in bytes, from which on the record is appended.
const PART_BYTES: usize = 256 << 10;

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
    let (mut entries, mut header, mut content) = (Vec::new(), Vec::new(), Vec::new());
    let mut parts = 0;
    for &page in &database.foreign_pages {
        if !db.read(page, &mut content)? {
            continue;
        }
        if entries.len() >= PART_BYTES {
            header.clear();
            PagesPart::encode_header(&mut header, database.id, parts == 0, db.page_size());
            writer.append(RecordKind::Pages, &[&header, &entries])?;
            entries.clear();
            parts += 1;
        }
        let hash = page_hash(page, &content);
        encode_image(&mut entries, page, hash, &content);
        changes.push((page, hash));
    }
    database.hashes.commit(pages, &changes);
    let flags = CommitFlags { foreign: true, single: parts == 0, base_backup: false };
    let (id, size, position) = (database.id, db.page_size(), database.position);
    let checksum = database.hashes.checksum();
    // the commit's own time is not known
    let commit = Commit::new(id, pages, flags, size, position, Timestamp::now(), checksum)
        .map_err(|source| RedoError::Payload { lsn: Lsn::INVALID, source })?;
    header.clear();
    commit.encode_header(&mut header);
    let end = writer.append(RecordKind::Commit, &[&header, &entries])?.end;
    writer.flush(end)?;
    Ok(end)
}
