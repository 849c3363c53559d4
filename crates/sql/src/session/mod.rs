//! One SQL session: the loop over a client's messages, and what lives as long as the connection.

mod begin;
mod commands;
mod copy;
mod execute;
mod extended;
mod settings;
mod simple;
mod transaction;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::sync::Arc;

use walship_protocol::wire::{self, FrontendMessage, Severity, SqlState, TransactionStatus};
use walship_settings::{Settings, SynchronousCommit, Typed};

use self::extended::{Portal, Prepared};
use self::transaction::Transaction;
use super::channel::{Channel, ChannelError};
use super::command::without_passwords;
use super::error::SqlError;
use super::guard::Guard;
use super::host::{Activity, Logged, Registration, SessionEngine, SessionHost, SessionStart};
use super::plan::PlanCache;
use super::signals::{EndReason, NOT_LEADER};
use super::timer::{AlarmClock, Expiry};

pub use self::begin::{Connecting, run_session};

/// What ends the handling of a message early.
enum Stop {
    /// The client is told, and the session goes on if it may.
    Sql(SqlError),
    /// There is no client any more, or none that speaks the protocol.
    Channel(ChannelError),
}

impl From<SqlError> for Stop {
    fn from(error: SqlError) -> Stop {
        Stop::Sql(error)
    }
}

impl From<ChannelError> for Stop {
    fn from(error: ChannelError) -> Stop {
        Stop::Channel(error)
    }
}

// Statements stand before the engine, so that they are finalized before its connection is closed; the guard,
// which SQLite calls, stands behind it.
struct Session<S> {
    channel: Channel<S>,
    prepared: HashMap<String, Prepared>,
    portals: HashMap<String, Portal>,
    plans: PlanCache,
    engine: Box<dyn SessionEngine>,
    guard: Guard,
    host: Arc<dyn SessionHost>,
    start: SessionStart,
    registration: Box<dyn Registration>,
    clock: AlarmClock,
    transaction: Transaction,
    /// Where the log has to be before what was answered may be sent, and how safe that has to be.
    unacknowledged: Option<(Logged, SynchronousCommit)>,
    /// Whether rows were read that the log may not hold yet.
    has_read: bool,
    /// After an error in an extended query, until Sync.
    skips_to_sync: bool,
    /// Whether a statement has been begun since the client was last told that we are ready.
    is_active: bool,
    /// Whether what has been done since the client was last told that we are ready was undone, for statistics.
    was_undone: bool,
    /// Whether a setting may have changed that the client is told about.
    settings_changed: bool,
    /// The cluster's settings when the client was last told. Held, so that others are elsewhere.
    told_cluster: Option<Arc<Settings>>,
}

impl<S: Read + Write> Session<S> {
    // returns when the session is over; whoever calls tells the log what is worth telling
    fn serve(&mut self) -> Result<(), ChannelError> {
        let mut body = Vec::new();
        loop {
            let stop = match self.next_message(&mut body) {
                Ok(true) => continue,
                Ok(false) => return Ok(()),
                Err(stop) => stop,
            };
            match stop {
                Stop::Sql(error) if error.ends_session() => return self.part(&error),
                Stop::Sql(error) => self.report(&error),
                // the timer or an administrator closed our side of the read
                Stop::Channel(error) => match (self.start.signals.end_reason(), error) {
                    (Some(reason), _) => return self.part(&reason.error()),
                    (None, ChannelError::Closed) => return Ok(()),
                    (None, error @ ChannelError::Length { .. }) => {
                        let told = SqlError::fatal(SqlState::PROTOCOL_VIOLATION, error.to_string());
                        return self.part(&told);
                    }
                    (None, error) => return Err(error),
                },
            }
        }
    }

    // false when the client says goodbye
    fn next_message(&mut self, body: &mut Vec<u8>) -> Result<bool, Stop> {
        if !self.channel.has_message() {
            self.send()?;
        }
        let tag = self.receive(body)?;
        if let Some(reason) = self.start.signals.end_reason() {
            return Err(reason.error().into());
        }
        let message = FrontendMessage::decode(tag, body)
            .map_err(|error| SqlError::fatal(SqlState::PROTOCOL_VIOLATION, error.to_string()))?;
        if matches!(message, FrontendMessage::Terminate) {
            return Ok(false);
        }
        if self.skips_to_sync && !matches!(message, FrontendMessage::Sync) {
            return Ok(true);
        }
        self.handle(message)?;
        Ok(true)
    }

    /// The next message. A client that keeps us waiting is watched, unless `statement_timeout` watches it already.
    fn receive(&mut self, body: &mut Vec<u8>) -> Result<u8, ChannelError> {
        let is_watched = self.is_active && self.start.settings.lock().timeout("statement_timeout").is_some();
        if self.channel.has_message() || is_watched {
            return self.channel.receive(body);
        }
        self.watch_idleness();
        let tag = self.channel.receive(body);
        self.clock.disarm();
        tag
    }

