use std::io::{Read, Write};

use walship_protocol::wire::{self, SqlState};

use super::execute::Run;
use super::{Session, Stop};
use crate::catalog;
use crate::command::Command;
use crate::error::SqlError;
use crate::lexer::{Token, split};
use crate::plan::{Compiled, TypeHints, compile, plan_key};
use crate::value::PgType;

impl<S: Read + Write> Session<S> {
    /// A query string of any number of statements, which are one transaction unless they say otherwise.
    pub(super) fn simple_query(&mut self, text: &str) -> Result<(), Stop> {
        self.begin_statement(text);
        // PostgreSQL forgets the unnamed statement and portal here
        self.prepared.remove("");
        if let Some(portal) = self.portals.remove("") {
            self.retire(portal);
        }
        let statements = split(text);
        if statements.is_empty() {
            wire::put_empty_query(&mut self.channel.output);
            return self.ready();
        }
        let several = statements.len() > 1;
        for tokens in &statements {
            match self.simple_statement(text, tokens, several) {
                Ok(()) => {}
                Err(Stop::Sql(error)) if !error.ends_session() => {
                    self.report(&in_characters(error, text));
                    break;
                }
                Err(stop) => return Err(stop),
            }
        }
        if let Err(error) = self.end_implicit_block() {
            self.report(&error);
        }
        self.ready()
    }

    fn simple_statement(&mut self, text: &str, tokens: &[Token<'_>], several: bool) -> Result<(), Stop> {
        let command = Command::of(tokens)?;
        self.check_allowed(&command, several)?;
        match command {
            Command::Sqlite | Command::Vacuum | Command::Pragma => {
                if several && command == Command::Sqlite {
                    self.open_implicit_block()?;
                }
                let compiled = self.plan(text, tokens, &[])?;
                if let Some(&slot) = compiled.plan.slots.first() {
                    return Err(SqlError::new(
                        SqlState::UNDEFINED_PARAMETER,
                        format!("there is no parameter ${}", slot + 1),
                    )
                    .into());
                }
                let mut run = Run::new(compiled, Vec::new(), true);
                self.run(&mut run, 0)?;
                self.plans.put(run.compiled);
                Ok(())
            }
            Command::Copy => self.copy(text, tokens),
            command => self.command(&command, true),
        }
    }

    /// What the state of the transaction does not allow.
    pub(super) fn check_allowed(&self, command: &Command, several: bool) -> Result<(), SqlError> {
        if self.transaction.has_failed() && !command.ends_transaction() {
            return Err(SqlError::new(
                SqlState::IN_FAILED_SQL_TRANSACTION,
                "current transaction is aborted, commands ignored until end of transaction block",
            ));
        }
        self.check_privileges(command)?;
        match command.refuses_transaction() {
            Some(name) if self.transaction.is_open() || several => Err(SqlError::new(
                SqlState::ACTIVE_SQL_TRANSACTION,
                format!("{name} cannot run inside a transaction block"),
            )),
            _ => Ok(()),
        }
    }

    /// What only some roles may do.
    fn check_privileges(&self, command: &Command) -> Result<(), SqlError> {
        let privileges = || self.host.privileges(&self.start);
        let denied = match command {
            Command::CreateDatabase { .. } if !privileges().create_database => {
                "permission denied to create database".to_owned()
            }
            Command::DropDatabase { name, .. } if !privileges().superuser => {
                format!("must be superuser to drop database \"{name}\"")
            }
            Command::AlterSystem { name: Some(name), .. } if !privileges().superuser => {
                format!("permission denied to set parameter \"{name}\"")
            }
            Command::AlterSystem { name: None, .. } if !privileges().superuser => {
                "permission denied to perform ALTER SYSTEM RESET ALL".to_owned()
            }
            Command::Checkpoint if !privileges().superuser => "must be superuser to do CHECKPOINT".to_owned(),
            _ => return Ok(()),
        };
        Err(SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, denied))
    }

    /// The statement for these tokens, from the cache or compiled now.
    pub(super) fn plan(
        &mut self,
        text: &str,
        tokens: &[Token<'_>],
        stated: &[Option<PgType>],
    ) -> Result<Compiled, SqlError> {
        let key = plan_key(text, tokens, stated);
        if let Some(compiled) = self.plans.take(&key) {
            return Ok(compiled);
        }
        let host = &self.host;
        let functions = |name: &str| host.function_type(name);
        let hints = TypeHints { stated, functions: &functions, asks_catalog: false };
        let connection = self.engine.connection();
        // questions about the catalog are put into SQLite's grammar first
        let Some(asked) = catalog::rewrite(source_of(text, tokens))? else {
            return compile(connection, &self.guard, text, tokens, key, hints).map_err(catalog::with_advice);
        };
        let statements = split(&asked.sql);
        let asked_tokens = statements.first().map(Vec::as_slice).unwrap_or_default();
        let asked_hints = TypeHints { asks_catalog: asked.asks_catalog, ..hints };
        compile(connection, &self.guard, &asked.sql, asked_tokens, key.clone(), asked_hints).map_err(
            |error| {
                // the client's own text says where, if it fails in the same way
                let shown = match compile(connection, &self.guard, text, tokens, key, hints) {
                    Err(own) if own.state() == error.state() => own,
                    _ => error.at(None),
                };
                catalog::with_advice(shown)
            },
        )
    }
}

fn source_of<'a>(text: &'a str, tokens: &[Token<'_>]) -> &'a str {
    let whole = tokens.first().zip(tokens.last());
    whole.and_then(|(first, last)| text.get(first.start..last.end())).unwrap_or(text)
}

/// An error's position, from a byte offset (counted from 1) to the characters that the protocol counts.
pub(super) fn in_characters(error: SqlError, text: &str) -> SqlError {
    let position = error.report().position.map(|byte| {
        let before = text.char_indices().take_while(|(at, _)| *at < byte.saturating_sub(1)).count();
        before + 1
    });
    error.at(position)
}
