use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use walship_types::{DatabaseId, SqliteWalPosition};
use walship_wal::WalWriter;

use crate::capture::{Author, Capture};
use crate::database::Database;
use crate::maintenance::Maintenance;
use crate::page::PageHashes;
use crate::sqlite::open_internal;
use crate::sqlite_wal::SqliteWalFile;
use crate::turn::WaitLimits;
use crate::{EngineError, SqliteWalProblem};

static NEVER: AtomicBool = AtomicBool::new(false);

/// From where a database is led: what recovery, or replay, has found out.
#[derive(Debug)]
pub struct LeaderStart {
    /// Which database.
    pub database: DatabaseId,
    /// What its pages are according to the log.
    pub hashes: PageHashes,
    /// Every frame of its -wal up to here is in the log; what comes after is
    /// captured. Frame 0 of a generation: nothing of it is.
    pub position: SqliteWalPosition,
}

impl Database {
    /// From where a database that was replayed here is led: `position` is where
    /// its -wal ends. `None` if it was not replayed.
    pub fn start_after_replay(&self, position: SqliteWalPosition) -> Option<LeaderStart> {
        let hashes = self.hashes()?.lock().hashes.clone();
        Some(LeaderStart { database: self.id(), hashes, position })
    }

    /// Starts to capture: logs what the -wal has beyond `start`, and pins it.
    pub(crate) fn lead(&self, start: LeaderStart, writer: &WalWriter) -> Result<(), EngineError> {
        let turn = self.take_turn(&WaitLimits { deadline: None, cancel: &NEVER })?;
        let mut maintenance = Maintenance::open(self.path())?;
        let pinned = maintenance.pin.take()?;
        let wal = SqliteWalFile::open(self.path(), self.page_size())?;
        check_start(&wal, &start, self.wal_index.header().salts)?;
        let cache_bytes = self.shared.options.capture_cache_bytes;
        let capture = Capture::new(self.id(), wal, start.position, start.hashes, cache_bytes);
        self.set_hashes(Arc::clone(capture.hashes()));
        *self.logged.lock() = Some(Arc::clone(capture.logged()));
        *self.capture.lock() = Some(capture);
        self.capture(&turn, Author::Engine, true, writer)?;
        if !pinned {
            maintenance.pin.stand_by()?;
            maintenance.touch()?;
            self.capture(&turn, Author::Engine, true, writer)?;
            maintenance.pin.take()?;
        }
        *self.maintenance.lock() = Some(maintenance);
        Ok(())
    }

    /// Adds `gap` to every AUTOINCREMENT sequence, in a transaction of the log.
    pub(crate) fn skip_sequence_numbers(&self, gap: i64, writer: &WalWriter) -> Result<(), EngineError> {
        let turn = self.take_turn(&WaitLimits { deadline: None, cancel: &NEVER })?;
        let connection = open_internal(self.path())?;
        if !connection.table_exists(None, "sqlite_sequence")? {
            return Ok(());
        }
        let skip = "UPDATE sqlite_sequence SET seq = \
                    CASE WHEN seq > 9223372036854775807 - ?1 THEN 9223372036854775807 ELSE seq + ?1 END";
        connection.execute(skip, [gap])?;
        self.capture(&turn, Author::Engine, true, writer)?;
        Ok(())
    }

    /// Ends capturing, when the node stops to lead.
    pub(crate) fn stop_leading(&self) {
        *self.maintenance.lock() = None;
        *self.logged.lock() = None;
        *self.capture.lock() = None;
    }
}

/// The frame that the log names must be in the -wal, if it is still the same.
fn check_start(wal: &SqliteWalFile, start: &LeaderStart, salts: (u32, u32)) -> Result<(), EngineError> {
    let generation = start.position.generation;
    if start.position.frame == 0 || (generation.salt1, generation.salt2) != salts {
        return Ok(());
    }
    let found = wal.frame_header(start.position.frame, salts)?.checksum;
    if found != start.position.checksum {
        let problem = SqliteWalProblem::Checksum { found, expected: start.position.checksum };
        return Err(wal.damaged(start.position.frame, problem));
    }
    Ok(())
}
