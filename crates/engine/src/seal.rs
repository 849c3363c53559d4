use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use walship_wal::payload::Seal;
use walship_wal::{RecordKind, WalWriter};

use crate::EngineError;
use crate::capture::Author;
use crate::database::Database;
use crate::maintenance::Maintenance;
use crate::turn::{Turn, WaitLimits};

/// How long readers are waited for while the -wal is not much too large.
const PATIENCE: Duration = Duration::from_millis(50);

/// From so many times the size at which a -wal is sealed, writers wait longer
/// for the readers that hold it back.
const URGENT_FACTOR: u64 = 4;

/// How long the turn is waited for.
const TURN_WAIT: Duration = Duration::from_secs(10);

/// Between two looks at whether readers are gone.
const LOOK_INTERVAL: Duration = Duration::from_millis(1);

/// Until a seal is tried again after readers held the -wal back.
const RETRY_AFTER: Duration = Duration::from_millis(250);

static NEVER: AtomicBool = AtomicBool::new(false);

/// How an attempt to make a -wal restart ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SealOutcome {
    /// The -wal has restarted.
    Restarted,
    /// Readers use frames of it.
    HeldBack,
    /// A foreign program has the write lock, or wrote in between.
    Interrupted,
}

impl Database {
    /// Seals the -wal and makes it restart, unless it was tried a moment ago.
    pub(crate) fn try_seal(&self, writer: &WalWriter) -> Result<(), EngineError> {
        let mut maintenance = self.maintenance.lock();
        let Some(maintenance) = maintenance.as_mut() else { return Ok(()) };
        if maintenance.not_before.is_some_and(|moment| Instant::now() < moment) {
            return Ok(());
        }
        let outcome = self.seal(maintenance, writer);
        match &outcome {
            Ok(SealOutcome::Restarted) => {
                (maintenance.not_before, maintenance.held_back_since) = (None, None);
            }
            Ok(outcome) => {
                tracing::debug!(database = %self.name(), ?outcome, "the -wal did not restart");
                maintenance.not_before = Some(Instant::now() + RETRY_AFTER);
                maintenance.held_back_since.get_or_insert_with(Instant::now);
            }
            Err(_) => maintenance.not_before = Some(Instant::now() + RETRY_AFTER),
        }
        outcome.map(|_| ())
    }

    /// The whole procedure. The -wal is without a pin only in here, and only
    /// after all of it is in the log, sealed and durable.
    fn seal(&self, maintenance: &mut Maintenance, writer: &WalWriter) -> Result<SealOutcome, EngineError> {
        self.backfill_beside_writers(maintenance, writer)?;
        let limits = WaitLimits { deadline: Some(Instant::now() + TURN_WAIT), cancel: &NEVER };
        let turn = self.take_turn(&limits)?;
        if let Err(error) = maintenance.writer.execute_batch("BEGIN IMMEDIATE") {
            return match error.sqlite_error_code() {
                Some(rusqlite::ErrorCode::DatabaseBusy) => Ok(SealOutcome::Interrupted),
                _ => Err(error.into()),
            };
        }
        let outcome = self.seal_and_restart(maintenance, &turn, writer);
        self.finish(maintenance, &turn, writer).and(outcome)
    }

    /// Moves what is durable by now, so that little is left for when writers wait.
    fn backfill_beside_writers(
        &self,
        maintenance: &mut Maintenance,
        writer: &WalWriter,
    ) -> Result<(), EngineError> {
        let begun = Instant::now();
        maintenance.pin.advance(|snapshot| {
            let limits = WaitLimits { deadline: Some(begun + TURN_WAIT), cancel: &NEVER };
            let horizon = self.published.horizon(snapshot, || self.wal_index.header(), &limits);
            horizon.map_err(|ended| self.ended(ended, begun))?;
            Ok(writer.flush(self.published.end())?)
        })?;
        maintenance.pin.checkpoint_pass()?;
        Ok(())
    }

    fn seal_and_restart(
        &self,
        maintenance: &mut Maintenance,
        turn: &Turn,
        writer: &WalWriter,
    ) -> Result<SealOutcome, EngineError> {
        self.capture(turn, Author::Foreign, true, writer)?;
        self.log_seal(writer)?;
        let deadline = Instant::now() + self.patience();
        maintenance.pin.drop_pin()?;
        if !self.wait_backfilled(maintenance, deadline)? {
            return Ok(SealOutcome::HeldBack);
        }
        maintenance.pin.stand_by()?;
        // the lock was taken on a read mark that keeps the -wal from restarting;
        // taken again, now that all is moved, it is on mark 0, which does not
        maintenance.let_go()?;
        maintenance.writer.execute_batch("BEGIN IMMEDIATE")?;
        if !self.published.covers(&self.wal_index.header()) {
            return Ok(SealOutcome::Interrupted);
        }
        if !self.wait_drained(deadline) {
            return Ok(SealOutcome::HeldBack);
        }
        // whoever moved the frames need not have synced them, and here they end
        self.sync_file()?;
        maintenance.touch()?;
        Ok(SealOutcome::Restarted)
    }

    /// However it ended: capture what there is, and pin it.
    fn finish(
        &self,
        maintenance: &mut Maintenance,
        turn: &Turn,
        writer: &WalWriter,
    ) -> Result<(), EngineError> {
        maintenance.let_go()?;
        let author = Author::Engine;
        self.capture(turn, author, true, writer)?;
        maintenance.pin.take()?;
        if let Some(capture) = self.capture.lock().as_mut() {
            capture.unseal();
        }
        Ok(())
    }

