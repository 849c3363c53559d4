use std::sync::Arc;
use std::time::Instant;

use rusqlite::{Connection, InterruptHandle, MAIN_DB, TransactionState};
use walship_types::Lsn;
use walship_wal::{PositionWatch, WalWriter};

use crate::EngineError;
use crate::capture::Author;
use crate::database::Database;
use crate::shared::Role;
use crate::signals::{Happened, Signals, vacuum_bytes_at_most};
use crate::sqlite::{WalIndexHeader, open_session};
use crate::turn::{Resume, Turn, WaitLimits};

/// One client's session on one database: its own connection, so that what SQLite
/// keeps per connection is its own, and its place in the queue for the turn.
///
/// Around each statement: [`Session::before_write`] if it writes, the statement,
/// [`Session::after_statement`] however it ended, [`Session::read_horizon`] before
/// its result is shown to anyone.
pub struct Session {
    connection: Connection,
    signals: Arc<Signals>,
    turn: Option<HeldTurn>,
    /// Whether the connection is told to refuse writes.
    query_only: bool,
    answers: Answers,
    /// What it is called in views; 0 if nobody has said.
    number: i32,
    /// Dropped after the connection.
    database: Arc<Database>,
}

struct HeldTurn {
    turn: Turn,
    writer: Arc<WalWriter>,
}

/// How a statement ended, for the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatementEnd {
    /// End of the session's commit in the log, if it made one: the position that
    /// has to be flushed, or more, before the client is answered.
    pub commit: Option<Lsn>,
    /// When it got there.
    pub logged_at: Option<Instant>,
}

/// What has to be before the clients of a session are told of its commits.
#[derive(Debug, Clone, Default)]
pub enum Answers {
    /// Nothing more. Then nobody who reads its commits waits for their flush either.
    AtOnce,
    /// The commit is flushed.
    #[default]
    WhenFlushed,
    /// This position is reached, which lags behind the flush.
    WhenReached(Arc<PositionWatch>),
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("database", &self.database)
            .field("holds_turn", &self.holds_turn())
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Opens a session that `database` counts already.
    pub(crate) fn open(database: Arc<Database>) -> Result<Session, EngineError> {
        let opened = connect(&database);
        if opened.is_err() {
            database.session_ends();
        }
        let (connection, signals) = opened?;
        let mut session = Session {
            connection,
            signals,
            turn: None,
            query_only: false,
            answers: Answers::default(),
            number: 0,
            database,
        };
        session.follow_role()?;
        Ok(session)
    }

