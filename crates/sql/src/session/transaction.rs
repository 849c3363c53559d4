use std::io::{Read, Write};
use std::time::Instant;

use walship_protocol::wire::{self, SqlState, TransactionStatus};
use walship_settings::{Scope, Typed};

use super::{Session, Stop};
use crate::command::{Command, TransactionModes};
use crate::error::SqlError;
use crate::host::{SessionStart, TurnLimits};
use crate::roles::Level;
use crate::sqlite_error::sql_error;
use crate::statement::{SqliteFailure, Statement};

/// How a transaction was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Block {
    /// Each statement is its own.
    #[default]
    None,
    /// By several statements that were sent together; ends with them.
    Implicit,
    /// By BEGIN.
    Explicit,
}

/// Where the session stands between BEGIN and COMMIT.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    block: Block,
    failed: bool,
    savepoints: Vec<String>,
    /// READ ONLY, or READ WRITE, where the transaction said it.
    read_only: Option<bool>,
}

impl Transaction {
    pub(super) fn status(&self) -> TransactionStatus {
        match (self.block, self.failed) {
            (Block::None | Block::Implicit, _) => TransactionStatus::Idle,
            (Block::Explicit, false) => TransactionStatus::InTransaction,
            (Block::Explicit, true) => TransactionStatus::Failed,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.block != Block::None
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    pub(super) fn is_explicit(&self) -> bool {
        self.block == Block::Explicit
    }
}

impl<S: Read + Write> Session<S> {
    /// Runs a statement of ours that has no result.
    pub(super) fn run_internal(&mut self, sql: &str) -> Result<(), SqlError> {
        let statement =
            Statement::prepare(self.engine.connection(), sql).map_err(|failure| sql_error(&failure))?;
        if let Some(mut statement) = statement {
            while statement.step().map_err(|failure| sql_error(&failure))? {}
        }
        Ok(())
    }

    /// Notes what SQLite committed, and lets the turn go where it may.
    pub(super) fn after_statement(&mut self) -> Result<(), SqlError> {
        if let Some(commit) = self.engine.after_statement()? {
            self.note_commit(commit);
        }
        Ok(())
    }

    /// Takes the turn, for as long as `lock_timeout` allows.
    pub(super) fn take_turn(&mut self, vacuums: bool) -> Result<(), SqlError> {
        if self.engine.holds_turn() {
            return Ok(());
        }
        let limits = turn_limits(&self.start);
        // before the wait, and so before the node's role is looked at in it
        self.start.signals.set_writes(true);
        let result =
            if vacuums { self.engine.before_vacuum(limits) } else { self.engine.before_write(limits) };
        // a wait that was cancelled says why
        self.start.signals.check().and(result)
    }

    /// Runs a statement without rows that is its own transaction with the turn, on whichever thread has it, and
    /// notes what it committed. An outer error means that it did not run, or that its commit could not be noted.
    pub(super) fn run_queued(
        &mut self,
        statement: &mut Statement,
    ) -> (Result<bool, SqliteFailure>, Result<(), SqlError>) {
        let limits = turn_limits(&self.start);
        self.start.signals.set_writes(true);
        let mut stepped = Ok(false);
        let mut lent = statement.lend();
        let noted = self.engine.run_queued(limits, &mut || stepped = lent.run());
        let noted = match noted {
            Ok(commit) => {
                commit.into_iter().for_each(|commit| self.note_commit(commit));
                Ok(())
            }
            // a wait that was cancelled says why
            Err(error) => self.start.signals.check().and(Err(error)),
        };
        (stepped, noted)
    }

    /// Whether statements may write, by what the role may and the session and the transaction said.
    pub(super) fn check_writable(&self, verb: &str) -> Result<(), SqlError> {
        self.check_level(Level::Write)?;
        self.check_read_only(verb)
    }

    /// Whether the role may do that in this database, now.
    pub(super) fn check_level(&self, wanted: Level) -> Result<(), SqlError> {
        let found = self.host.privileges(&self.start).level;
        if found >= Some(wanted) {
            return Ok(());
        }
        let (user, database) =
            (&self.start.identity.user, self.start.parameters.database().unwrap_or_default());
        let may = if found.is_some() { "may only read" } else { "may not use" };
        let error = SqlError::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            format!("permission denied: role \"{user}\" {may} database \"{database}\""),
        );
        let grant = if found.is_some() { "ALL" } else { "CONNECT" };
        Err(error.with_hint(format!("A superuser can GRANT {grant} ON DATABASE {database} TO {user}.")))
    }

    /// Whether statements may write, by what the session and the transaction said.
    pub(super) fn check_read_only(&self, verb: &str) -> Result<(), SqlError> {
        let read_only = match self.transaction.read_only {
            Some(read_only) => read_only,
            None => self.start.settings.lock().bool("transaction_read_only"),
        };
        if !read_only {
            return Ok(());
        }
        if let Some(gone) = self.host.leads_no_more(&self.start) {
            return Err(gone);
        }
        let error = SqlError::new(
            SqlState::READ_ONLY_SQL_TRANSACTION,
            format!("cannot execute {verb} in a read-only transaction"),
        );
        Err(match self.host.read_only_hint() {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }

    /// A block for several statements that were sent together, if none is open.
    pub(super) fn open_implicit_block(&mut self) -> Result<(), SqlError> {
        if !self.transaction.is_open() {
            self.run_internal("BEGIN")?;
            self.transaction.block = Block::Implicit;
            self.start.settings.lock().begin();
        }
        Ok(())
    }

    /// The end of what was sent together: an implicit block ends, well or badly.
    pub(super) fn end_implicit_block(&mut self) -> Result<(), SqlError> {
        match self.transaction.block {
            Block::Explicit => Ok(()),
            Block::None if self.portals.is_empty() => Ok(()),
            Block::None => {
                self.end_portals();
                self.after_statement()
            }
            Block::Implicit if self.transaction.failed => {
                self.roll_back();
                Ok(())
            }
            Block::Implicit => self.commit_work(),
        }
    }

    fn begin(&mut self, modes: TransactionModes) -> Result<(), SqlError> {
        if self.transaction.is_explicit() {
            let warning = "there is already a transaction in progress";
            wire::put_error(
                &mut self.channel.output,
                SqlError::warning(SqlState::ACTIVE_SQL_TRANSACTION, warning).report(),
            );
            return self.set_modes(modes);
        }
        self.check_modes(modes)?;
        if modes.immediate {
            self.check_writable("BEGIN IMMEDIATE")?;
            self.take_turn(false)?;
        }
        // what came before in the same string becomes part of it, as in PostgreSQL
        if !self.transaction.is_open() {
            let started = self.run_internal(if modes.immediate { "BEGIN IMMEDIATE" } else { "BEGIN" });
            if started.is_err() {
                self.after_statement()?;
            }
            started?;
            self.start.settings.lock().begin();
        }
        self.transaction.block = Block::Explicit;
        self.set_modes(modes)
    }

    fn check_modes(&self, modes: TransactionModes) -> Result<(), SqlError> {
        match self.host.read_only_hint() {
            Some(hint) if modes.read_only == Some(false) => Err(SqlError::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cannot set transaction read-write mode during recovery",
            )
            .with_hint(hint)),
            _ => Ok(()),
        }
    }

    fn set_modes(&mut self, modes: TransactionModes) -> Result<(), SqlError> {
        self.check_modes(modes)?;
        if let Some(read_only) = modes.read_only {
            self.transaction.read_only = Some(read_only);
            let value = if read_only { "on" } else { "off" };
            // shown by SHOW transaction_read_only; the transaction itself goes by `read_only`
            let _ = self.start.settings.lock().set("transaction_read_only", value, Scope::Local);
        }
        Ok(())
    }

    /// SET TRANSACTION and SET SESSION CHARACTERISTICS.
    pub(super) fn set_transaction(&mut self, modes: TransactionModes, session: bool) -> Result<(), SqlError> {
        if session {
            if let Some(read_only) = modes.read_only {
                let value = if read_only { "on" } else { "off" };
                self.set_setting("default_transaction_read_only", Some(value), false)?;
            }
            return Ok(());
        }
        if !self.transaction.is_open() {
            let warning = "SET TRANSACTION can only be used in transaction blocks";
            wire::put_error(
                &mut self.channel.output,
                SqlError::warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, warning).report(),
            );
            return Ok(());
        }
        self.set_modes(modes)
    }

    // COMMIT; when SQLite refuses (a deferred foreign key), nothing of the transaction stays
    fn commit_work(&mut self) -> Result<(), SqlError> {
        self.end_portals();
        let committed = self.run_internal("COMMIT");
        let noted = self.after_statement();
        if committed.is_err() || noted.is_err() {
            self.roll_back();
            return noted.and(committed);
        }
        self.transaction = Transaction::default();
        self.start.settings.lock().commit();
        Ok(())
    }

    /// Undoes what is not committed; does nothing where nothing is open.
    pub(super) fn roll_back(&mut self) {
        self.end_portals();
        if !self.engine.connection().is_autocommit()
            && let Err(error) = self.run_internal("ROLLBACK")
        {
            tracing::warn!(%error, "could not roll back");
        }
        if let Err(error) = self.after_statement() {
            tracing::warn!(%error, "could not end a transaction that was rolled back");
        }
        if self.transaction.is_open() {
            self.was_undone = true;
            self.start.settings.lock().rollback();
            self.settings_changed = true;
        }
        self.transaction = Transaction::default();
    }

    /// A statement failed: so has its transaction. What it holds is let go at once, unless a savepoint
    /// might still save something.
    pub(super) fn fail_transaction(&mut self) {
        if !self.transaction.is_open() {
            self.end_portals();
            if let Err(error) = self.after_statement() {
                tracing::warn!(%error, "could not end a statement that failed");
            }
            return;
        }
        self.transaction.failed = true;
        if self.transaction.savepoints.is_empty() || self.engine.connection().is_autocommit() {
            let block = self.transaction.block;
            self.roll_back();
            self.transaction = Transaction { block, failed: true, ..Transaction::default() };
            self.start.settings.lock().begin();
        } else {
            self.end_portals();
        }
    }

    /// COMMIT and ROLLBACK; returns the command tag.
    pub(super) fn end_transaction(&mut self, commit: bool, chain: bool) -> Result<&'static str, SqlError> {
        let commits = commit && !self.transaction.failed;
        if !self.transaction.is_explicit() {
            if chain {
                let name = if commit { "COMMIT AND CHAIN" } else { "ROLLBACK AND CHAIN" };
                return Err(SqlError::new(
                    SqlState::NO_ACTIVE_SQL_TRANSACTION,
                    format!("{name} can only be used in transaction blocks"),
                ));
            }
            let warning = "there is no transaction in progress";
            wire::put_error(
                &mut self.channel.output,
                SqlError::warning(SqlState::NO_ACTIVE_SQL_TRANSACTION, warning).report(),
            );
        }
        let modes = TransactionModes { read_only: self.transaction.read_only, immediate: false };
        if commits && self.transaction.is_open() {
            self.commit_work()?;
            self.was_undone = false;
        } else {
            self.roll_back();
        }
        if chain {
            self.begin(modes)?;
        }
        Ok(if commits { "COMMIT" } else { "ROLLBACK" })
    }

