use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use walship_engine::redo::{PauseState, ReplayStatus, ReplayWorker, RestartpointRequest};
use walship_types::{Lsn, TimelineHistory};
use walship_wal::{PositionWatch, Recycler, WalError, WalPositions, WalSource, WalWriter};

/// The log of a node in its present role.
#[derive(Clone)]
pub(crate) enum NodeLog {
    /// A leader writes it.
    Leader(Arc<WalWriter>),
    /// A follower receives and replays it.
    Follower(FollowerLog),
}

/// A follower's log.
#[derive(Clone)]
pub(crate) struct FollowerLog {
    pub(crate) source: WalSource,
    pub(crate) positions: Arc<WalPositions>,
    pub(crate) recycler: Recycler,
    /// `None` until the databases are consistent.
    pub(crate) replay: Option<Arc<Replay>>,
}

/// The replay thread, shared by those who watch and steer it.
pub(crate) struct Replay {
    // protects the handle, which whoever ends replay takes
    worker: Mutex<Option<ReplayWorker>>,
    visible: Arc<PositionWatch>,
}

impl Replay {
    pub(crate) fn new(worker: ReplayWorker) -> Replay {
        Replay { visible: Arc::clone(worker.replay()), worker: Mutex::new(Some(worker)) }
    }

    /// Up to where readers see everything.
    pub(crate) fn visible(&self) -> &Arc<PositionWatch> {
        &self.visible
    }

    /// What it is doing; nothing once it was taken.
    pub(crate) fn status(&self) -> ReplayStatus {
        self.worker.lock().as_ref().map(ReplayWorker::status).unwrap_or_default()
    }

    pub(crate) fn pause_state(&self) -> PauseState {
        self.worker.lock().as_ref().map_or(PauseState::NotPaused, ReplayWorker::pause_state)
    }

    /// See [`set_min_apply_delay`](Replay::set_min_apply_delay).
    pub(crate) fn min_apply_delay(&self) -> Duration {
        self.worker.lock().as_ref().map(ReplayWorker::min_apply_delay).unwrap_or_default()
    }

    /// Commits are replayed when they are at least this old.
    pub(crate) fn set_min_apply_delay(&self, delay: Duration) {
        if let Some(worker) = self.worker.lock().as_ref() {
            worker.set_min_apply_delay(delay);
        }
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        if let Some(worker) = self.worker.lock().as_ref() {
            if paused {
                worker.pause();
            } else {
                worker.resume();
            }
        }
    }

    /// Asks for a restartpoint; `None` once it was taken.
    pub(crate) fn request_restartpoint(&self) -> Option<RestartpointRequest> {
        self.worker.lock().as_ref().map(ReplayWorker::request_restartpoint)
    }

    /// Takes it over, to end it.
    pub(crate) fn take(&self) -> Option<ReplayWorker> {
        self.worker.lock().take()
    }
}

impl NodeLog {
    /// For readers.
    pub(crate) fn source(&self) -> WalSource {
        match self {
            NodeLog::Leader(writer) => writer.source(),
            NodeLog::Follower(follower) => follower.source.clone(),
        }
    }

    /// Appended, written, flushed.
    pub(crate) fn positions(&self) -> Arc<WalPositions> {
        match self {
            NodeLog::Leader(writer) => Arc::clone(writer.positions()),
            NodeLog::Follower(follower) => Arc::clone(&follower.positions),
        }
    }

    /// Up to where a follower's readers see everything.
    pub(crate) fn replay(&self) -> Option<Arc<PositionWatch>> {
        match self {
            NodeLog::Leader(_) => None,
            NodeLog::Follower(follower) => {
                follower.replay.as_ref().map(|replay| Arc::clone(replay.visible()))
            }
        }
    }

    /// The timeline that is written or received, and those that lead to it.
    pub(crate) fn history(&self) -> TimelineHistory {
        self.source().history()
    }

    /// Removes or recycles segments before `lsn`; how many.
    pub(crate) fn recycle_before(&self, lsn: Lsn) -> Result<usize, WalError> {
        match self {
            NodeLog::Leader(writer) => writer.recycle_before(lsn),
            NodeLog::Follower(follower) => follower.recycler.recycle_before(lsn),
        }
    }
}
