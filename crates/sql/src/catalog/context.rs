use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;
use walship_settings::SessionSettings;
use walship_types::{Lsn, Timestamp};

use crate::SqlError;
use crate::roles::BOOTSTRAP_OID;

/// What the catalog's functions know of the session that calls them.
///
/// Shared by the session's statement loop and the functions registered on its connection; both are on one thread, the
/// locks are never contended.
#[derive(Debug)]
pub struct SessionContext {
    /// The session's number, as `BackendKeyData` told the client.
    pub pid: i32,
    /// The user.
    pub user: String,
    /// The role whose privileges it has.
    pub role: u32,
    /// The database.
    pub database: String,
    /// The client's address; `None` over a Unix socket.
    pub client: Option<SocketAddr>,
    /// Our end of the connection.
    pub server: Option<SocketAddr>,
    /// What the session has set.
    pub settings: Arc<Mutex<SessionSettings>>,
    /// SQLite carries only a message through a failed function; the rest of the error waits here.
    failure: Mutex<Option<SqlError>>,
    /// What `now()` answers, in microseconds since 2000-01-01 UTC; 0 outside a transaction.
    transaction_started_at: AtomicI64,
    /// End of the record of the session's last commit; 0 before the first.
    last_commit: AtomicU64,
}

impl SessionContext {
    /// A session that has just connected.
    pub fn new(
        pid: i32,
        database: impl Into<String>,
        settings: Arc<Mutex<SessionSettings>>,
        ends: Option<(SocketAddr, SocketAddr)>,
    ) -> SessionContext {
        let user = settings.lock().identity().user.clone();
        SessionContext {
            pid,
            user,
            role: BOOTSTRAP_OID,
            database: database.into(),
            client: ends.map(|(client, _)| client),
            server: ends.map(|(_, server)| server),
            settings,
            failure: Mutex::new(None),
            transaction_started_at: AtomicI64::new(0),
            last_commit: AtomicU64::new(0),
        }
    }

    /// The same for another role.
    pub fn with_role(self, role: u32) -> SessionContext {
        SessionContext { role, ..self }
    }

    /// The error of the catalog function that made the last statement fail, if it was one. Take it after every failed
    /// statement: its SQLSTATE and hint go to the client instead of SQLite's generic error.
    pub fn take_failure(&self) -> Option<SqlError> {
        self.failure.lock().take()
    }

    pub(crate) fn fail(&self, error: SqlError) {
        *self.failure.lock() = Some(error);
    }

    /// A transaction (or a statement outside one) begins: what `now()` answers until the next call.
    pub fn set_transaction_start(&self, at: Timestamp) {
        self.transaction_started_at.store(at.0, Ordering::Relaxed);
    }

    /// A commit of this session ends at `lsn` in the log: what to wait for on a follower to read it there.
    pub fn set_last_commit(&self, lsn: Lsn) {
        self.last_commit.store(lsn.0, Ordering::Relaxed);
    }

    pub(crate) fn last_commit(&self) -> Lsn {
        Lsn(self.last_commit.load(Ordering::Relaxed))
    }

    pub(crate) fn transaction_start(&self) -> Timestamp {
        match self.transaction_started_at.load(Ordering::Relaxed) {
            0 => Timestamp::now(),
            at => Timestamp(at),
        }
    }
}