    /// BEGIN, SAVEPOINT and their like; returns the command tag.
    pub(super) fn transaction_command(&mut self, command: &Command) -> Result<&'static str, Stop> {
        Ok(match command {
            Command::Begin(modes) => {
                self.begin(*modes)?;
                "BEGIN"
            }
            Command::Commit { chain } => self.end_transaction(true, *chain)?,
            Command::Rollback { chain } => self.end_transaction(false, *chain)?,
            Command::Savepoint(name) => {
                self.needs_block("SAVEPOINT")?;
                self.run_internal(&format!("SAVEPOINT {}", quoted(name)))?;
                self.transaction.savepoints.push(name.clone());
                "SAVEPOINT"
            }
            Command::Release(name) => {
                self.needs_block("RELEASE SAVEPOINT")?;
                let at = self.find_savepoint(name)?;
                self.run_internal(&format!("RELEASE {}", quoted(name)))?;
                self.transaction.savepoints.truncate(at);
                "RELEASE"
            }
            Command::RollbackTo(name) => {
                self.needs_block("ROLLBACK TO SAVEPOINT")?;
                let at = self.find_savepoint(name)?;
                self.end_portals();
                self.run_internal(&format!("ROLLBACK TO {}", quoted(name)))?;
                self.transaction.savepoints.truncate(at + 1);
                self.transaction.failed = false;
                "ROLLBACK"
            }
            _ => return Err(SqlError::new(SqlState::INTERNAL_ERROR, "not a transaction statement").into()),
        })
    }

    fn needs_block(&self, what: &str) -> Result<(), SqlError> {
        if self.transaction.is_explicit() {
            return Ok(());
        }
        Err(SqlError::new(
            SqlState::NO_ACTIVE_SQL_TRANSACTION,
            format!("{what} can only be used in transaction blocks"),
        ))
    }

    fn find_savepoint(&self, name: &str) -> Result<usize, SqlError> {
        // SQLite's savepoint names do not tell cases apart
        let found = self.transaction.savepoints.iter().rposition(|known| known.eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            SqlError::new(
                SqlState::INVALID_SAVEPOINT_SPECIFICATION,
                format!("savepoint \"{name}\" does not exist"),
            )
        })
    }

    /// Resets every portal: a transaction cannot end while one of them reads.
    pub(super) fn end_portals(&mut self) {
        let portals = std::mem::take(&mut self.portals);
        for portal in portals.into_values() {
            self.retire(portal);
        }
    }
}

/// How long a session waits for its turn.
fn turn_limits(start: &SessionStart) -> TurnLimits<'_> {
    let limit = start.settings.lock().timeout("lock_timeout");
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    TurnLimits { deadline, cancel: start.signals.interrupted() }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
