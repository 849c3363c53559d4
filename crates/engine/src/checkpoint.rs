use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use walship_types::{DatabaseId, Lsn, Timestamp};
use walship_wal::payload::{Checkpoint, DatabaseState};
use walship_wal::{RecordKind, WalWriter};

use crate::EngineError;
use crate::capture::{Author, Logged};
use crate::database::Database;
use crate::databases::Databases;
use crate::page::HashFile;
use crate::shared::Role;
use crate::turn::{Turn, WaitLimits};

/// How long a shutdown checkpoint waits for each database's writer.
const SHUTDOWN_TURN_WAIT: Duration = Duration::from_secs(10);

/// Bytes that the disk is asked to begin at once.
const PIECE_BYTES: usize = 128 << 10;

static NEVER: AtomicBool = AtomicBool::new(false);

/// A completed checkpoint: what the control file has to say from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointDone {
    /// Where replay has to start.
    pub redo: Lsn,
    /// The checkpoint record.
    pub checkpoint: Lsn,
    /// End of the checkpoint record; flushed.
    pub end: Lsn,
    /// When.
    pub time: Timestamp,
    /// The databases as of the redo point; the positions are this node's own.
    pub databases: Vec<DatabaseState>,
    /// The id that the next database gets.
    pub next_database_id: DatabaseId,
}

impl Databases {
    /// Sets a redo point on a leader: everything before it is durable in the
    /// database files and their -wal files, page hashes are written, and the
    /// checkpoint record is flushed. Nothing is moved out of a -wal, so no reader
    /// stands in the way. The caller writes the control file; before that, the
    /// old redo point is in force.
    ///
    /// With `shutdown`, writers are waited for and kept out, and the databases
    /// are closed: the record is the last one.
    pub fn checkpoint(&self, shutdown: bool) -> Result<CheckpointDone, EngineError> {
        self.checkpoint_at_pace(shutdown, &|_, _| {})
    }

    /// The same, spread over time: before each piece that the disk is asked to write,
    /// `pace` is told how many bytes were begun and how many there are in all, and may wait.
    pub fn checkpoint_at_pace(
        &self,
        shutdown: bool,
        pace: &dyn Fn(u64, u64),
    ) -> Result<CheckpointDone, EngineError> {
        let writer = self.shared.own_writer()?;
        let databases = self.all();
        let turns = if shutdown { self.stop_writers(&databases, &writer)? } else { Vec::new() };
        let (redo, states) = self.note_redo_point(&writer)?;
        writer.flush(redo)?;
        if !shutdown {
            write_behind(&databases, pace);
        }
        for database in &databases {
            database.make_durable(&writer)?;
        }
        let done = self.log_checkpoint(redo, states, shutdown, &writer)?;
        drop(turns);
        Ok(done)
    }

    /// Notes the redo point and what every database is there. No commit is in
    /// flight meanwhile, so none lies across it.
    fn note_redo_point(&self, writer: &WalWriter) -> Result<(Lsn, Vec<DatabaseState>), EngineError> {
        let _none = self.shared.in_flight.begin_era();
        let redo = writer.lock_insert()?.position();
        let states = self.all().iter().map(|database| database.state()).collect::<Result<_, _>>()?;
        Ok((redo, states))
    }

    fn log_checkpoint(
        &self,
        redo: Lsn,
        databases: Vec<DatabaseState>,
        shutdown: bool,
        writer: &WalWriter,
    ) -> Result<CheckpointDone, EngineError> {
        let time = Timestamp::now();
        let timeline = writer.source().history().timeline_at(Lsn::MAX);
        let next_database_id = self.next_id();
        let record = Checkpoint { redo, timeline, shutdown, time, next_database_id, databases };
        let mut payload = Vec::new();
        record.encode(&mut payload);
        let span = writer.append(RecordKind::Checkpoint, &[&payload])?;
        writer.flush(span.end)?;
        let databases = record.databases;
        Ok(CheckpointDone { redo, checkpoint: span.start, end: span.end, time, databases, next_database_id })
    }

    /// Takes every database's turn, captures what there is, and lets nobody write
    /// any more.
    fn stop_writers(
        &self,
        databases: &[Arc<Database>],
        writer: &WalWriter,
    ) -> Result<Vec<Turn>, EngineError> {
        let deadline = Some(Instant::now() + SHUTDOWN_TURN_WAIT);
        let limits = WaitLimits { deadline, cancel: &NEVER };
        let turns: Vec<Turn> =
            databases.iter().map(|database| database.take_turn(&limits)).collect::<Result<_, _>>()?;
        for (database, turn) in databases.iter().zip(&turns) {
            database.capture(turn, Author::Foreign, true, writer)?;
        }
        self.shared.set_role(Role::Closed("shutting down"));
        Ok(turns)
    }
}

