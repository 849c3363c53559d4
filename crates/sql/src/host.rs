//! What a SQL session needs of the node that it runs in, as traits: the session
//! itself is tested without a node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use walship_protocol::wire::StartupParameters;
use walship_settings::{SessionSettings, SynchronousCommit};
use walship_types::Lsn;

use super::error::SqlError;
use super::signals::Signals;
use super::value::PgType;
use crate::roles::{Identity, Privileges, RoleChange};

/// The settings of one session, shared with the SQL functions that read and set them.
pub type SharedSessionSettings = Arc<Mutex<SessionSettings>>;

/// A commit that is in the log, and perhaps not durable yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Logged {
    /// Its end.
    pub end: Lsn,
    /// When it got there; waits for it count from then.
    pub at: Instant,
}

impl Logged {
    /// One that got there just now.
    pub fn now(end: Lsn) -> Logged {
        Logged { end, at: Instant::now() }
    }
}

/// How long a session waits for its turn to write.
#[derive(Debug, Clone, Copy)]
pub struct TurnLimits<'a> {
    /// When `lock_timeout` ends the wait.
    pub deadline: Option<Instant>,
    /// Set when the statement is cancelled.
    pub cancel: &'a AtomicBool,
}

/// One session's access to one database.
pub trait SessionEngine {
    /// The session's own SQLite connection.
    fn connection(&self) -> &rusqlite::Connection;

    /// Takes the turn before a statement that writes; does nothing while it is held.
    fn before_write(&mut self, limits: TurnLimits<'_>) -> Result<(), SqlError>;

    /// Runs a statement that commits by itself, with the turn, and does what [`SessionEngine::after_statement`]
    /// does. `statement` may be run on another session's thread while this one waits, so it must not wait for
    /// anything but the database.
    fn run_queued(
        &mut self,
        limits: TurnLimits<'_>,
        statement: &mut (dyn FnMut() + Send),
    ) -> Result<Option<Logged>, SqlError> {
        self.before_write(limits)?;
        statement();
        self.after_statement()
    }

    /// To be called at the end of every statement, failed ones too: notes what was committed and lets the turn
    /// go when no transaction is open. Where this returns a position, the commit is in the log up to it.
    fn after_statement(&mut self) -> Result<Option<Logged>, SqlError>;

    /// How far the log must be durable before this session's last read may be answered.
    fn read_horizon(&mut self) -> Result<Lsn, SqlError>;

    /// Whether this session keeps others from writing.
    fn holds_turn(&self) -> bool;

    /// As [`SessionEngine::before_write`], for VACUUM, which needs more room in the log than others.
    fn before_vacuum(&mut self, limits: TurnLimits<'_>) -> Result<(), SqlError> {
        self.before_write(limits)
    }

    /// A transaction begins, or a statement outside of one: what `now()` says from here on.
    fn transaction_begins(&mut self) {}

    /// A transaction, or a statement outside of one, has ended.
    fn transaction_ended(&mut self, _committed: bool) {}

    /// The error of the SQL function that made the last statement fail, if it was one: SQLite carries only
    /// its message.
    fn take_function_failure(&mut self) -> Option<SqlError> {
        None
    }
}

/// Where a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAddress {
    /// Over TCP, from there.
    Tcp(SocketAddr),
    /// Over a Unix socket.
    Local,
}

/// What a session is told apart by.
#[derive(Debug, Clone)]
pub struct SessionStart {
    /// What the client asked for.
    pub parameters: StartupParameters,
    /// Where it comes from.
    pub client: ClientAddress,
    /// Who it is.
    pub identity: Identity,
    /// Unique among the node's sessions.
    pub pid: i32,
    /// Its settings, with those of the start-up message.
    pub settings: SharedSessionSettings,
    /// How it is cancelled; SQL functions that wait have to look at it.
    pub signals: Arc<Signals>,
}

