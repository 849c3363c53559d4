use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use walship_types::{Lsn, Timestamp};
use walship_wal::{EndReason, Next, PositionWatch, Record, RecordKind, WalReader, WalSource};

use super::apply::Redo;
use super::error::RedoError;
use super::request::{RestartpointRequest, RestartpointRequests};
use super::restartpoint::Restartpoint;

/// Transactions that become one SQLite transaction, at most, while replay lags.
const BATCH_COMMITS_MAX: u32 = 1000;
/// How long readers wait, at most, for what was replayed while replay lags.
const BATCH_AGE_MAX: Duration = Duration::from_millis(100);
/// How long replay waits before it tries again after the disk was full.
const NO_SPACE_RETRY: Duration = Duration::from_secs(1);
/// How often a paused or delayed replay looks whether it may go on.
const PAUSE_POLL: Duration = Duration::from_millis(20);

/// Writes a restartpoint to the control file, and lets go of log that is not needed
/// any more. Called from the replay thread.
pub type RestartpointSink =
    Box<dyn FnMut(&Restartpoint) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + Send>;

/// How a [`ReplayWorker`] goes about it.
pub struct ReplayOptions {
    /// A restartpoint is taken this long after the one before, if a checkpoint was
    /// replayed since.
    pub restartpoint_interval: Duration,
    /// It is taken earlier if this much log was replayed since, in bytes.
    pub restartpoint_bytes: u64,
    /// Commits are replayed when they are at least this old.
    pub min_apply_delay: Duration,
    /// Where restartpoints go.
    pub on_restartpoint: RestartpointSink,
}

/// Replays a follower's log as it arrives, on a thread of its own.
#[derive(Debug)]
pub struct ReplayWorker {
    shared: Arc<Shared>,
    thread: JoinHandle<Result<Redo, RedoError>>,
}

/// Whether replay goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PauseState {
    /// It does.
    NotPaused,
    /// It was told to pause, and is not at rest yet.
    Requested,
    /// It is at rest: nothing becomes visible.
    Paused,
}

/// What the replay thread and those who watch it share.
#[derive(Debug)]
struct Shared {
    replay: Arc<PositionWatch>,
    /// Where to stop: `u64::MAX` until somebody says.
    stop_at: AtomicU64,
    /// Stop now, even while waiting for another program's lock.
    cancelled: AtomicBool,
    paused: AtomicBool,
    /// Whether the thread has seen the pause, and does nothing.
    at_rest: AtomicBool,
    min_apply_delay_micros: AtomicU64,
    status: Mutex<ReplayStatus>,
    restartpoints: Arc<RestartpointRequests>,
}

/// What replay is doing, for views and for `status`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayStatus {
    /// Up to here readers see everything.
    pub replayed: Lsn,
    /// Commit time of the last transaction that readers see.
    pub last_commit_time: Option<Timestamp>,
    /// Redo point of the last restartpoint.
    pub restartpoint: Option<Lsn>,
    /// Databases whose replay stopped, with the reason.
    pub stopped: Vec<StoppedDatabase>,
    /// Why replay as a whole waits or has ended, if it does.
    pub trouble: Option<String>,
}

/// A database whose replay stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoppedDatabase {
    /// Its name.
    pub database: String,
    /// Start of the record that could not be replayed.
    pub lsn: Lsn,
    /// The message.
    pub message: String,
}

impl ReplayWorker {
    /// Starts replaying what `source` has after what `redo` has taken in.
    pub fn start(mut redo: Redo, source: WalSource, options: ReplayOptions) -> std::io::Result<ReplayWorker> {
        let shared = Arc::new(Shared {
            replay: Arc::new(PositionWatch::new(redo.visible())),
            stop_at: AtomicU64::new(u64::MAX),
            cancelled: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            at_rest: AtomicBool::new(false),
            min_apply_delay_micros: AtomicU64::new(micros(options.min_apply_delay)),
            status: Mutex::default(),
            restartpoints: Arc::default(),
        });
        let flag = Arc::clone(&shared);
        redo.set_cancel(Arc::new(move || flag.cancelled.load(Ordering::Acquire)));
        let thread_shared = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("replay".to_owned()).spawn(move || {
            let shared = Arc::clone(&thread_shared);
            let result = Replay::new(redo, source, options, thread_shared).run();
            if let Err(error) = &result {
                tracing::error!(%error, "replay ended");
                shared.status.lock().trouble = Some(error.to_string());
                shared.replay.close(&error.to_string());
            }
            shared.restartpoints.end();
            result
        })?;
        Ok(ReplayWorker { shared, thread })
    }

    /// Up to where readers see everything; closed when replay ends with an error.
    pub fn replay(&self) -> &Arc<PositionWatch> {
        &self.shared.replay
    }

    /// What it is doing.
    pub fn status(&self) -> ReplayStatus {
        self.shared.status.lock().clone()
    }

    /// Stops replaying, until [`resume`](ReplayWorker::resume); the log goes on arriving.
    pub fn pause(&self) {
        self.shared.paused.store(true, Ordering::Release);
    }

    /// Goes on.
    pub fn resume(&self) {
        self.shared.paused.store(false, Ordering::Release);
    }