    fn log_seal(&self, writer: &WalWriter) -> Result<(), EngineError> {
        let mut capture = self.capture.lock();
        let Some(capture) = capture.as_mut() else { return Ok(()) };
        let (pages, checksum) = {
            let hashes = &capture.hashes().lock().hashes;
            (hashes.pages(), hashes.checksum())
        };
        let seal = Seal { database: self.id(), pages, position: capture.position(), checksum };
        let mut payload = Vec::new();
        seal.encode(&mut payload);
        let span = writer.append(RecordKind::Seal, &[&payload])?;
        writer.flush(span.end)?;
        capture.seal();
        Ok(())
    }

    fn patience(&self) -> Duration {
        let bytes = self.wal_bytes(self.wal_index.header().frames);
        let urgent = bytes > self.shared.options.seal_bytes.saturating_mul(URGENT_FACTOR);
        if urgent { self.shared.options.seal_wait } else { PATIENCE }
    }

    /// Moves frames until all are moved. New readers start at the -wal's end and
    /// do not hold it back; those that started earlier end some time.
    fn wait_backfilled(&self, maintenance: &Maintenance, deadline: Instant) -> Result<bool, EngineError> {
        loop {
            let (frames, moved) = maintenance.pin.checkpoint_pass()?;
            if moved == frames {
                return Ok(true);
            }
            if Instant::now() >= deadline || self.shared.is_stopping() {
                return Ok(false);
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Waits until nobody reads from the -wal. Everything is moved and nobody can
    /// write, so readers that start now do not need it.
    fn wait_drained(&self, deadline: Instant) -> bool {
        loop {
            if self.wal_index.readers_drained() {
                return true;
            }
            if Instant::now() >= deadline || self.shared.is_stopping() {
                return false;
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::idle::Idle;

    #[test]
    fn what_is_sealed_restarts() {
        let idle = Idle::new();
        let (before, file) = (idle.database.version(), idle.file());
        idle.database.try_seal(&idle.writer).unwrap();
        assert_ne!(idle.database.version().salts, before.salts);
        assert_ne!(idle.file(), file, "what it had is in the file");
    }

    /// As long as nothing pins the new -wal: two more commits and a checkpoint between them would be one restart too
    /// many, and the first of them nowhere but in the file.
    #[test]
    fn no_foreign_commit_hides_in_the_restart() {
        let mut idle = Idle::new();
        idle.commit("CREATE TABLE u(a)");
        let mut maintenance = idle.database.maintenance.lock();
        let maintenance = maintenance.as_mut().unwrap();
        let turn = idle.database.take_turn(&WaitLimits { deadline: None, cancel: &NEVER }).unwrap();
        maintenance.writer.execute_batch("BEGIN IMMEDIATE").unwrap();
        let outcome = idle.database.seal_and_restart(maintenance, &turn, &idle.writer).unwrap();
        assert_eq!(outcome, SealOutcome::Restarted);
        let other = Connection::open(idle.database.path()).unwrap();
        other.execute_batch("INSERT INTO u VALUES (1)").unwrap();
        for mode in ["PASSIVE", "TRUNCATE"] {
            other.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(())).unwrap();
        }
        other.execute_batch("INSERT INTO t VALUES (2)").unwrap();
        idle.database.finish(maintenance, &turn, &idle.writer).unwrap();
        let report =
            crate::scrub(idle.database.path(), &idle.database.hashes().unwrap(), 0, &|| false).unwrap();
        assert!(report.complete && report.first_mismatch.is_none(), "a commit is not in the log: {report:?}");
        // and the pin is there again
        let before = idle.database.version();
        other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        assert_eq!(idle.database.version(), before);
    }

    #[test]
    fn nothing_is_moved_into_the_file_before_the_log_has_it_durably() {
        let mut idle = Idle::new();
        idle.writer.flush(idle.database.last_commit()).unwrap();
        idle.no_sync_succeeds();
        idle.commit("UPDATE t SET a = 2");
        let (before, file) = (idle.database.version(), idle.file());
        idle.database.try_seal(&idle.writer).unwrap_err();
        assert!(idle.file() == file, "a commit that a crash takes back is in the file");
        // no other program's checkpoint gets further
        let other = Connection::open(idle.database.path()).unwrap();
        other.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        assert_eq!(idle.database.version(), before);
        let copy = idle.database.path().with_file_name("alone.db");
        std::fs::write(&copy, idle.file()).unwrap();
        let alone = Connection::open(&copy).unwrap();
        let a: i64 = alone.query_row("SELECT a FROM t", [], |row| row.get(0)).unwrap_or(0);
        assert_ne!(a, 2, "a commit that a crash takes back is in the file");
    }

    #[test]
    fn the_wal_does_not_restart_before_its_seal_is_durable() {
        let idle = Idle::new();
        idle.writer.flush(idle.database.last_commit()).unwrap();
        let before = idle.database.version();
        idle.no_sync_succeeds();
        idle.database.try_seal(&idle.writer).unwrap_err();
        assert_eq!(idle.database.version(), before);
        let mut other = Connection::open(idle.database.path()).unwrap();
        other.busy_timeout(Duration::ZERO).unwrap();
        let transaction = other.transaction().unwrap();
        transaction.execute_batch("INSERT INTO t VALUES (3)").unwrap();
        transaction.commit().unwrap();
        assert_eq!(idle.database.version().salts, before.salts, "another program restarted it");
    }
}
