use std::io::{Read, Write};
use std::rc::Rc;

use walship_protocol::wire::{self, Bind, FrontendMessage, Parse, SqlState, Target};

use super::execute::{Progress, Run, describe_row};
use super::simple::in_characters;
use super::{Session, Stop};
use crate::command::Command;
use crate::error::SqlError;
use crate::lexer::split;
use crate::plan::{Column, Compiled, Plan};
use crate::sqlite_error::sql_error;
use crate::statement::Parameter;
use crate::value::{PgType, decode};

/// A prepared statement: what Parse made of a text.
pub(super) struct Prepared {
    text: Rc<str>,
    /// `None` for an empty text.
    command: Option<Rc<Command>>,
    /// For SQLite's own statements.
    plan: Option<Rc<Plan>>,
    stated: Vec<Option<PgType>>,
}

/// A prepared statement with its parameters, ready to run or on its way.
pub(super) enum Portal {
    /// Nothing to run.
    Empty,
    /// A statement of SQLite's.
    Statement(Box<Run>),
    /// One that the server answers, or COPY with the text that it is in.
    Command { command: Rc<Command>, text: Rc<str> },
    /// Ran to its end: a further Execute finds no more rows.
    Exhausted(&'static str),
}

impl<S: Read + Write> Session<S> {
    /// Keeps the statement of a portal that is closed for the next one of that text.
    pub(super) fn retire(&mut self, portal: Portal) {
        if let Portal::Statement(run) = portal {
            self.plans.put(run.compiled);
        }
    }

