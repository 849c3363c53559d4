use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use walship_engine::{Answers, EngineError, EngineErrorKind, Session, StatementEnd, WaitLimits};
use walship_node::{
    BackendGuard, BackendKind, BackendStart, BackendState, BackendTls, Interrupt, Slots, WaitShown,
    check_slot_name,
};
use walship_protocol::wire::StartupParameters;
use walship_replication::ServerPhase;
use walship_settings::{AutoConf, SessionIdentity, SessionSettings, SynchronousCommit, Typed as _};
use walship_sql::ClientAddress;
use walship_sql::catalog::{self, SessionContext, TURN_WAIT};
use walship_sql::roles::{Identity, Privileges, RoleChange, TlsSession};
use walship_sql::{
    Activity, CancelReason, EndReason, Logged, PgType, Registration, SessionEngine, SessionHost,
    SessionStart, Severity, Signals, SqlError, SqlState, TurnLimits, role_tag,
};
use walship_types::{DatabaseName, Lsn, PageSize, Timestamp};
use walship_wal::{PositionWatch, WaitOutcome};

use super::Host;
use crate::access::{ChangedBy, StoreError};
use crate::run::Node;
use crate::run::fence::describe;
use crate::run::log::NodeLog;

impl SessionHost for Host {
    fn admit(&self) -> Result<(), SqlError> {
        // copied, so that the borrow ends here
        let phase = *self.phase.borrow();
        match phase {
            ServerPhase::Running => Ok(()),
            _ => Err(SqlError::fatal(SqlState::CANNOT_CONNECT_NOW, "the database system is shutting down")),
        }
    }

    fn register(
        &self,
        parameters: &StartupParameters,
        client: ClientAddress,
        identity: &Identity,
        signals: Arc<Signals>,
    ) -> Result<Box<dyn Registration>, SqlError> {
        self.check_room(identity)?;
        let start = BackendStart {
            kind: BackendKind::Client,
            database: parameters.database().map(str::to_owned),
            user: identity.user.clone(),
            application_name: parameters.application_name().to_owned(),
            client_address: tcp_address(client),
            tls: identity.tls.as_deref().map(backend_tls),
        };
        let hook = move |interrupt| match interrupt {
            Interrupt::Cancel => signals.cancel(CancelReason::User),
            Interrupt::Terminate => signals.end(EndReason::Administrator),
            Interrupt::StopWriting => signals.end_writer(),
        };
        let backend = self.backends.register(start, Arc::new(hook));
        Ok(Box::new(NodeRegistration { backend, slots: Arc::clone(&self.slots) }))
    }

    fn cancel(&self, pid: i32, key: i32) {
        self.backends.cancel_request(pid, key);
    }

    fn settings(&self, identity: &Identity) -> SessionSettings {
        let identity = SessionIdentity { user: identity.user.clone(), superuser: identity.superuser };
        SessionSettings::new(Arc::clone(&self.settings), identity)
    }

    fn privileges(&self, start: &SessionStart) -> Privileges {
        self.privileges_of(start.identity.role, start.parameters.database().unwrap_or_default())
    }

    fn change_roles(
        &self,
        change: &RoleChange,
        start: &SessionStart,
        limits: TurnLimits<'_>,
    ) -> Result<Option<Lsn>, SqlError> {
        if let RoleChange::Grant { database: Some(database), .. } = change {
            check_connectable(database)?;
            self.databases.get(database).map_err(|e| engine_error(self, &e))?;
        }
        let by = ChangedBy { role: start.identity.role, privileges: SessionHost::privileges(self, start) };
        let changed = self.roles.change(change, by, &wait_limits(limits));
        let lsn = changed.map_err(|error| role_error(self, &error))?;
        tracing::info!(
            event = "roles_changed",
            by = start.identity.user,
            change = role_tag(change),
            "roles changed"
        );
        Ok(lsn)
    }

