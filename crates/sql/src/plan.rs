use std::collections::HashMap;
use std::rc::Rc;

use rusqlite::Connection;
use walship_protocol::wire::SqlState;

use super::error::SqlError;
use super::guard::Guard;
use super::infer;
use super::lexer::Token;
use super::rewrite::{Rewritten, rewrite};
use super::sqlite_error::sql_error;
use super::statement::{SqliteFailure, Statement};
use super::tag::Verb;
use super::value::PgType;

/// A result column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// Its name.
    pub name: String,
    /// Whether the name is PostgreSQL's, and SQLite has another.
    pub is_renamed: bool,
    /// What it is announced as.
    pub pg_type: PgType,
}

/// What is known of a statement once it is compiled.
#[derive(Debug)]
pub(super) struct Plan {
    /// What it is cached under: the client's text and the parameter types that it stated.
    pub key: String,
    /// The text that SQLite got, and the way back to the client's.
    pub rewritten: Rewritten,
    /// What it is called in command tags.
    pub verb: Verb,
    /// Result columns; none for a statement without a result.
    pub columns: Vec<Column>,
    /// Types of `$1`, `$2`...
    pub parameters: Vec<PgType>,
    /// For each of SQLite's parameters, which `$n` it is, counted from 0.
    pub slots: Vec<usize>,
    /// Whether it needs the turn.
    pub writes: bool,
    /// Whether it changes settings.
    pub sets_settings: bool,
}

/// A plan with a statement that can run it.
#[derive(Debug)]
pub(super) struct Compiled {
    /// What is known of it.
    pub plan: Rc<Plan>,
    /// SQLite's side.
    pub statement: Statement,
}

/// What types the client stated, and who knows those of our functions.
#[derive(Clone, Copy)]
pub(super) struct TypeHints<'a> {
    /// From Parse: `None` leaves one to the server.
    pub stated: &'a [Option<PgType>],
    /// Result types of walship's functions.
    pub functions: &'a dyn Fn(&str) -> Option<PgType>,
    /// Whether the statement asks the catalog anything.
    pub asks_catalog: bool,
}

/// Statements of a session that were compiled and are not running, by their text.
///
/// A statement that runs is taken out, so that the same text can run twice at once.
#[derive(Debug, Default)]
pub(super) struct PlanCache {
    entries: HashMap<String, (u64, Compiled)>,
    clock: u64,
}

// a connection's memory is bounded by this; pools of drivers hold about as many
const CACHED_PLANS_MAX: usize = 128;

impl PlanCache {
    /// Takes the statement for a key out of the cache.
    pub(super) fn take(&mut self, key: &str) -> Option<Compiled> {
        self.entries.remove(key).map(|(_, compiled)| compiled)
    }

    /// Keeps a statement that has ended, with its parameters forgotten.
    pub(super) fn put(&mut self, mut compiled: Compiled) {
        compiled.statement.reset();
        compiled.statement.clear_bindings();
        self.clock += 1;
        if self.entries.len() >= CACHED_PLANS_MAX {
            let oldest = self.entries.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone());
            oldest.map(|key| self.entries.remove(&key));
        }
        self.entries.insert(compiled.plan.key.clone(), (self.clock, compiled));
    }

    /// Forgets all: the schema changed, or the session begins anew.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
    }
}

/// What a statement is cached under.
pub(super) fn plan_key(source: &str, tokens: &[Token<'_>], stated: &[Option<PgType>]) -> String {
    let whole = tokens.first().zip(tokens.last());
    let text = whole.and_then(|(first, last)| source.get(first.start..last.end())).unwrap_or(source);
    let mut key = text.to_owned();
    for stated in stated {
        // no text from a client has a NUL in it
        key.push('\0');
        key.push_str(&stated.map_or(0, PgType::oid).to_string());
    }
    key
}

/// Compiles a statement's tokens of `source`. Positions of errors are byte offsets into it, counted from 1.
pub(super) fn compile(
    connection: &Connection,
    guard: &Guard,
    source: &str,
    tokens: &[Token<'_>],
    key: String,
    hints: TypeHints<'_>,
) -> Result<Compiled, SqlError> {
    let rewritten = rewrite(source, tokens);
    guard.begin();
    let statement = Statement::prepare(connection, &rewritten.text)
        .map_err(|failure| compile_error(guard, &rewritten, &failure))?
        .ok_or_else(|| SqlError::new(SqlState::SYNTAX_ERROR, "empty statement"))?;
    let notes = guard.notes();
    let changes_files = !statement.is_readonly() && !statement.is_explain();
    let (slots, count) = parameter_slots(&statement)?;
    let mut plan = Plan {
        key,
        verb: Verb::of(tokens),
        columns: Vec::new(),
        parameters: vec![PgType::Text; count.max(hints.stated.len())],
        slots,
        writes: changes_files && (notes.writes_main || !notes.writes_temporary),
        sets_settings: notes.sets_settings,
        rewritten,
    };
    infer::fill_types(connection, &statement, &mut plan, hints)?;
    Ok(Compiled { plan: Rc::new(plan), statement })
}

fn compile_error(guard: &Guard, rewritten: &Rewritten, failure: &SqliteFailure) -> SqlError {
    if let Some(refused) = guard.notes().refused {
        return refused;
    }
    sql_error(failure).at(failure.offset.map(|offset| rewritten.origin(offset) + 1))
}

// `$2` may come before `$1`, and SQLite counts in order of appearance
fn parameter_slots(statement: &Statement) -> Result<(Vec<usize>, usize), SqlError> {
    let mut slots = Vec::new();
    let mut count = 0;
    for index in 1..=statement.parameter_count() {
        let name = statement.parameter_name(index);
        let number = match name.as_deref() {
            // a plain "?", or a number that is skipped
            None => Some(index),
            Some(name) => name.strip_prefix(['$', '?']).and_then(|digits| digits.parse::<usize>().ok()),
        };
        let number = number.filter(|number| (1..=PARAMETERS_MAX).contains(number)).ok_or_else(|| {
            SqlError::new(
                SqlState::UNDEFINED_PARAMETER,
                format!("there is no parameter {}", name.as_deref().unwrap_or("?")),
            )
            .with_hint("Parameters are written $1, $2 and so on.")
        })?;
        slots.push(number - 1);
        count = count.max(number);
    }
    Ok((slots, count))
}

// what the protocol's 16-bit count can carry
const PARAMETERS_MAX: usize = u16::MAX as usize;