    fn handle(&mut self, message: FrontendMessage<'_>) -> Result<(), Stop> {
        match message {
            FrontendMessage::Query(text) => self.simple_query(text),
            FrontendMessage::Sync => self.sync(),
            FrontendMessage::Flush => self.send(),
            // what is left of a COPY that failed on our side
            FrontendMessage::CopyData(_) | FrontendMessage::CopyDone | FrontendMessage::CopyFail(_) => Ok(()),
            FrontendMessage::Password(_) | FrontendMessage::Terminate => {
                Err(SqlError::fatal(SqlState::PROTOCOL_VIOLATION, "unexpected message").into())
            }
            FrontendMessage::FunctionCall => {
                self.report(&SqlError::new(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "function calls are not supported",
                ));
                self.ready()
            }
            extended => {
                let result = self.extended_message(extended);
                self.skips_to_sync = matches!(&result, Err(Stop::Sql(error)) if !error.ends_session());
                result
            }
        }
    }

    /// Sends what was answered, once what it promises holds.
    fn send(&mut self) -> Result<(), Stop> {
        self.settle()?;
        self.channel.send()?;
        Ok(())
    }

    /// Notes a commit at the level that is set now: `SET LOCAL` ends with the transaction. Of several that are
    /// answered together, the highest level counts for all.
    fn note_commit(&mut self, commit: Logged) {
        let level = self.start.settings.lock().synchronous_commit();
        let before = self.unacknowledged.map_or(level, |(_, level)| level);
        // a later one ends later
        self.unacknowledged = Some((commit, before.max(level)));
    }

    /// Waits until what was answered may be sent.
    fn settle(&mut self) -> Result<(), Stop> {
        if let Some((commit, level)) = self.unacknowledged.take()
            && let Err(error) = self.host.wait_for_commit(commit, level, &self.start)
        {
            if error.report().severity == Severity::Error || error.ends_session() {
                // what waits to be sent says that the commit holds
                self.channel.output.clear();
                return Err(error.with_severity(Severity::Fatal).into());
            }
            wire::put_error(&mut self.channel.output, error.report());
        }
        if std::mem::take(&mut self.has_read) {
            let horizon = self.engine.read_horizon();
            let flushed = horizon.and_then(|horizon| self.host.wait_for_flush(horizon, &self.start));
            if let Err(error) = flushed {
                // rows that a crash could still take back must not be shown
                self.channel.output.clear();
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// ReadyForQuery, and all that goes before it.
    fn ready(&mut self) -> Result<(), Stop> {
        match self.settle() {
            Err(Stop::Sql(error)) if !error.ends_session() => self.report(&error),
            settled => settled?,
        }
        if !self.engine.holds_turn() {
            self.start.signals.set_writes(false);
        }
        self.tell_settings();
        wire::put_ready_for_query(&mut self.channel.output, self.transaction.status());
        if std::mem::take(&mut self.is_active) {
            self.clock.disarm();
            self.start.signals.finish();
            if self.transaction.status() == TransactionStatus::Idle {
                self.engine.transaction_ended(!std::mem::take(&mut self.was_undone));
            }
            self.registration.activity(match self.transaction.status() {
                TransactionStatus::Idle => Activity::Idle,
                TransactionStatus::InTransaction => Activity::IdleInTransaction,
                TransactionStatus::Failed => Activity::IdleInFailedTransaction,
            });
        }
        Ok(())
    }

    /// A statement begins: it can be cancelled from here on.
    fn begin_statement(&mut self, text: &str) {
        self.registration.activity(Activity::Running(&without_passwords(text)));
        if !self.transaction.is_open() {
            self.engine.transaction_begins();
        }
        if !self.is_active {
            self.is_active = true;
            self.start.signals.begin(self.engine.connection().get_interrupt_handle());
            self.watch_statement();
        }
    }

    /// Puts `statement_timeout` in force.
    fn watch_statement(&self) {
        let limit = self.start.settings.lock().timeout("statement_timeout");
        if let Some(limit) = limit {
            self.clock.arm(limit, Expiry::Cancel(super::signals::CancelReason::StatementTimeout));
        }
    }

    fn watch_idleness(&self) {
        let (name, reason) = if self.engine.holds_turn() {
            ("idle_in_write_transaction_timeout", EndReason::IdleInWriteTransaction)
        } else if self.transaction.status() != TransactionStatus::Idle {
            ("idle_in_transaction_session_timeout", EndReason::IdleInTransaction)
        } else {
            ("idle_session_timeout", EndReason::IdleSession)
        };
        let limit = self.start.settings.lock().timeout(name);
        if let Some(limit) = limit {
            self.clock.arm(limit, Expiry::End(reason));
        }
    }

    /// An error that does not end the session: the client is told and the transaction fails.
    fn report(&mut self, error: &SqlError) {
        wire::put_error(&mut self.channel.output, error.report());
        self.was_undone = true;
        self.fail_transaction();
    }

    /// The last words to a client. What it did not commit is undone first: it may not listen, and others wait.
    fn part(&mut self, error: &SqlError) -> Result<(), ChannelError> {
        self.roll_back();
        let told = (error.report().message == NOT_LEADER && error.report().detail.is_none())
            .then(|| self.host.leads_no_more(&self.start))
            .flatten();
        let error = told.as_ref().unwrap_or(error);
        // answers whose commit is not known to hold must not be sent
        if self.unacknowledged.take().is_some() {
            self.channel.output.clear();
        }
        wire::put_error(&mut self.channel.output, error.report());
        self.channel.send()
    }
}