    pub(super) fn extended_message(&mut self, message: FrontendMessage<'_>) -> Result<(), Stop> {
        match message {
            FrontendMessage::Parse(parse) => self.parse(&parse),
            FrontendMessage::Bind(bind) => self.bind(&bind),
            FrontendMessage::Describe(target) => self.describe(target),
            FrontendMessage::Execute { portal, rows_max } => self.execute(portal, rows_max),
            FrontendMessage::Close(target) => {
                self.close_target(target);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Sync: the end of what was sent together.
    pub(super) fn sync(&mut self) -> Result<(), Stop> {
        self.skips_to_sync = false;
        if let Err(error) = self.end_implicit_block() {
            self.report(&error);
        }
        self.ready()
    }

    fn parse(&mut self, parse: &Parse<'_>) -> Result<(), Stop> {
        self.begin_statement(parse.query);
        if !parse.name.is_empty() && self.prepared.contains_key(parse.name) {
            return Err(SqlError::new(
                SqlState::DUPLICATE_PREPARED_STATEMENT,
                format!("prepared statement \"{}\" already exists", parse.name),
            )
            .into());
        }
        let prepared = self.prepare(parse).map_err(|error| in_characters(error, parse.query))?;
        if self.prepared.len() >= PREPARED_MAX && !self.prepared.contains_key(parse.name) {
            return Err(SqlError::new(
                SqlState::PROGRAM_LIMIT_EXCEEDED,
                format!("too many prepared statements: a session can hold {PREPARED_MAX}"),
            )
            .with_hint("DEALLOCATE what is not needed any more.")
            .into());
        }
        self.prepared.insert(parse.name.to_owned(), prepared);
        wire::put_parse_complete(&mut self.channel.output);
        Ok(())
    }

    fn prepare(&mut self, parse: &Parse<'_>) -> Result<Prepared, SqlError> {
        let statements = split(parse.query);
        let stated: Vec<Option<PgType>> = parse.types.iter().map(|&oid| PgType::from_oid(oid)).collect();
        let text: Rc<str> = parse.query.into();
        let tokens = match statements.as_slice() {
            [] => return Ok(Prepared { text, command: None, plan: None, stated }),
            [tokens] => tokens,
            _ => {
                return Err(SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    "cannot insert multiple commands into a prepared statement",
                ));
            }
        };
        let command = Command::of(tokens)?;
        if self.transaction.has_failed() && !command.ends_transaction() {
            self.check_allowed(&command, false)?;
        }
        let plan = match command {
            Command::Sqlite | Command::Vacuum | Command::Pragma => {
                let compiled = self.plan(parse.query, tokens, &stated)?;
                let plan = Rc::clone(&compiled.plan);
                self.plans.put(compiled);
                Some(plan)
            }
            _ => None,
        };
        Ok(Prepared { text, command: Some(Rc::new(command)), plan, stated })
    }

    fn bind(&mut self, bind: &Bind<'_>) -> Result<(), Stop> {
        let prepared = self.prepared.get(bind.statement).ok_or_else(|| no_statement(bind.statement))?;
        if !bind.portal.is_empty() && self.portals.contains_key(bind.portal) {
            return Err(SqlError::new(
                SqlState::DUPLICATE_CURSOR,
                format!("cursor \"{}\" already exists", bind.portal),
            )
            .into());
        }
        let text = Rc::clone(&prepared.text);
        let portal = match (&prepared.command, &prepared.plan) {
            (None, _) => Portal::Empty,
            (Some(command), None) => Portal::Command { command: Rc::clone(command), text },
            (Some(_), Some(plan)) => {
                let values = parameters(plan, bind)?;
                let (plan, stated) = (Rc::clone(plan), prepared.stated.clone());
                self.begin_statement(&text);
                let mut compiled = self.recompile(&plan, &text, &stated)?;
                bind_values(&mut compiled, &values)?;
                Portal::Statement(Box::new(Run::new(compiled, bind.result_formats.clone(), false)))
            }
        };
        if let Some(previous) = self.portals.insert(bind.portal.to_owned(), portal) {
            self.retire(previous);
        }
        wire::put_bind_complete(&mut self.channel.output);
        Ok(())
    }

    // the cached statement, or a new one if it is in use, was pushed out, or a schema change cleared the cache
    fn recompile(
        &mut self,
        plan: &Rc<Plan>,
        text: &str,
        stated: &[Option<PgType>],
    ) -> Result<Compiled, SqlError> {
        if let Some(compiled) = self.plans.take(&plan.key) {
            return Ok(compiled);
        }
        let statements = split(text);
        let tokens = statements.first().map(Vec::as_slice).unwrap_or_default();
        let compiled = self.plan(text, tokens, stated).map_err(|error| in_characters(error, text))?;
        if compiled.plan.columns != plan.columns {
            self.plans.put(compiled);
            return Err(SqlError::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cached plan must not change result type",
            ));
        }
        Ok(compiled)
    }

    fn describe(&mut self, target: Target<'_>) -> Result<(), Stop> {
        let output = &mut self.channel.output;
        match target {
            Target::Statement(name) => {
                let prepared = self.prepared.get(name).ok_or_else(|| no_statement(name))?;
                match &prepared.plan {
                    Some(plan) => {
                        wire::put_parameter_description(
                            output,
                            plan.parameters.iter().map(|pg_type| pg_type.oid()),
                        );
                        describe_columns(output, &plan.columns, &[]);
                    }
                    None => {
                        wire::put_parameter_description(output, std::iter::empty());
                        let command = prepared.command.as_deref();
                        describe_columns(output, &command_columns::<S>(command), &[]);
                    }
                }
            }
            Target::Portal(name) => match self.portals.get(name).ok_or_else(|| no_portal(name))? {
                Portal::Statement(run) => describe_columns(output, &run.compiled.plan.columns, &run.formats),
                Portal::Command { command, .. } => {
                    describe_columns(output, &command_columns::<S>(Some(command)), &[]);
                }
                Portal::Empty | Portal::Exhausted(_) => wire::put_no_data(output),
            },
        }
        Ok(())
    }

    fn execute(&mut self, name: &str, rows_max: u32) -> Result<(), Stop> {
        let portal = self.portals.remove(name).ok_or_else(|| no_portal(name))?;
        // a statement that is followed by Sync needs no block around it
        let several = self.channel.next_tag() != Some(b'S');
        let after = match portal {
            Portal::Empty => {
                wire::put_empty_query(&mut self.channel.output);
                Portal::Empty
            }
            Portal::Exhausted(tag) => {
                wire::put_command_complete(&mut self.channel.output, tag);
                Portal::Exhausted(tag)
            }
            Portal::Command { command, text } => {
                self.begin_statement(&text);
                self.check_allowed(&command, false)?;
                match *command {
                    Command::Copy => {
                        let statements = split(&text);
                        let tokens = statements.first().map(Vec::as_slice).unwrap_or_default();
                        self.copy(&text, tokens).map_err(|stop| match stop {
                            Stop::Sql(error) => Stop::Sql(in_characters(error, &text)),
                            stop => stop,
                        })?;
                    }
                    ref command => self.command(command, false)?,
                }
                Portal::Exhausted("SELECT 0")
            }
            Portal::Statement(run) => self.execute_statement(run, rows_max, several)?,
        };
        self.portals.insert(name.to_owned(), after);
        Ok(())
    }

    fn execute_statement(&mut self, mut run: Box<Run>, rows_max: u32, several: bool) -> Result<Portal, Stop> {
        let verb = run.compiled.plan.verb;
        let command = match verb.name() {
            "VACUUM" => Command::Vacuum,
            "PRAGMA" => Command::Pragma,
            _ => Command::Sqlite,
        };
        self.check_allowed(&command, false)?;
        if several && command == Command::Sqlite {
            self.open_implicit_block()?;
        }
        let result = self.run(&mut run, rows_max);
        match result {
            Ok(Progress::Suspended) => Ok(Portal::Statement(run)),
            Ok(Progress::Complete) => {
                self.plans.put(run.compiled);
                Ok(Portal::Exhausted("SELECT 0"))
            }
            Err(stop) => {
                self.plans.put(run.compiled);
                Err(stop)
            }
        }
    }

    fn close_target(&mut self, target: Target<'_>) {
        match target {
            Target::Statement(name) => {
                self.prepared.remove(name);
            }
            Target::Portal(name) => {
                if let Some(portal) = self.portals.remove(name) {
                    self.retire(portal);
                }
            }
        }
        wire::put_close_complete(&mut self.channel.output);
    }
}

// what a session may hold of names; a client that prepares without end is stopped
const PREPARED_MAX: usize = 10_000;

fn command_columns<S: Read + Write>(command: Option<&Command>) -> Vec<Column> {
    let names = command.map(Session::<S>::command_columns).unwrap_or_default();
    names.into_iter().map(|name| Column { name, is_renamed: false, pg_type: PgType::Text }).collect()
}

fn describe_columns(output: &mut Vec<u8>, columns: &[Column], formats: &[i16]) {
    if columns.is_empty() { wire::put_no_data(output) } else { describe_row(output, columns, formats) }
}

fn no_statement(name: &str) -> SqlError {
    let message = match name {
        "" => "unnamed prepared statement does not exist".to_owned(),
        name => format!("prepared statement \"{name}\" does not exist"),
    };
    SqlError::new(SqlState::INVALID_SQL_STATEMENT_NAME, message)
}

fn no_portal(name: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_CURSOR_NAME, format!("portal \"{name}\" does not exist"))
}

fn parameters(plan: &Plan, bind: &Bind<'_>) -> Result<Vec<Parameter>, SqlError> {
    let (given, needed) = (bind.parameters.len(), plan.parameters.len());
    let violation = |message: String| SqlError::new(SqlState::PROTOCOL_VIOLATION, message);
    if given != needed {
        return Err(violation(format!(
            "bind message supplies {given} parameters, but prepared statement \"{}\" requires {needed}",
            bind.statement
        )));
    }
    let formats = bind.parameter_formats.len();
    if formats > 1 && formats != given {
        return Err(violation(format!(
            "bind message has {formats} parameter formats but {given} parameters"
        )));
    }
    let results = bind.result_formats.len();
    if results > 1 && results != plan.columns.len() {
        return Err(violation(format!(
            "bind message has {results} result formats but query has {} columns",
            plan.columns.len()
        )));
    }
    if let Some(unknown) =
        bind.parameter_formats.iter().chain(&bind.result_formats).find(|format| !(0..=1).contains(*format))
    {
        return Err(violation(format!("unsupported format code: {unknown}")));
    }
    let value = |(at, (bytes, pg_type)): (usize, (&Option<&[u8]>, &PgType))| match bytes {
        None => Ok(Parameter::Null),
        Some(bytes) => {
            let binary = super::execute::format_of(&bind.parameter_formats, at) == 1;
            decode(*pg_type, binary, bytes, at + 1)
        }
    };
    bind.parameters.iter().zip(&plan.parameters).enumerate().map(value).collect()
}

fn bind_values(compiled: &mut Compiled, values: &[Parameter]) -> Result<(), SqlError> {
    let plan = Rc::clone(&compiled.plan);
    for (index, &slot) in plan.slots.iter().enumerate() {
        let value = values.get(slot).unwrap_or(&Parameter::Null);
        compiled.statement.bind(index + 1, value).map_err(|failure| sql_error(&failure))?;
    }
    Ok(())
}