/// What a session does, for `pg_stat_activity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity<'a> {
    /// Runs this statement.
    Running(&'a str),
    /// Waits for the client, outside of a transaction.
    Idle,
    /// Waits for the client, inside a transaction.
    IdleInTransaction,
    /// As before, and the transaction has failed.
    IdleInFailedTransaction,
}

/// A session's entry among the node's; it goes when this is dropped.
pub trait Registration: Send {
    /// The session's number, as BackendKeyData gives it.
    fn pid(&self) -> i32;

    /// The secret that a cancel request has to show.
    fn key(&self) -> i32;

    /// Notes what the session does.
    fn activity(&self, activity: Activity<'_>);

    /// Notes a change of `application_name`.
    fn renamed(&self, application_name: &str);
}

/// The node, as its SQL sessions see it. Called from many threads.
pub trait SessionHost: Send + Sync {
    /// Whether sessions are let in; the error is FATAL 57P03 while starting or stopping.
    fn admit(&self) -> Result<(), SqlError>;

    /// Adds a session, so that it can be seen, cancelled and ended; FATAL 53300 when there are too many.
    fn register(
        &self,
        parameters: &StartupParameters,
        client: ClientAddress,
        identity: &Identity,
        signals: Arc<Signals>,
    ) -> Result<Box<dyn Registration>, SqlError>;

    /// A cancel request: does nothing unless pid and key belong together.
    fn cancel(&self, pid: i32, key: i32);

    /// Settings of a new session.
    fn settings(&self, identity: &Identity) -> SessionSettings;

    /// What a session may do now: roles can change while it runs.
    fn privileges(&self, _start: &SessionStart) -> Privileges {
        Privileges::ALL
    }

    /// CREATE ROLE, ALTER ROLE, DROP ROLE, GRANT, REVOKE; where to wait for, `None` if nothing changed.
    fn change_roles(
        &self,
        change: &RoleChange,
        start: &SessionStart,
        limits: TurnLimits<'_>,
    ) -> Result<Option<Lsn>, SqlError>;

    /// Opens the database that the session asked for; FATAL 3D000 if there is none.
    /// Called on the session's thread, again for every `DISCARD ALL`.
    fn open(&self, start: &SessionStart) -> Result<Box<dyn SessionEngine>, SqlError>;

    /// Waits until a commit may be acknowledged at `level`. An error with the severity
    /// of a warning is shown, and the commit acknowledged; any other means that it must not be.
    fn wait_for_commit(
        &self,
        commit: Logged,
        level: SynchronousCommit,
        start: &SessionStart,
    ) -> Result<(), SqlError>;

    /// Waits until the log is durable up to there.
    fn wait_for_flush(&self, lsn: Lsn, start: &SessionStart) -> Result<(), SqlError>;

    /// Waits until a follower has replayed up to there; `false` when the time is over.
    fn wait_for_replay(
        &self,
        lsn: Lsn,
        timeout: Option<Duration>,
        start: &SessionStart,
    ) -> Result<bool, SqlError>;

    /// Type of the result of one of walship's own SQL functions.
    fn function_type(&self, name: &str) -> Option<PgType>;

    /// `CREATE DATABASE`; where to wait for.
    fn create_database(&self, name: &str, page_size: Option<u32>) -> Result<Lsn, SqlError>;

    /// `DROP DATABASE`; where to wait for, `None` if there was none and `if_exists`.
    fn drop_database(&self, name: &str, if_exists: bool) -> Result<Option<Lsn>, SqlError>;

    /// `CHECKPOINT`: returns when it is done.
    fn checkpoint(&self) -> Result<(), SqlError>;

    /// `ALTER SYSTEM`; no value resets, no name resets all.
    fn alter_system(&self, name: Option<&str>, value: Option<&str>) -> Result<(), SqlError>;

    /// FATAL 57P01 for a session that was opened while the node led, and would write now that
    /// it does not: whoever keeps such a connection in a pool has to make another one.
    fn leads_no_more(&self, _start: &SessionStart) -> Option<SqlError> {
        None
    }

    /// What goes with 25006: on a follower, where the leader is.
    fn read_only_hint(&self) -> Option<String>;
}