    fn open(&self, start: &SessionStart) -> Result<Box<dyn SessionEngine>, SqlError> {
        let name = start.parameters.database().unwrap_or_default();
        check_connectable(name).map_err(|error| error.with_severity(Severity::Fatal))?;
        let mut session = self
            .databases
            .session(name)
            .map_err(|e| engine_error(self, &e).with_severity(Severity::Fatal))?;
        if SessionHost::privileges(self, start).level.is_none() {
            return Err(SqlError::fatal(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied for database \"{name}\""),
            )
            .with_detail("User does not have CONNECT privilege."));
        }
        session.set_number(start.pid);
        let context = SessionContext::new(start.pid, name, Arc::clone(&start.settings), None);
        let context = Arc::new(context.with_role(start.identity.role));
        catalog::install(session.connection(), Arc::new(self.clone()), Arc::clone(&context))
            .map_err(|e| SqlError::fatal(SqlState::INTERNAL_ERROR, e.to_string()))?;
        let start = start.clone();
        Ok(Box::new(NodeSession { node: Arc::clone(self), session, context, start }))
    }

    fn wait_for_commit(
        &self,
        commit: Logged,
        level: SynchronousCommit,
        start: &SessionStart,
    ) -> Result<(), SqlError> {
        // what followers have was flushed here before: the wait for them is the only one
        let followers = self.ask_followers(level).map(|released| {
            if let NodeLog::Leader(writer) = self.log() {
                writer.begin_flush(commit.end);
            }
            self.wait_for_followers(commit, &released, start)
        });
        if level != SynchronousCommit::Off {
            self.wait_for_flush(commit.end, start)?;
        }
        self.note_commit(commit.end);
        match followers {
            Some(released) => released?,
            None if level != SynchronousCommit::Off => self.commit_waits.flush.observe(commit.at.elapsed()),
            None => {}
        }
        self.check_not_fenced()
    }

    fn wait_for_flush(&self, lsn: Lsn, _start: &SessionStart) -> Result<(), SqlError> {
        let NodeLog::Leader(writer) = self.log() else { return Ok(()) };
        // not ended by a cancel: the commit has happened, and only its flush can tell of it
        writer.flush(lsn).map_err(|error| {
            SqlError::new(SqlState::IO_ERROR, format!("the commit at {lsn} is not durable: {error}"))
                .with_severity(Severity::Fatal)
        })
    }

    fn wait_for_replay(
        &self,
        lsn: Lsn,
        timeout: Option<Duration>,
        start: &SessionStart,
    ) -> Result<bool, SqlError> {
        let log = self.log();
        let Some(replay) = log.replay() else {
            let end = log.positions().insert.get();
            // a client may be led anywhere: what the leader has is visible there
            if matches!(log, NodeLog::Leader(_)) && lsn <= end {
                return Ok(true);
            }
            return Err(SqlError::new(
                SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
                "recovery is not in progress",
            )
            .with_detail(format!("The log of this server ends at {end}, before {lsn}."))
            .with_hint("WAIT FOR LSN waits for replay on a follower"));
        };
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let _shown = self.backends.waiting(start.pid, "IPC", "WaitForWalReplay");
        match wait(&replay, lsn, deadline, &start.signals) {
            WaitOutcome::Reached => Ok(true),
            WaitOutcome::TimedOut => Ok(false),
            WaitOutcome::Cancelled => {
                start.signals.check()?;
                Ok(false)
            }
            WaitOutcome::Closed => {
                Err(SqlError::new(SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "replay has ended")
                    .with_detail(replay.closed_reason().unwrap_or_default()))
            }
        }
    }

    fn function_type(&self, name: &str) -> Option<PgType> {
        catalog::type_of_function(name).map(PgType::announced)
    }

    fn create_database(&self, name: &str, page_size: Option<u32>) -> Result<Lsn, SqlError> {
        let name = database_name(name)?;
        check_connectable(name.as_str())?;
        let size = match page_size {
            None => self.control.get().default_page_size,
            Some(bytes) => PageSize::new(bytes)
                .map_err(|e| SqlError::new(SqlState::INVALID_PARAMETER_VALUE, e.to_string()))?,
        };
        self.databases.create(&name, size).map_err(|e| engine_error(self, &e))
    }

    fn drop_database(&self, name: &str, if_exists: bool) -> Result<Option<Lsn>, SqlError> {
        let name = database_name(name)?;
        check_connectable(name.as_str())?;
        match self.databases.drop_database(&name) {
            Ok(lsn) => Ok(Some(lsn)),
            Err(EngineError::DatabaseDoesNotExist { .. }) if if_exists => Ok(None),
            Err(error) => Err(engine_error(self, &error)),
        }
    }

    fn checkpoint(&self) -> Result<(), SqlError> {
        self.checkpoints.request_and_wait(true).map_err(|error| {
            SqlError::new(SqlState::INTERNAL_ERROR, format!("checkpoint request failed: {error}"))
                .with_hint("the server's log has the details")
        })
    }

    fn alter_system(&self, name: Option<&str>, value: Option<&str>) -> Result<(), SqlError> {
        let failed = |e: walship_settings::AutoConfError| SqlError::new(SqlState::IO_ERROR, e.to_string());
        let mut file = AutoConf::read(self.directory.root()).map_err(failed)?;
        match (name, value) {
            (None, _) => file.reset_all(),
            (Some(name), None) => file.reset(name).map_err(SqlError::from)?,
            (Some(name), Some(value)) => {
                if name.eq_ignore_ascii_case("primary_slot_name") && !value.is_empty() {
                    check_slot_name(value).map_err(|e| {
                        SqlError::new(SqlState::INVALID_PARAMETER_VALUE, e.to_string())
                            .with_hint(e.hint().unwrap_or_default())
                    })?;
                }
                file.set(name, value).map_err(SqlError::from)?;
            }
        }
        file.save(self.directory.root()).map_err(failed)
    }

    fn read_only_hint(&self) -> Option<String> {
        Node::read_only_hint(self)
    }

    fn leads_no_more(&self, start: &SessionStart) -> Option<SqlError> {
        Node::leads_no_more(self, start)
    }
}

