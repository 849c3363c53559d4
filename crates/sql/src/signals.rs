use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rusqlite::InterruptHandle;
use walship_protocol::wire::SqlState;

use super::error::SqlError;

/// Why a running statement is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// A cancel request, or `pg_cancel_backend`.
    User,
    /// `statement_timeout`.
    StatementTimeout,
}

/// Why a session is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// `pg_terminate_backend`, or the server stops.
    Administrator,
    /// `idle_in_write_transaction_timeout`.
    IdleInWriteTransaction,
    /// `idle_in_transaction_session_timeout`.
    IdleInTransaction,
    /// `idle_session_timeout`.
    IdleSession,
    /// It writes, and the node no longer leads.
    NotLeader,
}

/// What a session is told that has written, or would, on a node that no longer leads.
pub const NOT_LEADER: &str = "terminating connection because this node no longer takes writes";

impl EndReason {
    /// What the client is told.
    pub fn error(self) -> SqlError {
        let (state, message) = match self {
            EndReason::Administrator => {
                (SqlState::ADMIN_SHUTDOWN, "terminating connection due to administrator command")
            }
            EndReason::IdleInWriteTransaction => (
                SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                "terminating connection due to idle-in-write-transaction timeout",
            ),
            EndReason::IdleInTransaction => (
                SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                "terminating connection due to idle-in-transaction timeout",
            ),
            EndReason::IdleSession => {
                (SqlState::IDLE_SESSION_TIMEOUT, "terminating connection due to idle-session timeout")
            }
            EndReason::NotLeader => (SqlState::ADMIN_SHUTDOWN, NOT_LEADER),
        };
        SqlError::fatal(state, message)
    }
}

impl CancelReason {
    /// What the client is told.
    pub fn error(self) -> SqlError {
        let message = match self {
            CancelReason::User => "canceling statement due to user request",
            CancelReason::StatementTimeout => "canceling statement due to statement timeout",
        };
        SqlError::new(SqlState::QUERY_CANCELED, message)
    }
}

#[derive(Default)]
struct State {
    cancel: Option<CancelReason>,
    end: Option<EndReason>,
    running: Option<InterruptHandle>,
}

/// Makes a read that blocks on the client return, from another thread.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// How other threads reach a session: they cancel its statement or end it.
/// Nothing here blocks.
pub struct Signals {
    // set together with `cancel` or `end`; waits look at it without a lock
    interrupted: AtomicBool,
    // whether the session waits to write, writes, or waits for its commit to hold
    writes: AtomicBool,
    // protects the reasons and the connection that is to be interrupted
    state: Mutex<State>,
    wake: Wake,
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").field("interrupted", &self.interrupted).finish_non_exhaustive()
    }
}

impl Signals {
    /// Signals of a session whose blocking read `wake` ends.
    pub fn new(wake: Wake) -> Signals {
        Signals {
            interrupted: AtomicBool::new(false),
            writes: AtomicBool::new(false),
            state: Mutex::default(),
            wake,
        }
    }

    /// Ends the running statement; an idle session does not notice.
    pub fn cancel(&self, reason: CancelReason) {
        let mut state = self.state.lock();
        if let Some(running) = &state.running {
            running.interrupt();
            state.cancel.get_or_insert(reason);
            self.interrupted.store(true, Ordering::Release);
        }
    }

    /// Ends the session.
    pub fn end(&self, reason: EndReason) {
        let mut state = self.state.lock();
        state.end.get_or_insert(reason);
        self.interrupted.store(true, Ordering::Release);
        if let Some(running) = &state.running {
            running.interrupt();
        }
        drop(state);
        (self.wake)();
    }

    /// Ends the session if it writes.
    pub fn end_writer(&self) {
        if self.writes.load(Ordering::SeqCst) {
            self.end(EndReason::NotLeader);
        }
    }

    /// Says whether the session waits to write, writes, or waits for its commit to hold.
    pub(super) fn set_writes(&self, writes: bool) {
        self.writes.store(writes, Ordering::SeqCst);
    }

    /// Set while the statement or the session is to end.
    pub fn interrupted(&self) -> &AtomicBool {
        &self.interrupted
    }

    /// The error of what is to end, if anything is.
    pub fn check(&self) -> Result<(), SqlError> {
        if !self.interrupted.load(Ordering::Acquire) {
            return Ok(());
        }
        let state = self.state.lock();
        match (state.end, state.cancel) {
            (Some(end), _) => Err(end.error()),
            (None, Some(cancel)) => Err(cancel.error()),
            (None, None) => Ok(()),
        }
    }

    /// Takes a cancel that must not end more than the wait that it found; an end stays.
    pub fn take_cancel(&self) -> Option<CancelReason> {
        if !self.interrupted.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state.lock();
        if state.end.is_none() {
            self.interrupted.store(false, Ordering::Release);
        }
        state.cancel.take()
    }

    /// Why the session is to end, if it is.
    pub fn end_reason(&self) -> Option<EndReason> {
        self.state.lock().end
    }

    /// Statements run from now on; cancelling interrupts that connection.
    pub(super) fn begin(&self, handle: InterruptHandle) {
        self.state.lock().running = Some(handle);
    }

    /// No statement runs any more: a cancel request that comes too late has no effect.
    pub(super) fn finish(&self) {
        let mut state = self.state.lock();
        state.running = None;
        state.cancel = None;
        if state.end.is_none() {
            self.interrupted.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_cancel_has_no_effect_and_an_end_stays() {
        let signals = Signals::new(Box::new(|| {}));
        signals.cancel(CancelReason::User);
        assert!(signals.check().is_ok());
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        signals.begin(connection.get_interrupt_handle());
        signals.cancel(CancelReason::StatementTimeout);
        assert_eq!(signals.check().unwrap_err().state(), SqlState::QUERY_CANCELED);
        signals.finish();
        assert!(signals.check().is_ok());
        signals.end(EndReason::Administrator);
        signals.finish();
        assert!(signals.check().unwrap_err().ends_session());
    }
}
