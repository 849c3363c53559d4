use std::path::Path;

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, MAIN_DB};

use crate::EngineError;
use crate::sqlite::{WalIndexHeader, open_internal, take_snapshot};

/// A read transaction with a read mark other than 0: while it is open, the -wal
/// does not restart, and frames after its snapshot are not moved into the file.
///
/// The snapshot is always one whose commits are durable in our log, so that
/// nothing gets into the database file that a crash could take back.
#[derive(Debug)]
pub(crate) struct Pin {
    holding: Connection,
    spare: Connection,
    held: bool,
}

impl Pin {
    /// Opens the connections; nothing is pinned yet.
    pub(crate) fn open(path: &Path) -> Result<Pin, EngineError> {
        Ok(Pin { holding: open_internal(path)?, spare: open_internal(path)?, held: false })
    }

    /// Pins the -wal as it is now, and ends what [`Pin::stand_by`] began. False if it has
    /// no frame: then there is nothing to hold on to.
    pub(crate) fn take(&mut self) -> Result<bool, EngineError> {
        if !self.held && begin(&self.spare)?.is_some() {
            std::mem::swap(&mut self.holding, &mut self.spare);
            self.held = true;
            end(&self.spare)?;
        }
        Ok(self.held)
    }

    /// Where there is no pin, and nothing in the -wal that is not moved: begins a read
    /// transaction with read mark 0. The -wal may restart once more under it; but what is
    /// committed then is not moved, and so cannot be restarted over, before there is a pin.
    pub(crate) fn stand_by(&self) -> Result<(), EngineError> {
        if self.holding.is_autocommit() {
            self.holding.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")?;
        }
        Ok(())
    }

    /// Moves the pin to the -wal's end, once `make_durable` has seen to it that
    /// everything up to there is flushed. There is no moment without a pin.
    pub(crate) fn advance(
        &mut self,
        make_durable: impl FnOnce(&WalIndexHeader) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let Some(snapshot) = begin(&self.spare)? else { return Ok(()) };
        if let Err(error) = make_durable(&snapshot) {
            return end(&self.spare).and(Err(error));
        }
        end(&self.holding)?;
        std::mem::swap(&mut self.holding, &mut self.spare);
        self.held = true;
        Ok(())
    }

    /// Lets go.
    pub(crate) fn drop_pin(&mut self) -> Result<(), EngineError> {
        self.held = false;
        end(&self.holding)
    }

    /// Moves frames into the database file as far as readers and the pin let it,
    /// beside both. Returns how many frames the -wal has and how many are moved.
    pub(crate) fn checkpoint_pass(&self) -> Result<(u32, u32), EngineError> {
        match self.spare.wal_checkpoint_v2(Some(MAIN_DB), CheckpointMode::PASSIVE) {
            Ok((frames, moved)) => {
                Ok((u32::try_from(frames).unwrap_or(0), u32::try_from(moved).unwrap_or(0)))
            }
            // another program's checkpoint is running
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => Ok((1, 0)),
            Err(error) => Err(error.into()),
        }
    }
}

fn begin(connection: &Connection) -> Result<Option<WalIndexHeader>, EngineError> {
    connection.execute_batch("BEGIN")?;
    match take_snapshot(connection) {
        Ok(Some(snapshot)) if snapshot.header.frames > 0 => Ok(Some(snapshot.header)),
        Ok(_) => end(connection).map(|()| None),
        Err(error) => end(connection).and(Err(error)),
    }
}

fn end(connection: &Connection) -> Result<(), EngineError> {
    if !connection.is_autocommit() {
        connection.execute_batch("ROLLBACK")?;
    }
    Ok(())
}