impl Node {
    /// Whether one more session fits, for whom.
    fn check_room(&self, identity: &Identity) -> Result<(), SqlError> {
        let too_many = |message: String| SqlError::fatal(SqlState::TOO_MANY_CONNECTIONS, message);
        let settings = self.settings();
        let (max, reserved) =
            (settings.count("max_connections"), settings.count("superuser_reserved_connections"));
        let there = self.backends.count(BackendKind::Client);
        if there >= max {
            return Err(too_many("sorry, too many clients already".to_owned())
                .with_hint(format!("max_connections is {max}")));
        }
        if !identity.superuser && there >= max.saturating_sub(reserved) {
            let message = "remaining connection slots are reserved for non-replication superuser connections";
            return Err(too_many(message.to_owned())
                .with_hint(format!("max_connections is {max}, superuser_reserved_connections {reserved}")));
        }
        let limit = self.roles.current().by_oid(identity.role).map_or(-1, |role| role.connection_limit);
        if let Ok(limit) = usize::try_from(limit)
            && !identity.superuser
            && self.backends.count_of_user(&identity.user) >= limit
        {
            return Err(too_many(format!("too many connections for role \"{}\"", identity.user)));
        }
        Ok(())
    }

    /// What a role may do in a database now.
    pub(super) fn privileges_of(&self, role: u32, database: &str) -> Privileges {
        let roles = self.roles.current();
        roles.by_oid(role).map_or(Privileges::NONE, |role| Privileges::of(role, database))
    }

    /// Where writes go, on a follower.
    pub(crate) fn read_only_hint(&self) -> Option<String> {
        if let Some(fence) = self.failover.fence() {
            return Some(format!("this node was fenced: {}", describe(&fence)));
        }
        if !self.is_follower() {
            return None;
        }
        let receiver = self.receiver.get();
        Some(match (receiver.sender_host, receiver.sender_port) {
            (Some(host), Some(port)) => format!("this is a follower; connect to the leader at {host}:{port}"),
            _ => format!(
                "this is a follower; it looks for its leader at \"{}\"",
                self.settings().text("primary_conninfo")
            ),
        })
    }
}

fn wait(watch: &PositionWatch, lsn: Lsn, deadline: Option<Instant>, signals: &Signals) -> WaitOutcome {
    let interrupted = || signals.interrupted().load(Ordering::Acquire);
    watch.wait_blocking(lsn, deadline, interrupted)
}

