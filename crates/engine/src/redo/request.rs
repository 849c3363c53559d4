use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Restartpoints that somebody waits for.
#[derive(Debug, Default)]
pub(super) struct RestartpointRequests {
    /// Protects the numbers and the outcome.
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Number of the last request.
    asked: u64,
    /// Number of the last one that was answered.
    answered: u64,
    /// How that ended.
    outcome: Option<String>,
    /// Replay has ended: nobody answers any more.
    ended: bool,
}

/// A restartpoint that was asked for.
#[derive(Debug)]
pub struct RestartpointRequest {
    requests: Arc<RestartpointRequests>,
    number: u64,
}

/// Why a restartpoint that was asked for did not come about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoRestartpoint {
    /// It was tried.
    #[error("the restartpoint failed: {0}")]
    Failed(String),
    /// Replay did not get to it.
    #[error("replay did not get to a restartpoint within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// There is no replay any more.
    #[error("replay has ended")]
    Ended,
}

impl RestartpointRequests {
    pub(super) fn ask(self: &Arc<Self>) -> RestartpointRequest {
        let mut state = self.state.lock();
        state.asked += 1;
        RestartpointRequest { requests: Arc::clone(self), number: state.asked }
    }

    /// The request that is to be answered, if there is one.
    pub(super) fn asked(&self) -> Option<u64> {
        let state = self.state.lock();
        Some(state.asked).filter(|asked| *asked > state.answered)
    }

    /// Answers all requests up to `number`.
    pub(super) fn answer(&self, number: u64, outcome: Result<(), String>) {
        let mut state = self.state.lock();
        (state.answered, state.outcome) = (number, outcome.err());
        self.changed.notify_all();
    }

    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.changed.notify_all();
    }
}

impl RestartpointRequest {
    /// Waits until it is there: everything that was replayed when it was asked for is durable in the files, and replay
    /// starts again from the last checkpoint of that. There may have been nothing to do.
    pub fn wait(&self, limit: Duration) -> Result<(), NoRestartpoint> {
        let deadline = Instant::now() + limit;
        let mut state = self.requests.state.lock();
        while state.answered < self.number {
            if state.ended {
                return Err(NoRestartpoint::Ended);
            }
            if self.requests.changed.wait_until(&mut state, deadline).timed_out() {
                return Err(NoRestartpoint::TimedOut(limit));
            }
        }
        state.outcome.clone().map_or(Ok(()), |reason| Err(NoRestartpoint::Failed(reason)))
    }
}
