use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use parking_lot::Mutex;
use walship_types::Timestamp;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendKind {
    /// SQL.
    Client,
    /// Replication commands and streaming.
    WalSender,
}

/// What a session does, in `pg_stat_activity`'s words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackendState {
    /// Waits for the client, outside of a transaction.
    #[default]
    Idle,
    /// Runs a statement.
    Active,
    /// Waits for the client, inside a transaction.
    IdleInTransaction,
    /// As before, and the transaction has failed.
    IdleInTransactionAborted,
}

impl BackendState {
    /// `pg_stat_activity.state`.
    pub fn as_str(self) -> &'static str {
        match self {
            BackendState::Idle => "idle",
            BackendState::Active => "active",
            BackendState::IdleInTransaction => "idle in transaction",
            BackendState::IdleInTransactionAborted => "idle in transaction (aborted)",
        }
    }
}

/// Longest query text that is kept, in bytes: PostgreSQL's `track_activity_query_size`.
pub const QUERY_BYTES_MAX: usize = 1024;

/// The encryption of a connection, as `pg_stat_ssl` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendTls {
    /// `TLSv1.3`.
    pub version: String,
    /// The cipher suite.
    pub cipher: String,
    /// Bits of its key.
    pub bits: i32,
    /// The client certificate's subject, serial number and issuer.
    pub client: Option<[String; 3]>,
}

/// One session, as views show it.
#[derive(Debug, Clone)]
pub struct BackendInfo {
    /// Unique among the node's sessions; not an operating-system process.
    pub pid: i32,
    /// What it is for.
    pub kind: BackendKind,
    /// `None` for a physical replication connection.
    pub database: Option<String>,
    /// As given at start-up.
    pub user: String,
    /// As given at start-up or set since.
    pub application_name: String,
    /// `None` for a Unix socket.
    pub client_address: Option<SocketAddr>,
    /// What encrypts it, if anything does.
    pub tls: Option<BackendTls>,
    /// When it connected.
    pub started: Timestamp,
    /// When its transaction began, if it is in one.
    pub transaction_started: Option<Timestamp>,
    /// When its last statement began.
    pub query_started: Option<Timestamp>,
    /// When `state` changed.
    pub state_changed: Timestamp,
    /// What it does.
    pub state: BackendState,
    /// What it waits for: type and name, as PostgreSQL's wait events.
    pub wait: Option<(&'static str, &'static str)>,
    /// The last statement, cut at [`QUERY_BYTES_MAX`].
    pub query: String,
}

/// Why a session is disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// Ends the running statement (57014).
    Cancel,
    /// Ends the session (57P01).
    Terminate,
    /// Ends the session if it writes (57P01): the node no longer leads.
    StopWriting,
}

/// What a session lets others do to it; called on their threads, so it must not block.
pub type InterruptHook = Arc<dyn Fn(Interrupt) + Send + Sync>;

struct Backend {
    info: BackendInfo,
    key: i32,
    interrupt: InterruptHook,
}

/// Numbers up to here are those of the node's own workers, which are not sessions.
pub const WORKER_PID_MAX: i32 = 15;

/// The node's sessions.
#[derive(Default)]
pub struct Backends {
    next_pid: AtomicI32,
    // protects the map and each session's row; held for a copy at most
    sessions: Mutex<BTreeMap<i32, Backend>>,
}

impl Backends {
    /// Adds a session. Its row goes when the guard is dropped.
    pub fn register(self: &Arc<Self>, start: BackendStart, interrupt: InterruptHook) -> BackendGuard {
        let key: i32 = rand::random();
        let mut sessions = self.sessions.lock();
        let pid = loop {
            // positive and not in use: some tools name things after it
            let pid = self.next_pid.fetch_add(1, Ordering::Relaxed).wrapping_add(1) & i32::MAX;
            if pid > WORKER_PID_MAX && !sessions.contains_key(&pid) {
                break pid;
            }
        };
        let now = Timestamp::now();
        let info = BackendInfo {
            pid,
            kind: start.kind,
            database: start.database,
            user: start.user,
            application_name: start.application_name,
            client_address: start.client_address,
            tls: start.tls,
            started: now,
            transaction_started: None,
            query_started: None,
            state_changed: now,
            state: BackendState::Idle,
            wait: None,
            query: String::new(),
        };
        sessions.insert(pid, Backend { info, key, interrupt });
        drop(sessions);
        BackendGuard { backends: Arc::clone(self), pid, key }
    }

    /// All sessions, by pid.
    pub fn list(&self) -> Vec<BackendInfo> {
        self.sessions.lock().values().map(|b| b.info.clone()).collect()
    }

    /// How many sessions there are of a kind.
    pub fn count(&self, kind: BackendKind) -> usize {
        self.sessions.lock().values().filter(|b| b.info.kind == kind).count()
    }

    /// How many SQL sessions a user has.
    pub fn count_of_user(&self, user: &str) -> usize {
        let sessions = self.sessions.lock();
        sessions.values().filter(|b| b.info.kind == BackendKind::Client && b.info.user == user).count()
    }