fn tcp_address(client: ClientAddress) -> Option<SocketAddr> {
    match client {
        ClientAddress::Tcp(address) => Some(address),
        ClientAddress::Local => None,
    }
}

/// What pg_stat_ssl shows of a handshake.
pub(super) fn backend_tls(tls: &TlsSession) -> BackendTls {
    BackendTls {
        version: tls.version.to_owned(),
        cipher: tls.cipher.clone(),
        bits: tls.bits,
        client: tls.client.as_ref().map(|c| [c.subject.clone(), c.serial.clone(), c.issuer.clone()]),
    }
}

/// 55000 for the database that holds the roles: nobody reads verifiers in it.
pub(super) fn check_connectable(name: &str) -> Result<(), SqlError> {
    if name != DatabaseName::shared_catalog().as_str() {
        return Ok(());
    }
    Err(SqlError::new(
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("database \"{name}\" is not currently accepting connections"),
    )
    .with_hint("It holds the cluster's roles; pg_roles shows them, CREATE ROLE and ALTER ROLE change them."))
}

fn role_error(node: &Node, error: &StoreError) -> SqlError {
    match error {
        StoreError::Engine(error) => engine_error(node, error),
        StoreError::Sqlite(_) => SqlError::new(SqlState::INTERNAL_ERROR, error.to_string()),
        StoreError::Change(change) => {
            let told = SqlError::new(SqlState::new(change.sqlstate()), change.to_string());
            match change.hint() {
                Some(hint) => told.with_hint(hint),
                None => told,
            }
        }
    }
}

fn database_name(name: &str) -> Result<DatabaseName, SqlError> {
    name.parse()
        .map_err(|e: walship_types::InvalidDatabaseName| SqlError::new(SqlState::INVALID_NAME, e.to_string()))
}

/// One session's database, with the node's functions and views on its connection.
struct NodeSession {
    node: Arc<Node>,
    session: Session,
    context: Arc<SessionContext>,
    start: SessionStart,
}

impl NodeSession {
    /// Tells the engine whether readers have to wait for what is about to be written.
    fn follow_settings(&mut self) {
        let level = self.start.settings.lock().synchronous_commit();
        self.session.set_answers(match (level, self.node.ask_followers(level)) {
            (SynchronousCommit::Off, _) => Answers::AtOnce,
            (_, None) => Answers::WhenFlushed,
            (_, Some(released)) => Answers::WhenReached(released),
        });
    }

    fn note_end(&self, end: Result<StatementEnd, EngineError>) -> Result<Option<Logged>, SqlError> {
        let end = end.map_err(|e| self.write_error(&e))?;
        let commit = end.commit.zip(end.logged_at).map(|(end, at)| Logged { end, at });
        if let Some(commit) = commit {
            self.context.set_last_commit(commit.end);
        }
        Ok(commit)
    }

    /// Shows that the session waits for its turn, if it is going to.
    fn shown_waiting(&self) -> Option<WaitShown> {
        let (class, name) = TURN_WAIT;
        self.session.would_wait().then(|| self.node.backends.waiting(self.start.pid, class, name))
    }
}

impl NodeSession {
    fn write_error(&self, error: &EngineError) -> SqlError {
        let gone = (error.kind() == EngineErrorKind::ReadOnly).then(|| self.node.leads_no_more(&self.start));
        gone.flatten().unwrap_or_else(|| engine_error(&self.node, error))
    }
}

