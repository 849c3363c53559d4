use std::sync::atomic::AtomicBool;

use rusqlite::Connection;
use walship_types::Lsn;

use crate::EngineError;
use crate::database::Database;
use crate::shared::Role;
use crate::sqlite::open_internal;
use crate::turn::WaitLimits;

/// Bytes that are handed over at once, about.
const CHUNK_BYTES: usize = 256 << 10;

/// Offsets in page 1 of the file format versions: 1 says rollback journal, so
/// that the copy is one file that any program opens.
const VERSIONS: std::ops::Range<usize> = 18..20;

/// What was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// Size of the copy in bytes.
    pub bytes: u64,
}

impl Database {
    /// Size of an export that began now, in bytes.
    pub fn export_bytes(&self) -> u64 {
        let pages = self.wal_index.header().pages;
        u64::from(pages) * self.page_size().bytes() as u64
    }

    /// Writes a plain copy of the database, one state of it, in order, to `sink`,
    /// while others read and write. The copy is not in WAL mode. `sink` ends it
    /// with an error.
    pub fn export<E: From<EngineError>>(
        &self,
        cancel: &AtomicBool,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Exported, E> {
        let (connection, pages) = self.begin_export(cancel)?;
        let mut select = connection
            .prepare("SELECT data FROM sqlite_dbpage WHERE pgno = ?1")
            .map_err(EngineError::from)?;
        let mut chunk = Vec::with_capacity(CHUNK_BYTES + self.page_size().bytes());
        let mut bytes = 0;
        for page in 1..=pages {
            let at = chunk.len();
            let copied = select.query_row([page], |row| {
                chunk.extend_from_slice(row.get_ref(0)?.as_blob()?);
                Ok(())
            });
            copied.map_err(EngineError::from)?;
            if page == 1 {
                chunk[at..][VERSIONS].fill(1);
            }
            if chunk.len() >= CHUNK_BYTES || page == pages {
                sink(&chunk)?;
                bytes += chunk.len() as u64;
                chunk.clear();
            }
        }
        Ok(Exported { bytes })
    }

    /// Opens a snapshot, and waits until all that it shows is durable.
    fn begin_export(&self, cancel: &AtomicBool) -> Result<(Connection, u32), EngineError> {
        self.check_open()?;
        let connection = open_internal(self.path())?;
        connection.execute_batch("BEGIN")?;
        let pages = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        self.settle(cancel)?;
        Ok((connection, pages))
    }

    /// Waits until everything that a reader could have seen by now is in the log, and
    /// durable. On a follower nothing has to be waited for.
    pub fn settle(&self, cancel: &AtomicBool) -> Result<(), EngineError> {
        let Role::Leader(writer) = self.shared.role() else { return Ok(()) };
        let seen = self.wal_index.header();
        let begun = std::time::Instant::now();
        let limits = WaitLimits { deadline: None, cancel };
        let horizon = self.published.horizon(&seen, || self.wal_index.header(), &limits);
        let horizon: Lsn = horizon.map_err(|ended| self.ended(ended, begun))?;
        Ok(writer.flush(horizon)?)
    }
}
