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