fn wait_limits(limits: TurnLimits<'_>) -> WaitLimits<'_> {
    WaitLimits { deadline: limits.deadline, cancel: limits.cancel }
}

impl SessionEngine for NodeSession {
    fn connection(&self) -> &Connection {
        self.session.connection()
    }

    fn before_write(&mut self, limits: TurnLimits<'_>) -> Result<(), SqlError> {
        self.follow_settings();
        let _shown = self.shown_waiting();
        self.session.before_write(&wait_limits(limits)).map_err(|e| self.write_error(&e))
    }

    fn run_queued(
        &mut self,
        limits: TurnLimits<'_>,
        statement: &mut (dyn FnMut() + Send),
    ) -> Result<Option<Logged>, SqlError> {
        self.follow_settings();
        let _shown = self.shown_waiting();
        let end = self.session.run_queued(&wait_limits(limits), statement);
        self.note_end(end)
    }

    fn before_vacuum(&mut self, limits: TurnLimits<'_>) -> Result<(), SqlError> {
        self.follow_settings();
        let _shown = self.shown_waiting();
        self.session.before_vacuum(&wait_limits(limits)).map_err(|e| self.write_error(&e))
    }

    fn transaction_ended(&mut self, committed: bool) {
        self.session.database().count_transaction(committed);
    }

    fn transaction_begins(&mut self) {
        self.context.set_transaction_start(Timestamp::now());
    }

    fn take_function_failure(&mut self) -> Option<SqlError> {
        self.context.take_failure()
    }

    fn after_statement(&mut self) -> Result<Option<Logged>, SqlError> {
        let end = self.session.after_statement();
        self.note_end(end)
    }

    fn read_horizon(&mut self) -> Result<Lsn, SqlError> {
        let limits = WaitLimits { deadline: None, cancel: self.start.signals.interrupted() };
        self.session.read_horizon(&limits).map_err(|e| engine_error(&self.node, &e))
    }

    fn holds_turn(&self) -> bool {
        self.session.holds_turn()
    }
}

/// The engine's errors in PostgreSQL's codes.
pub(super) fn engine_error(node: &Node, error: &EngineError) -> SqlError {
    let state = match error.kind() {
        EngineErrorKind::DoesNotExist => SqlState::INVALID_CATALOG_NAME,
        EngineErrorKind::AlreadyExists => SqlState::DUPLICATE_DATABASE,
        EngineErrorKind::InUse => SqlState::OBJECT_IN_USE,
        EngineErrorKind::ReadOnly => SqlState::READ_ONLY_SQL_TRANSACTION,
        EngineErrorKind::LockTimeout => SqlState::LOCK_NOT_AVAILABLE,
        EngineErrorKind::Cancelled => SqlState::QUERY_CANCELED,
        EngineErrorKind::Serialization => SqlState::SERIALIZATION_FAILURE,
        EngineErrorKind::NoSpace => SqlState::DISK_FULL,
        EngineErrorKind::Corrupt => SqlState::DATA_CORRUPTED,
        EngineErrorKind::Closed => SqlState::CANNOT_CONNECT_NOW,
        _ => SqlState::INTERNAL_ERROR,
    };
    let read_only = || node.read_only_hint().filter(|_| error.kind() == EngineErrorKind::ReadOnly);
    let shown = SqlError::new(state, error.to_string());
    match error.hint().or_else(read_only) {
        Some(hint) => shown.with_hint(hint),
        None => shown,
    }
}

/// A session's row among the node's.
struct NodeRegistration {
    backend: BackendGuard,
    slots: Arc<Slots>,
}

impl Drop for NodeRegistration {
    fn drop(&mut self) {
        self.slots.drop_temporary(self.backend.pid());
    }
}

impl Registration for NodeRegistration {
    fn pid(&self) -> i32 {
        self.backend.pid()
    }

    fn key(&self) -> i32 {
        self.backend.key()
    }

    fn activity(&self, activity: Activity<'_>) {
        match activity {
            Activity::Running(query) => self.backend.statement(query),
            Activity::Idle => self.backend.update(|info| {
                info.state = BackendState::Idle;
                info.transaction_started = None;
            }),
            Activity::IdleInTransaction => {
                self.backend.update(|info| info.state = BackendState::IdleInTransaction);
            }
            Activity::IdleInFailedTransaction => {
                // what it did is undone: as in PostgreSQL it is in no transaction
                self.backend.update(|info| {
                    info.state = BackendState::IdleInTransactionAborted;
                    info.transaction_started = None;
                });
            }
        }
    }

    fn renamed(&self, application_name: &str) {
        self.backend.update(|info| application_name.clone_into(&mut info.application_name));
    }
}
