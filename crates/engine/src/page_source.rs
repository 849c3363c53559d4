use std::path::Path;

use parking_lot::Mutex;
use rusqlite::Connection;
use walship_types::PageSize;

use crate::EngineError;
use crate::database::Database;
use crate::sqlite::open_internal;

/// Pages that are read in one snapshot: a longer one would hold back the -wal.
const SNAPSHOT_PAGES: u32 = 256;

/// A database's pages for a base backup, read through SQLite a few at a time.
///
/// Each page is whole and as some commit left it, also when it is still only in the
/// -wal; pages read at different times may belong to different commits. Replay from
/// a redo point that is older than all of the reading makes one state of them, since
/// every page that changed meanwhile is in the log.
pub struct PageSource {
    page_size: PageSize,
    pages: u32,
    // protects the connection, which is used by one reader at a time
    connection: Mutex<Connection>,
}

impl std::fmt::Debug for PageSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageSource").field("pages", &self.pages).finish_non_exhaustive()
    }
}

impl Database {
    /// Opens the database's pages for a base backup.
    pub fn page_source(&self) -> Result<PageSource, EngineError> {
        self.check_open()?;
        PageSource::open(self.path(), self.page_size())
    }
}

impl PageSource {
    fn open(path: &Path, page_size: PageSize) -> Result<PageSource, EngineError> {
        let connection = open_internal(path)?;
        let pages = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        Ok(PageSource { page_size, pages, connection: Mutex::new(connection) })
    }

    /// Size of the database when this was opened, in bytes.
    pub fn bytes(&self) -> u64 {
        u64::from(self.pages) * self.page_size.bytes() as u64
    }

    /// Fills `buffer` with what is at `offset`, as if the pages were a file. Returns the
    /// bytes copied: fewer than asked for where the database has become smaller.
    pub fn read_bytes(&self, buffer: &mut [u8], offset: u64) -> Result<usize, EngineError> {
        let size = self.page_size.bytes();
        let connection = self.connection.lock();
        let mut run = Vec::new();
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset + filled as u64;
            let skip = usize::try_from(at % size as u64).unwrap_or(0);
            let first = u32::try_from(at / size as u64).unwrap_or(u32::MAX).saturating_add(1);
            let wanted = (skip + buffer.len() - filled).div_ceil(size);
            let wanted = u32::try_from(wanted).unwrap_or(u32::MAX).min(SNAPSHOT_PAGES);
            read_run(&connection, first, wanted, &mut run)?;
            let found = run.get(skip..).unwrap_or_default();
            let length = found.len().min(buffer.len() - filled);
            if length == 0 {
                break;
            }
            buffer[filled..filled + length].copy_from_slice(&found[..length]);
            filled += length;
        }
        Ok(filled)
    }
}

/// Reads up to `count` pages from `first` on, as of one snapshot; fewer at the end.
fn read_run(connection: &Connection, first: u32, count: u32, run: &mut Vec<u8>) -> Result<(), EngineError> {
    run.clear();
    let mut select = connection.prepare_cached("SELECT data FROM sqlite_dbpage WHERE pgno = ?1")?;
    let transaction = connection.unchecked_transaction()?;
    for page in first..first.saturating_add(count) {
        let mut rows = select.query([page])?;
        let Some(row) = rows.next()? else { break };
        run.extend_from_slice(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?);
    }
    transaction.finish()?;
    Ok(())
}