    /// How many SQL sessions are connected to a database, other than `except`.
    pub fn connected_to(&self, database: &str, except: i32) -> usize {
        let sessions = self.sessions.lock();
        sessions
            .values()
            .filter(|b| b.info.pid != except && b.info.database.as_deref() == Some(database))
            .count()
    }

    /// A cancel request: does nothing unless pid and key belong together.
    pub fn cancel_request(&self, pid: i32, key: i32) {
        let hook = self.sessions.lock().get(&pid).filter(|b| b.key == key).map(|b| Arc::clone(&b.interrupt));
        if let Some(hook) = hook {
            hook(Interrupt::Cancel);
        }
    }

    /// Disturbs a session; false if there is none with that pid.
    pub fn interrupt(&self, pid: i32, what: Interrupt) -> bool {
        let hook = self.sessions.lock().get(&pid).map(|b| Arc::clone(&b.interrupt));
        hook.inspect(|hook| hook(what)).is_some()
    }

    /// Shows what a session waits for, until the guard is dropped.
    pub fn waiting(self: &Arc<Self>, pid: i32, class: &'static str, name: &'static str) -> WaitShown {
        self.set_wait(pid, Some((class, name)));
        WaitShown { backends: Arc::clone(self), pid }
    }

    fn set_wait(&self, pid: i32, wait: Option<(&'static str, &'static str)>) {
        if let Some(backend) = self.sessions.lock().get_mut(&pid) {
            backend.info.wait = wait;
        }
    }

    /// Disturbs every session of a kind.
    pub fn interrupt_all(&self, kind: BackendKind, what: Interrupt) {
        let sessions = self.sessions.lock();
        let hooks: Vec<_> =
            sessions.values().filter(|b| b.info.kind == kind).map(|b| Arc::clone(&b.interrupt)).collect();
        drop(sessions);
        hooks.iter().for_each(|hook| hook(what));
    }
}

/// What is known of a session when it starts.
#[derive(Debug, Clone)]
pub struct BackendStart {
    /// What it is for.
    pub kind: BackendKind,
    /// `None` for a physical replication connection.
    pub database: Option<String>,
    /// As given at start-up.
    pub user: String,
    /// As given at start-up; may be empty.
    pub application_name: String,
    /// `None` for a Unix socket.
    pub client_address: Option<SocketAddr>,
    /// What encrypts it, if anything does.
    pub tls: Option<BackendTls>,
}

/// A wait that views show; dropping it ends that.
pub struct WaitShown {
    backends: Arc<Backends>,
    pid: i32,
}

impl Drop for WaitShown {
    fn drop(&mut self) {
        self.backends.set_wait(self.pid, None);
    }
}

/// A session's row; dropping it removes the row.
pub struct BackendGuard {
    backends: Arc<Backends>,
    pid: i32,
    key: i32,
}

impl BackendGuard {
    /// The session's number, as BackendKeyData gives it.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The secret that a cancel request has to show.
    pub fn key(&self) -> i32 {
        self.key
    }

    /// Changes the row.
    pub fn update(&self, change: impl FnOnce(&mut BackendInfo)) {
        if let Some(backend) = self.backends.sessions.lock().get_mut(&self.pid) {
            let before = backend.info.state;
            change(&mut backend.info);
            if backend.info.state != before {
                backend.info.state_changed = Timestamp::now();
            }
        }
    }

    /// Notes that a statement begins.
    pub fn statement(&self, query: &str) {
        let mut end = query.len().min(QUERY_BYTES_MAX);
        while !query.is_char_boundary(end) {
            end -= 1;
        }
        let now = Timestamp::now();
        self.update(|info| {
            info.query.clear();
            info.query.push_str(&query[..end]);
            info.query_started = Some(now);
            info.transaction_started.get_or_insert(now);
            info.state = BackendState::Active;
        });
    }
}

impl Drop for BackendGuard {
    fn drop(&mut self) {
        self.backends.sessions.lock().remove(&self.pid);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn only_the_right_key_cancels_and_the_row_goes_with_the_guard() {
        let backends = Arc::new(Backends::default());
        let cancelled = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&cancelled);
        let hook: InterruptHook = Arc::new(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let start = BackendStart {
            kind: BackendKind::Client,
            database: Some("postgres".to_owned()),
            user: "u".to_owned(),
            application_name: String::new(),
            client_address: None,
            tls: None,
        };
        let guard = backends.register(start, hook);
        backends.cancel_request(guard.pid(), guard.key().wrapping_add(1));
        backends.cancel_request(guard.pid() + 1, guard.key());
        assert_eq!(cancelled.load(Ordering::Relaxed), 0);
        backends.cancel_request(guard.pid(), guard.key());
        assert_eq!(cancelled.load(Ordering::Relaxed), 1);
        guard.statement(&"é".repeat(QUERY_BYTES_MAX));
        assert_eq!(backends.list()[0].query.len(), QUERY_BYTES_MAX);
        drop(guard);
        assert!(backends.list().is_empty());
    }
}
