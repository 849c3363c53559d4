//! A host of SQL sessions that has SQLite and nothing else: no log, no followers.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use walship_protocol::wire::StartupParameters;
use walship_server::access::Access;
use walship_server::listen::{ListenConfig, Listener, ReplicationConnection, ReplicationHandler};
use walship_settings::{SessionIdentity, SessionSettings, Settings, SharedSettings, SynchronousCommit};
use walship_sql::ClientAddress;
use walship_sql::roles::{Identity, RoleChange};
use walship_sql::{
    Activity, CancelReason, Logged, PgType, Registration, SessionEngine, SessionHost, SessionStart, Signals,
    SqlError, SqlState, TurnLimits,
};
use walship_types::Lsn;

/// The right to write, handed from session to session.
#[derive(Default)]
struct Turn {
    taken: Mutex<bool>,
    free: Condvar,
}

struct PlainEngine {
    connection: rusqlite::Connection,
    turn: Arc<Turn>,
    holds: bool,
}

impl SessionEngine for PlainEngine {
    fn connection(&self) -> &rusqlite::Connection {
        &self.connection
    }

    fn before_write(&mut self, limits: TurnLimits<'_>) -> Result<(), SqlError> {
        let mut taken = self.turn.taken.lock().unwrap();
        while *taken && !self.holds {
            if limits.cancel.load(Ordering::Acquire) {
                return Err(SqlError::new(SqlState::QUERY_CANCELED, "cancelled"));
            }
            if limits.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(SqlError::new(SqlState::LOCK_NOT_AVAILABLE, "no turn"));
            }
            taken = self.turn.free.wait_timeout(taken, Duration::from_millis(2)).unwrap().0;
        }
        *taken = true;
        self.holds = true;
        Ok(())
    }

    fn after_statement(&mut self) -> Result<Option<Logged>, SqlError> {
        if self.holds && self.connection.is_autocommit() {
            self.let_go();
        }
        Ok(None)
    }

    fn read_horizon(&mut self) -> Result<Lsn, SqlError> {
        Ok(Lsn::INVALID)
    }

    fn holds_turn(&self) -> bool {
        self.holds
    }
}

impl PlainEngine {
    fn let_go(&mut self) {
        if std::mem::take(&mut self.holds) {
            *self.turn.taken.lock().unwrap() = false;
            self.turn.free.notify_one();
        }
    }
}

impl Drop for PlainEngine {
    fn drop(&mut self) {
        self.let_go();
    }
}

struct PlainHost {
    path: PathBuf,
    turn: Arc<Turn>,
    settings: Arc<SharedSettings>,
    pids: AtomicI32,
    sessions: Arc<Mutex<HashMap<i32, Arc<Signals>>>>,
}

struct Entry {
    pid: i32,
    sessions: Arc<Mutex<HashMap<i32, Arc<Signals>>>>,
}

impl Registration for Entry {
    fn pid(&self) -> i32 {
        self.pid
    }

    fn key(&self) -> i32 {
        self.pid ^ 0x5a5a
    }

    fn activity(&self, _activity: Activity<'_>) {}

    fn renamed(&self, _application_name: &str) {}
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.sessions.lock().unwrap().remove(&self.pid);
    }
}

/// Dropping a database of this name is a defect of the host.
pub(crate) const FAILS: &str = "fails";

fn not_here() -> SqlError {
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "this host is only SQLite")
}

impl SessionHost for PlainHost {
    fn admit(&self) -> Result<(), SqlError> {
        Ok(())
    }

    fn register(
        &self,
        _parameters: &StartupParameters,
        _client: ClientAddress,
        _identity: &Identity,
        signals: Arc<Signals>,
    ) -> Result<Box<dyn Registration>, SqlError> {
        let pid = self.pids.fetch_add(1, Ordering::Relaxed) + 1;
        self.sessions.lock().unwrap().insert(pid, signals);
        Ok(Box::new(Entry { pid, sessions: Arc::clone(&self.sessions) }))
    }

    fn cancel(&self, pid: i32, key: i32) {
        if key == pid ^ 0x5a5a
            && let Some(signals) = self.sessions.lock().unwrap().get(&pid)
        {
            signals.cancel(CancelReason::User);
        }
    }

    fn settings(&self, identity: &Identity) -> SessionSettings {
        SessionSettings::new(
            Arc::clone(&self.settings),
            SessionIdentity { user: identity.user.clone(), superuser: identity.superuser },
        )
    }

    fn open(&self, start: &SessionStart) -> Result<Box<dyn SessionEngine>, SqlError> {
        if start.parameters.database() != Some("postgres") {
            return Err(SqlError::fatal(SqlState::INVALID_CATALOG_NAME, "no such database"));
        }
        let connection = rusqlite::Connection::open(&self.path).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        Ok(Box::new(PlainEngine { connection, turn: Arc::clone(&self.turn), holds: false }))
    }

    fn wait_for_commit(
        &self,
        _commit: Logged,
        _level: SynchronousCommit,
        _start: &SessionStart,
    ) -> Result<(), SqlError> {
        Ok(())
    }

    fn wait_for_flush(&self, _lsn: Lsn, _start: &SessionStart) -> Result<(), SqlError> {
        Ok(())
    }

    fn wait_for_replay(
        &self,
        _lsn: Lsn,
        _timeout: Option<Duration>,
        _start: &SessionStart,
    ) -> Result<bool, SqlError> {
        Err(not_here())
    }

    fn function_type(&self, _name: &str) -> Option<PgType> {
        None
    }

    fn create_database(&self, _name: &str, _page_size: Option<u32>) -> Result<Lsn, SqlError> {
        Err(not_here())
    }

    fn drop_database(&self, name: &str, _if_exists: bool) -> Result<Option<Lsn>, SqlError> {
        assert_ne!(name, FAILS, "the session was asked to fail");
        Err(not_here())
    }

    fn change_roles(
        &self,
        _change: &RoleChange,
        _start: &SessionStart,
        _limits: TurnLimits<'_>,
    ) -> Result<Option<Lsn>, SqlError> {
        Err(not_here())
    }

    fn checkpoint(&self) -> Result<(), SqlError> {
        Ok(())
    }

    fn alter_system(&self, _name: Option<&str>, _value: Option<&str>) -> Result<(), SqlError> {
        Err(not_here())
    }

    fn read_only_hint(&self) -> Option<String> {
        None
    }
}

struct NoReplication;

impl ReplicationHandler for NoReplication {
    fn serve(&self, _connection: ReplicationConnection) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async {})
    }
}

/// A listening server; it stops when dropped.
pub(crate) struct Server {
    port: u16,
    _stop: watch::Sender<bool>,
    _directory: tempfile::TempDir,
}

impl Server {
    /// Listens on a free port.
    pub(crate) async fn start() -> Server {
        let directory = tempfile::tempdir().unwrap();
        let config = ListenConfig {
            addresses: vec!["127.0.0.1:0".parse().unwrap()],
            unix_directories: vec![directory.path().to_owned()],
            port: 5433,
            authentication_timeout: Duration::from_secs(60),
            access: Arc::new(Access::unguarded()),
        };
        let listener = Listener::bind(&config).await.unwrap();
        let port = listener.addresses()[0].port();
        let host = Arc::new(PlainHost {
            path: directory.path().join("postgres.db"),
            turn: Arc::default(),
            settings: Arc::new(SharedSettings::new(Settings::defaults())),
            pids: AtomicI32::new(0),
            sessions: Arc::default(),
        });
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(listener.run(host, Arc::new(NoReplication), stopped));
        Server { port, _stop: stop, _directory: directory }
    }

    /// The TCP port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}