/// Has the frames of every -wal on their way to the disk before anybody waits for them.
fn write_behind(databases: &[Arc<Database>], pace: &dyn Fn(u64, u64)) {
    let begun_with = |database: &Arc<Database>| database.wal_bytes(database.wal_index.header().frames);
    let sizes: Vec<u64> = databases.iter().map(begun_with).collect();
    let (mut done, total) = (0, sizes.iter().sum());
    for (database, size) in databases.iter().zip(sizes) {
        let wal = database.capture.lock().as_ref().map(|capture| Arc::clone(capture.wal()));
        let Some(wal) = wal else { continue };
        for start in (0..size).step_by(PIECE_BYTES) {
            pace(done, total);
            let end = size.min(start + PIECE_BYTES as u64);
            wal.write_behind(start..end);
            done += end - start;
        }
    }
}

impl Database {
    /// What the log says of the database, up to its end or to where no commit is
    /// in flight.
    fn state(&self) -> Result<DatabaseState, EngineError> {
        // what SQLite committed and the log could not take would be missing
        self.check_open()?;
        // not through the capture: whoever holds that may be waiting for this redo point
        let logged = self.logged.lock().clone();
        let logged = logged.ok_or_else(|| EngineError::NoStart { database: self.name().clone() })?;
        let Logged { pages, checksum, position, .. } = *logged.lock();
        Ok(DatabaseState {
            id: self.id(),
            name: self.name().clone(),
            page_size: self.page_size(),
            pages,
            checksum,
            position,
        })
    }

    /// Makes durable what is in the -wal and what was moved out of it, and writes the
    /// hashes of the pages as of some position behind the redo point.
    fn make_durable(&self, writer: &WalWriter) -> Result<(), EngineError> {
        let (wal, hashes, as_of) = {
            let capture = self.capture.lock();
            let Some(capture) = capture.as_ref() else { return Ok(()) };
            let tracked = capture.hashes().lock();
            if !tracked.settled {
                // no commit is on its way while the capture is locked: one failed half-way
                let (database, reason) = (self.name().clone(), "a commit is not in the log yet".to_owned());
                return Err(EngineError::DatabaseClosed { database, reason });
            }
            (Arc::clone(capture.wal()), tracked.hashes.clone(), writer.positions().insert.get())
        };
        wal.sync()?;
        self.sync_file()?;
        // the file must not name a position that the log may not reach
        writer.flush(as_of)?;
        let file = HashFile { system_id: self.shared.options.system_id, database: self.id(), as_of, hashes };
        let path = self.path().with_extension("hash");
        file.write(&path).map_err(|error| EngineError::HashFile { path, source: Box::new(error) })
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use walship_types::SystemId;

    use super::*;
    use crate::idle::Idle;

    /// After a crash the table would be of no use, and the one before it is gone.
    #[test]
    fn page_hashes_name_no_position_that_the_log_may_not_reach() {
        let mut idle = Idle::new();
        let before = idle.writer.positions().flush.get();
        idle.commit("INSERT INTO t VALUES (2)");
        assert_eq!(idle.writer.positions().flush.get(), before, "nobody has flushed it");
        idle.database.make_durable(&idle.writer).unwrap();
        let path = idle.database.path().with_extension("hash");
        let file = HashFile::read(&path, SystemId(7), idle.database.id()).unwrap();
        assert!(file.as_of > before && file.as_of <= idle.writer.positions().flush.get());
    }

    /// What recovery takes for logged must not have what the log could not take: a file that has it would pass for level.
    #[test]
    fn no_page_hashes_are_written_of_a_commit_that_failed_half_way() {
        let idle = Idle::new();
        let turn = idle.database.take_turn(&WaitLimits { deadline: None, cancel: &NEVER }).unwrap();
        let capture = || idle.database.capture(&turn, Author::Foreign, true, &idle.writer);
        idle.database.make_durable(&idle.writer).unwrap();
        let other = Connection::open(idle.database.path()).unwrap();
        other.execute_batch("INSERT INTO t VALUES (2)").unwrap();
        idle.writer.hold_appends();
        capture().unwrap_err();
        idle.writer.resume_appends();
        let error = idle.database.make_durable(&idle.writer).unwrap_err();
        assert!(matches!(error, EngineError::DatabaseClosed { .. }), "{error}");
        capture().unwrap();
        idle.database.make_durable(&idle.writer).unwrap();
    }
}
