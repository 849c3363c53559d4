use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use walship_types::{Lsn, SegmentNo};

use crate::flusher::LogFile;
use crate::insert::InsertBuffer;
use crate::segments::SegmentFiles;
use crate::statistics::Counters;
use crate::tail::HotTail;
use crate::{WalConfig, WalError, WalPositions};

/// What the writer's handle, its flusher and its preparer share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: WalConfig,
    /// Protects the end of the log in memory. Held for a few copies, never over I/O.
    pub(crate) insert: Mutex<InsertBuffer>,
    /// The files' side of the log, for whoever has the round: see [`Core::try_begin_round`].
    /// Nobody ever waits for this lock.
    pub(crate) log_file: Mutex<LogFile>,
    pub(crate) positions: Arc<WalPositions>,
    pub(crate) tail: Arc<HotTail>,
    pub(crate) segments: Arc<SegmentFiles>,
    pub(crate) counters: Counters,
    /// Bytes that were promised room and not appended yet.
    pub(crate) reserved: AtomicU64,
    /// The disk is full and the flusher tries again.
    pub(crate) stalled: AtomicBool,
    /// Nothing is appended for now. Changed and looked at with the insert lock.
    pub(crate) held: AtomicBool,
    /// Protects what the flusher is asked for.
    request: Mutex<Request>,
    requested: Condvar,
    /// Protects what the preparer is asked for.
    prepare: Mutex<Prepare>,
    prepare_requested: Condvar,
    /// Protects the first failure, after which nothing is written any more.
    failure: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Request {
    upto: Lsn,
    /// The flusher's thread waits for work.
    idle: bool,
    /// A committer has the round.
    borrowed: bool,
    stop: bool,
}

#[derive(Debug)]
struct Prepare {
    until: SegmentNo,
    stop: bool,
}

impl Core {
    pub(crate) fn new(config: WalConfig, end: Lsn, previous: Lsn) -> Result<Core, WalError> {
        let segments = Arc::new(SegmentFiles::open(&config, end)?);
        Ok(Core {
            insert: Mutex::new(InsertBuffer::new(config.clone(), end, previous)),
            positions: Arc::new(WalPositions::new(end)),
            tail: Arc::new(HotTail::new(config.hot_tail_bytes)),
            segments,
            counters: Counters::default(),
            reserved: AtomicU64::new(0),
            stalled: AtomicBool::new(false),
            log_file: Mutex::new(LogFile::default()),
            held: AtomicBool::new(false),
            request: Mutex::new(Request::default()),
            requested: Condvar::new(),
            prepare: Mutex::new(Prepare { until: SegmentNo(0), stop: false }),
            prepare_requested: Condvar::new(),
            failure: Mutex::new(None),
            config,
        })
    }

    /// Asks the flusher to go on to `upto`, if it does not do so already.
    pub(crate) fn request_flush(&self, upto: Lsn) {
        let mut request = self.request.lock();
        if request.upto < upto {
            request.upto = upto;
            // whoever has borrowed the round looks when it gives it back
            if request.idle && !request.borrowed {
                self.requested.notify_one();
            }
        }
    }

    /// Lets the calling thread run one round itself, unless somebody is at it: a lone
    /// committer is spared two changes of thread that way.
    pub(crate) fn try_begin_round(&self) -> bool {
        let mut request = self.request.lock();
        let free = request.idle && !request.borrowed && !request.stop;
        request.borrowed |= free;
        free
    }

    /// Gives the round back; what was asked for meanwhile is the flusher's.
    pub(crate) fn end_round(&self) {
        let mut request = self.request.lock();
        request.borrowed = false;
        if request.idle && (request.stop || request.upto > self.positions.flush.get()) {
            self.requested.notify_one();
        }
    }

    /// Blocks the flusher until there is something to flush; true when it is to stop.
    pub(crate) fn wait_for_work(&self) -> bool {
        let mut deadline = Instant::now() + self.config.write_delay;
        let mut request = self.request.lock();
        loop {
            let free = !request.borrowed;
            if free && (request.stop || request.upto > self.positions.flush.get()) {
                return request.stop;
            }
            request.idle = true;
            let timed_out = self.requested.wait_until(&mut request, deadline).timed_out();
            request.idle = false;
            if timed_out && !request.borrowed {
                // what nobody waits for: commits that were answered before they were durable
                return request.stop;
            }
            if timed_out {
                deadline = Instant::now() + self.config.write_delay;
            }
        }
    }

    /// Whether the flusher waits for work, and up to where it was asked to go.
    #[cfg(test)]
    pub(crate) fn flusher_state(&self) -> (bool, Lsn) {
        let request = self.request.lock();
        (request.idle, request.upto)
    }

    /// Blocks the flusher for a while, or until it is to stop.
    pub(crate) fn wait_for_stop(&self, timeout: Duration) {
        let mut request = self.request.lock();
        if !request.stop {
            request.idle = true;
            self.requested.wait_for(&mut request, timeout);
            request.idle = false;
        }
    }

    pub(crate) fn is_all_flushed(&self) -> bool {
        let end = self.insert.lock().position();
        self.positions.flush.get() >= end
    }

    pub(crate) fn stop(&self) {
        self.request.lock().stop = true;
        self.requested.notify_all();
    }

    pub(crate) fn stop_preparing(&self) {
        self.prepare.lock().stop = true;
        self.prepare_requested.notify_all();
    }

    /// Asks for the segments behind `current`, ahead of need.
    pub(crate) fn prepare_segments(&self, current: SegmentNo) {
        let until = SegmentNo(current.0 + 1 + self.config.segments_ahead);
        let mut prepare = self.prepare.lock();
        if prepare.until < until {
            prepare.until = until;
            self.prepare_requested.notify_one();
        }
    }

    /// Runs the preparer: makes segments before the flusher gets there. A failure is left
    /// for the flusher to meet, which knows whether it matters.
    pub(crate) fn run_preparer(&self) {
        let mut done = SegmentNo(0);
        loop {
            let until = {
                let mut prepare = self.prepare.lock();
                while !prepare.stop && prepare.until <= done {
                    self.prepare_requested.wait(&mut prepare);
                }
                if prepare.stop {
                    return;
                }
                prepare.until
            };
            if let Err(error) = self.segments.make_ready(until) {
                tracing::warn!("could not make a log segment ahead of need: {error}");
            }
            done = until;
        }
    }

    /// Ends everything: what is durable is unknown from now on.
    pub(crate) fn poison(&self, error: &WalError) {
        let reason = {
            let mut failure = self.failure.lock();
            if failure.is_some() {
                return;
            }
            failure.insert(error.to_string()).clone()
        };
        tracing::error!("log cannot be written any more: {reason}");
        self.positions.close(&reason);
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// Why a watch was closed.
    pub(crate) fn closed_error(&self) -> WalError {
        self.failure().map_or(WalError::ShutDown, |reason| WalError::Poisoned { reason })
    }

    pub(crate) fn check_open(&self) -> Result<(), WalError> {
        match self.positions.insert.is_closed() {
            false => Ok(()),
            true => Err(self.closed_error()),
        }
    }
}