    /// Whether it was told to pause, and whether it has come to rest.
    pub fn pause_state(&self) -> PauseState {
        match (self.shared.is_paused(), self.shared.at_rest.load(Ordering::Acquire)) {
            (false, _) => PauseState::NotPaused,
            (true, false) => PauseState::Requested,
            (true, true) => PauseState::Paused,
        }
    }

    /// Asks for a restartpoint now, whether it is due or not.
    pub fn request_restartpoint(&self) -> RestartpointRequest {
        self.shared.restartpoints.ask()
    }

    /// See [`set_min_apply_delay`](ReplayWorker::set_min_apply_delay).
    pub fn min_apply_delay(&self) -> Duration {
        Duration::from_micros(self.shared.min_apply_delay_micros.load(Ordering::Acquire))
    }

    /// Commits are replayed when they are at least this old.
    pub fn set_min_apply_delay(&self, delay: Duration) {
        self.shared.min_apply_delay_micros.store(micros(delay), Ordering::Release);
    }

    /// Stops after the transaction that is being replayed, and hands back the state.
    pub fn stop(self) -> Result<Redo, RedoError> {
        self.shared.cancelled.store(true, Ordering::Release);
        self.finish_at(Lsn::INVALID)
    }

    /// Replays everything up to `lsn`, whatever the pause or delay, then stops and
    /// hands back the state: what a promotion does once nothing more is received.
    pub fn finish(self, lsn: Lsn) -> Result<Redo, RedoError> {
        self.resume();
        self.set_min_apply_delay(Duration::ZERO);
        self.finish_at(lsn)
    }

