use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;
use walship_sql::SqlError;
use walship_types::{Lsn, TimelineId};

/// Requests to promote this node, and how the last one ended.
#[derive(Debug, Default)]
pub(crate) struct PromotionRequests {
    // protects the counters below; held to change them
    state: Mutex<State>,
    changed: Condvar,
    asked: Notify,
}

#[derive(Debug, Default)]
struct State {
    asked: u64,
    ended: u64,
    /// What the one that is under way, or was last, is.
    wanted: Wanted,
    /// Since when it is wanted.
    since: Option<Instant>,
    /// Why the last one failed, if it did.
    error: Option<NotDone>,
}

/// Why a promotion did not come about, for whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotDone {
    /// Without the words that it could not be done.
    pub(crate) reason: String,
    pub(crate) hint: String,
}

impl NotDone {
    /// As the answer over either kind of connection.
    pub(crate) fn into_error(self) -> SqlError {
        SqlError::new("55000", format!("could not promote: {}", self.reason)).with_hint(self.hint)
    }
}

/// Why a node is to be promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Wanted {
    /// Its leader is gone, or is to be: with what this node has.
    #[default]
    Failover,
    /// Its leader hands over: only with exactly the log up to `end` of `timeline`.
    TakeOver { end: Lsn, timeline: TimelineId },
}

impl PromotionRequests {
    /// Asks for a promotion; the number to wait for. A request that comes while one
    /// is under way shares its outcome.
    pub(crate) fn ask(&self, wanted: Wanted) -> u64 {
        let mut state = self.state.lock();
        if state.asked == state.ended {
            state.asked += 1;
            state.wanted = wanted;
            state.since = Some(Instant::now());
        }
        self.asked.notify_one();
        state.asked
    }

    /// Waits until the promotion `number` has ended. `None`: not before `deadline`,
    /// or the caller was cancelled.
    pub(crate) fn wait(&self, number: u64, deadline: Instant) -> Option<Result<(), NotDone>> {
        let mut state = self.state.lock();
        while state.ended < number {
            if self.changed.wait_until(&mut state, deadline).timed_out() {
                return None;
            }
        }
        Some(state.error.clone().map_or(Ok(()), Err))
    }

    /// Resolves when a promotion is asked for.
    pub(crate) async fn requested(&self) {
        self.asked.notified().await;
    }

    /// Whether a promotion was asked for that has not ended.
    pub(crate) fn is_pending(&self) -> bool {
        let state = self.state.lock();
        state.asked > state.ended
    }

    /// What is under way, and since when; a file in the directory has asked for it if
    /// nobody else has.
    pub(crate) fn wanted(&self) -> (Wanted, Instant) {
        let state = self.state.lock();
        match state.asked > state.ended {
            true => (state.wanted, state.since.unwrap_or_else(Instant::now)),
            false => (Wanted::Failover, Instant::now()),
        }
    }

    /// Tells those who wait.
    pub(crate) fn end(&self, error: Option<NotDone>) {
        let mut state = self.state.lock();
        state.ended = state.asked;
        state.error = error;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn requests_share_one_promotion_and_its_outcome() {
        let requests = Arc::new(PromotionRequests::default());
        assert!(!requests.is_pending());
        let number = requests.ask(Wanted::Failover);
        assert_eq!(requests.ask(Wanted::Failover), number);
        assert!(requests.is_pending());
        assert_eq!(requests.wait(number, Instant::now()), None);
        let waiting = Arc::clone(&requests);
        let waiter =
            std::thread::spawn(move || waiting.wait(number, Instant::now() + Duration::from_secs(60)));
        let full = NotDone { reason: "the disk is full".to_owned(), hint: "make room".to_owned() };
        requests.end(Some(full.clone()));
        assert_eq!(waiter.join().unwrap(), Some(Err(full)));
        let second = requests.ask(Wanted::Failover);
        assert_ne!(second, number);
        requests.end(None);
        assert_eq!(requests.wait(second, Instant::now()), Some(Ok(())));
    }
}
