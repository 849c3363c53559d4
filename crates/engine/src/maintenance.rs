use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Instant;

use rusqlite::Connection;
use walship_wal::WalWriter;

use crate::EngineError;
use crate::capture::Author;
use crate::database::Database;
use crate::databases::Databases;
use crate::pin::Pin;
use crate::shared::Shared;
use crate::sqlite::open_internal;

/// What a leader keeps to look after one database: the pin, and a connection
/// that takes SQLite's write lock when the -wal is made to restart.
#[derive(Debug)]
pub(crate) struct Maintenance {
    pub(crate) pin: Pin,
    pub(crate) writer: Connection,
    /// When the next seal may be tried.
    pub(crate) not_before: Option<Instant>,
    /// Since when readers have kept the -wal from restarting.
    pub(crate) held_back_since: Option<Instant>,
}

impl Maintenance {
    pub(crate) fn open(path: &Path) -> Result<Maintenance, EngineError> {
        Ok(Maintenance {
            pin: Pin::open(path)?,
            writer: open_internal(path)?,
            not_before: None,
            held_back_since: None,
        })
    }

    /// Commits page 1 as it is: one frame, of no consequence to anyone. In a -wal
    /// that may restart it is the commit that restarts it.
    pub(crate) fn touch(&self) -> Result<(), EngineError> {
        if self.writer.is_autocommit() {
            self.writer.execute_batch("BEGIN IMMEDIATE")?;
        }
        let touched =
            self.writer.execute_batch("UPDATE sqlite_dbpage SET data = data WHERE pgno = 1; COMMIT");
        if touched.is_err() {
            self.let_go()?;
        }
        Ok(touched?)
    }

    /// Lets go of SQLite's write lock.
    pub(crate) fn let_go(&self) -> Result<(), EngineError> {
        if !self.writer.is_autocommit() {
            self.writer.execute_batch("ROLLBACK")?;
        }
        Ok(())
    }
}

/// Looks after the databases until told to stop or until they are gone: finds
/// commits of foreign programs, retries what the log could not take, and makes
/// -wal files restart that have become too large.
pub(crate) fn run(databases: &Weak<Databases>, shared: &Arc<Shared>) {
    while shared.wait_for_work() {
        let Some(databases) = databases.upgrade() else { return };
        let Ok(writer) = shared.own_writer() else { continue };
        for database in databases.all() {
            if let Err(error) = database.maintain(&writer) {
                tracing::warn!(database = %database.name(), %error, "maintenance failed, will be tried again");
            }
        }
    }
}

impl Database {
    fn maintain(&self, writer: &WalWriter) -> Result<(), EngineError> {
        self.capture_foreign(writer)?;
        let header = self.wal_index.header();
        if self.wal_bytes(header.frames) > self.shared.options.seal_bytes && self.check_open().is_ok() {
            self.try_seal(writer)?;
        }
        Ok(())
    }

    /// Captures what nobody of ours committed, unless somebody has the turn, who
    /// will do it himself.
    fn capture_foreign(&self, writer: &WalWriter) -> Result<(), EngineError> {
        if self.published.covers(&self.wal_index.header()) {
            return Ok(());
        }
        let Some(turn) = self.turns.try_take() else { return Ok(()) };
        // what a session committed and the log could not take is not a stranger's
        let author = if self.check_open().is_ok() { Author::Foreign } else { Author::Engine };
        let captured = self.capture(&turn, author, true, writer)?;
        drop(turn);
        if let Some(end) = captured.last() {
            // not waited for: on a full disk it would keep this thread from every other database, and from its end
            writer.request_flush(end);
        }
        Ok(())
    }
}