    fn finish_at(self, lsn: Lsn) -> Result<Redo, RedoError> {
        self.shared.stop_at.store(lsn.0, Ordering::Release);
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

impl Shared {
    fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    fn stop_at(&self) -> Lsn {
        Lsn(self.stop_at.load(Ordering::Acquire))
    }

    /// Tells what readers see now.
    fn publish(&self, redo: &Redo) {
        let stopped = redo.stopped().map(|stop| StoppedDatabase {
            database: stop.database.to_string(),
            lsn: stop.lsn,
            message: stop.problem.to_string(),
        });
        let mut status = self.status.lock();
        status.replayed = redo.visible();
        status.last_commit_time = redo.last_commit_time();
        status.trouble = None;
        if redo.stopped().count() != status.stopped.len() {
            status.stopped = stopped.collect();
        }
        drop(status);
        self.replay.advance(redo.visible());
    }
}

/// The thread's own state.
struct Replay {
    redo: Redo,
    source: WalSource,
    reader: WalReader,
    options: ReplayOptions,
    shared: Arc<Shared>,
    batch_commits: u32,
    batch_began: Option<Instant>,
    restartpoint_at: Instant,
    restartpoint_redo: Lsn,
}

impl Replay {
    fn new(redo: Redo, source: WalSource, options: ReplayOptions, shared: Arc<Shared>) -> Replay {
        let reader = source.reader(redo.resume_from());
        Replay {
            restartpoint_redo: redo.last_checkpoint().map_or(Lsn::INVALID, |(_, redo)| redo),
            redo,
            source,
            reader,
            options,
            shared,
            batch_commits: 0,
            batch_began: None,
            restartpoint_at: Instant::now(),
        }
    }

    fn run(mut self) -> Result<Redo, RedoError> {
        self.shared.publish(&self.redo);
        while self.redo.taken() < self.shared.stop_at() {
            match self.step() {
                Err(RedoError::NoSpace { database, retry_from }) => self.no_space(&database, retry_from),
                Err(RedoError::Cancelled) => break,
                result => result?,
            }
        }
        if !self.shared.cancelled.load(Ordering::Acquire) {
            self.make_visible()?;
        }
        Ok(self.redo)
    }

    /// Takes in the next record, or waits for one.
    fn step(&mut self) -> Result<(), RedoError> {
        if self.shared.is_paused() {
            return self.rest();
        }
        // asked before reading: what is flushed meanwhile must not be waited for
        let flushed = self.source.positions().map_or(Lsn::INVALID, |positions| positions.flush.get());
        match self.reader.next()? {
            Next::Record(record) => self.take(&record),
            Next::End(end)
                if end.reason == EndReason::NotFlushed || end.at >= flushed || self.taken_back(flushed) =>
            {
                self.make_visible()?;
                self.restartpoint_if_due()?;
                self.wait(flushed);
                Ok(())
            }
            Next::End(end) => {
                let (at, reason) = (end.at, end.reason.to_string());
                Err(RedoError::LogEnds { end: at, expected: flushed, reason })
            }
        }
    }

    /// Whether the log was cut back: what it had of a record that never became whole.
    fn taken_back(&self, flushed: Lsn) -> bool {
        self.source.positions().is_some_and(|positions| positions.flush.get() < flushed)
    }

    fn take(&mut self, record: &Record) -> Result<(), RedoError> {
        if record.kind == RecordKind::Commit {
            self.delay(record)?;
            self.batch_commits += 1;
            self.batch_began.get_or_insert_with(Instant::now);
        }
        self.redo.apply(record)?;
        let old = self.batch_began.is_some_and(|began| began.elapsed() >= BATCH_AGE_MAX);
        if self.batch_commits >= BATCH_COMMITS_MAX || old {
            self.make_visible()?;
            self.restartpoint_if_due()?;
        }
        Ok(())
    }

    /// A moment of a pause.
    fn rest(&mut self) -> Result<(), RedoError> {
        self.make_visible()?;
        self.shared.at_rest.store(true, Ordering::Release);
        while self.shared.is_paused() && self.shared.stop_at() == Lsn::MAX {
            self.restartpoint_if_due()?;
            std::thread::sleep(PAUSE_POLL);
        }
        self.shared.at_rest.store(false, Ordering::Release);
        Ok(())
    }

    /// Waits until a commit is old enough to be replayed, and nothing is paused. A stop meanwhile leaves it alone: it
    /// is still too young when this node starts again.
    fn delay(&mut self, record: &Record) -> Result<(), RedoError> {
        loop {
            let delay = Duration::from_micros(self.shared.min_apply_delay_micros.load(Ordering::Acquire));
            if delay.is_zero() {
                return Ok(());
            }
            if self.shared.cancelled.load(Ordering::Acquire) {
                return Err(RedoError::Cancelled);
            }
            let lsn = record.lsn;
            let commit = walship_wal::payload::Commit::decode(&record.payload)
                .map_err(|source| RedoError::Payload { lsn, source })?;
            match (Timestamp::now().since(commit.time) >= delay, self.shared.is_paused()) {
                (true, false) => return Ok(()),
                (true, true) => self.rest()?,
                (false, _) => {
                    self.make_visible()?;
                    self.restartpoint_if_due()?;
                    std::thread::sleep(PAUSE_POLL);
                }
            }
        }
    }

    fn make_visible(&mut self) -> Result<(), RedoError> {
        self.batch_commits = 0;
        self.batch_began = None;
        if self.redo.has_batch() {
            let shared = &self.shared;
            self.redo.commit_batch_and(|redo| shared.publish(redo))?;
        }
        Ok(())
    }

    fn restartpoint_if_due(&mut self) -> Result<(), RedoError> {
        let asked = self.shared.restartpoints.asked();
        let result = self.restartpoint(asked.is_some())?;
        if let Some(number) = asked {
            self.shared.restartpoints.answer(number, result);
        }
        Ok(())
    }

    /// A restartpoint, if it is due or `wanted`; why it could not be recorded. Without a checkpoint that was replayed
    /// since the last one there is nothing to do.
    fn restartpoint(&mut self, wanted: bool) -> Result<Result<(), String>, RedoError> {
        let Some((_, redo)) = self.redo.last_checkpoint() else { return Ok(Ok(())) };
        let bytes = redo.saturating_distance_from(self.restartpoint_redo);
        let due = self.restartpoint_at.elapsed() >= self.options.restartpoint_interval
            || bytes >= self.options.restartpoint_bytes;
        if bytes == 0 || !(due || wanted) {
            return Ok(Ok(()));
        }
        self.restartpoint_at = Instant::now();
        let Some(point) = self.redo.restartpoint()? else {
            return Ok(Err("replay of a database has stopped".to_owned()));
        };
        match (self.options.on_restartpoint)(&point) {
            Ok(()) => {
                self.restartpoint_redo = redo;
                self.shared.status.lock().restartpoint = Some(redo);
                tracing::info!(%redo, as_of = %point.as_of, "restartpoint complete");
                Ok(Ok(()))
            }
            // the one before still holds; the next is tried when it is due
            Err(error) => {
                tracing::error!(%redo, error, "could not record the restartpoint");
                Ok(Err(error.to_string()))
            }
        }
    }

    fn wait(&self, flushed: Lsn) {
        let Some(positions) = self.source.positions() else { return };
        let deadline = Instant::now() + self.options.restartpoint_interval;
        let stop_at = || self.redo.taken() >= self.shared.stop_at();
        let asked = || self.shared.restartpoints.asked().is_some();
        let paused = || self.shared.is_paused() || asked() || positions.flush.get() < flushed;
        let next = Lsn(flushed.0.saturating_add(1));
        positions.flush.wait_blocking(next, Some(deadline), || stop_at() || paused());
    }

    /// Says so once, and goes on by itself when there is room again.
    fn no_space(&mut self, database: &walship_types::DatabaseName, retry_from: Lsn) {
        let message = format!("no space left to replay into database \"{database}\"");
        let mut status = self.shared.status.lock();
        if status.trouble.as_ref() != Some(&message) {
            tracing::error!(sqlstate = "53100", "{message}; replay goes on when there is room");
            status.trouble = Some(message);
        }
        drop(status);
        self.reader = self.source.reader(retry_from);
        let until = Instant::now() + NO_SPACE_RETRY;
        while Instant::now() < until && self.shared.stop_at() == Lsn::MAX {
            std::thread::sleep(PAUSE_POLL);
        }
    }
}

fn micros(delay: Duration) -> u64 {
    u64::try_from(delay.as_micros()).unwrap_or(u64::MAX)
}