    /// The connection. Hooks for commits, the -wal and busy locks belong to the
    /// session; so do journal mode, checkpoints, `query_only` and `synchronous`.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The connection, for what needs it exclusively (functions, limits).
    pub fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The database.
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// Lets another thread end the running statement.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        self.connection.get_interrupt_handle()
    }

    /// Whether the session has the turn to write.
    pub fn holds_turn(&self) -> bool {
        self.turn.is_some()
    }

    /// Whether the session would have to wait for the turn now.
    pub fn would_wait(&self) -> bool {
        self.turn.is_none() && self.database.turns.is_held()
    }

    /// Says what the session is called in views, as the one whose turn it is.
    pub fn set_number(&mut self, number: i32) {
        self.number = number;
    }

    /// Says what the session's client waits for, from its next commit on. The wait itself
    /// is the caller's; a session whose work another thread does goes on when it is over.
    pub fn set_answers(&mut self, answers: Answers) {
        self.answers = answers;
    }

    /// To be called before a statement that may write the database: waits for the
    /// turn, in the order of asking. Does nothing if the session has it.
    pub fn before_write(&mut self, limits: &WaitLimits<'_>) -> Result<(), EngineError> {
        if self.turn.is_some() {
            // a fence does not wait for the end of a transaction
            return self.database.shared.may_wait_to_write();
        }
        self.database.shared.may_wait_to_write()?;
        self.database.check_open()?;
        let turn = self.database.take_turn(limits)?.serving();
        self.admit(turn, limits.deadline)
    }

    /// Runs a statement that commits by itself, with the turn: everything from
    /// [`Session::before_write`] to [`Session::after_statement`]. If others have the
    /// turn, it may be run on the thread of one of them, while this one waits; this one
    /// then goes on when its client may be answered, or a little earlier. So `statement` must not wait for
    /// anything but the database. An error means that it was not run, or that what it
    /// committed could not be logged, in which case that is the cause of its own.
    pub fn run_queued(
        &mut self,
        limits: &WaitLimits<'_>,
        statement: &mut (dyn FnMut() + Send),
    ) -> Result<StatementEnd, EngineError> {
        let database = Arc::clone(&self.database);
        database.shared.may_wait_to_write()?;
        database.check_open()?;
        let (begun, answers) = (Instant::now(), self.answers.clone());
        let mut end = Ok(StatementEnd::default());
        let queued = database.turns.run(limits, &mut |turn| {
            let mut writer = None;
            end = self.admit(turn, limits.deadline).and_then(|()| {
                writer = self.turn.as_ref().map(|held| Arc::clone(&held.writer));
                statement();
                self.after_statement()
            });
            let Some((lsn, writer)) = end.as_ref().ok().and_then(|end| end.commit).zip(writer) else {
                return Resume::Now;
            };
            match &answers {
                Answers::AtOnce => Resume::Now,
                Answers::WhenFlushed => Resume::Reached { lsn, writer, last: None },
                Answers::WhenReached(last) => Resume::Reached { lsn, writer, last: Some(Arc::clone(last)) },
            }
        });
        queued.map_err(|ended| database.ended(ended, begun))?;
        end
    }

    /// The session has the turn from here on, if it may write.
    fn admit(&mut self, turn: Turn, deadline: Option<Instant>) -> Result<(), EngineError> {
        turn.held_by(self.number);
        // while waiting, the node may have changed its role and the database its state
        let writer = self.database.shared.writer()?;
        self.database.check_open()?;
        self.follow_role()?;
        self.signals.turn_begins(&self.connection, Arc::clone(&writer), deadline);
        self.turn = Some(HeldTurn { turn, writer });
        Ok(())
    }

    /// As [`Session::before_write`], for VACUUM, which commits without asking:
    /// the log must have room for the whole database before it runs.
    pub fn before_vacuum(&mut self, limits: &WaitLimits<'_>) -> Result<(), EngineError> {
        self.before_write(limits)?;
        let Some(held) = &self.turn else { return Ok(()) };
        let pages: u32 = self.connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        let bytes = vacuum_bytes_at_most(pages, self.database.page_size());
        match held.writer.reserve(bytes) {
            Ok(reservation) => self.signals.keep(Some(reservation)),
            Err(_) => {
                self.let_go();
                return Err(EngineError::NoSpace { database: self.database.name().clone(), bytes });
            }
        }
        Ok(())
    }

    /// To be called after every statement, however it ended: makes records of
    /// what SQLite committed, and hands the turn on unless a transaction that
    /// writes is still open. Where this is an error and the statement's own
    /// result is one too, this one is the cause.
    pub fn after_statement(&mut self) -> Result<StatementEnd, EngineError> {
        let happened = self.signals.take();
        let end = self.capture(&happened);
        self.signals.captured();
        if self.connection.transaction_state(Some(MAIN_DB))? != TransactionState::Write {
            self.let_go();
        }
        let end = end?;
        match happened {
            Happened { refused_bytes: Some(bytes), .. } => {
                Err(EngineError::NoSpace { database: self.database.name().clone(), bytes })
            }
            Happened { refused_without_turn: true, .. } => {
                Err(EngineError::NoTurn { database: self.database.name().clone() })
            }
            _ => Ok(end),
        }
    }

    /// Up to where the log has to be flushed before anything that the session has
    /// read may be shown. Waits while a commit that it may have seen is on its
    /// way into the log; on a follower nothing has to be waited for.
    pub fn read_horizon(&mut self, limits: &WaitLimits<'_>) -> Result<Lsn, EngineError> {
        self.database.check_open()?;
        if matches!(self.database.shared.role(), Role::Follower | Role::Closed(_)) {
            return Ok(Lsn::INVALID);
        }
        if self.turn.is_some() {
            // nobody else commits meanwhile, and what this session committed is captured
            return self.horizon(&WalIndexHeader::default(), limits);
        }
        self.horizon(&self.database.wal_index.header(), limits)
    }

    fn horizon(&self, seen: &WalIndexHeader, limits: &WaitLimits<'_>) -> Result<Lsn, EngineError> {
        let begun = Instant::now();
        let now = || self.database.wal_index.header();
        let horizon = self.database.published.horizon(seen, now, limits);
        horizon.map_err(|ended| self.database.ended(ended, begun))
    }

    fn capture(&self, happened: &Happened) -> Result<StatementEnd, EngineError> {
        let Some(held) = &self.turn else { return Ok(StatementEnd::default()) };
        let author = match happened.may_have_committed {
            true => Author::Session { ends_at: happened.committed_at },
            false => Author::Foreign,
        };
        let durable = !matches!(self.answers, Answers::AtOnce);
        let captured = self.database.capture(&held.turn, author, durable, &held.writer)?;
        Ok(StatementEnd { commit: captured.own, logged_at: captured.own.map(|_| Instant::now()) })
    }

    /// Refuses writes in SQLite itself wherever this node is not a leader.
    fn follow_role(&mut self) -> Result<(), EngineError> {
        let query_only = !matches!(self.database.shared.role(), Role::Leader(_));
        if query_only != self.query_only {
            self.connection.pragma_update(None, "query_only", query_only)?;
            self.query_only = query_only;
        }
        Ok(())
    }

    fn let_go(&mut self) {
        if self.turn.take().is_some() {
            self.signals.turn_ends();
        }
    }
}

fn connect(database: &Database) -> Result<(Connection, Arc<Signals>), EngineError> {
    database.check_open()?;
    let mut connection = open_session(database.path(), database.shared.options.cache_kib)?;
    let signals = Signals::install(&mut connection, database.page_size())?;
    Ok((connection, signals))
}

impl Drop for Session {
    fn drop(&mut self) {
        // a transaction that is still open is rolled back before the turn is handed on
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        let happened = self.signals.take();
        // an error has closed the database and is reported there
        let _ = self.capture(&happened);
        self.let_go();
        self.database.session_ends();
    }
}
