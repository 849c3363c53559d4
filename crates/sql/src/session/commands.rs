//! Statements that the server itself answers, without SQLite.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use walship_protocol::wire::{self, SqlState};
use walship_settings::{Context, Typed as _, definition};
use walship_types::Lsn;

use super::execute::text_result;
use super::{Session, Stop};
use crate::command::{Command, Discard, role_tag};
use crate::error::SqlError;
use crate::guard::Guard;
use crate::host::{Logged, TurnLimits};
use crate::roles::RoleChange;

impl<S: Read + Write> Session<S> {
    /// Runs a command that is not SQLite's; `describes` where a result needs its RowDescription.
    pub(super) fn command(&mut self, command: &Command, describes: bool) -> Result<(), Stop> {
        let tag = match command {
            Command::Set { name, value, local } => {
                self.set_setting(name, value.as_deref(), *local)?;
                "SET"
            }
            Command::SetTransaction { modes, session } => {
                self.set_transaction(*modes, *session)?;
                "SET"
            }
            Command::Reset(name) => {
                self.reset_setting(name.as_deref())?;
                "RESET"
            }
            Command::Show(name) => return self.show_setting(name.as_deref(), describes),
            Command::Discard(what) => self.discard(*what)?,
            Command::Deallocate(name) => self.deallocate(name.as_deref())?,
            Command::CloseCursor(name) => self.close_cursor(name.as_deref())?,
            Command::Unlisten => "UNLISTEN",
            Command::CreateDatabase { name, page_size } => {
                self.check_writable("CREATE DATABASE")?;
                let lsn = self.host.create_database(name, *page_size)?;
                self.note_commit(Logged::now(lsn));
                "CREATE DATABASE"
            }
            Command::Role(change) => self.change_roles(change)?,
            Command::DropDatabase { name, if_exists } => self.drop_database(name, *if_exists)?,
            Command::Checkpoint => {
                self.host.checkpoint()?;
                "CHECKPOINT"
            }
            Command::AlterSystem { name, value } => {
                self.host.alter_system(name.as_deref(), value.as_deref())?;
                self.say_if_restart_is_needed(name.as_deref());
                "ALTER SYSTEM"
            }
            Command::WaitForLsn { lsn, timeout_ms, no_throw } => {
                return self.wait_for_lsn(lsn, *timeout_ms, *no_throw, describes);
            }
            transaction => self.transaction_command(transaction)?,
        };
        wire::put_command_complete(&mut self.channel.output, tag);
        Ok(())
    }

    /// Names of the columns of a command's result; none if it has no result.
    pub(super) fn command_columns(command: &Command) -> Vec<String> {
        match command {
            Command::Show(Some(name)) => vec![name.clone()],
            Command::Show(None) => vec!["name".to_owned(), "setting".to_owned(), "description".to_owned()],
            Command::WaitForLsn { .. } => vec!["status".to_owned()],
            _ => Vec::new(),
        }
    }

    // a new connection forgets everything that SQLite keeps: temporary tables, last_insert_rowid(), PRAGMAs
    fn discard(&mut self, what: Discard) -> Result<&'static str, SqlError> {
        match what {
            Discard::Sequences => return Ok("DISCARD SEQUENCES"),
            Discard::Plans => {
                self.plans.clear();
                return Ok("DISCARD PLANS");
            }
            Discard::Temporary => {
                self.drop_temporary()?;
                return Ok("DISCARD TEMP");
            }
            Discard::All => {}
        }
        self.end_portals();
        self.prepared.clear();
        self.plans.clear();
        let engine = self.host.open(&self.start)?;
        self.start.signals.begin(engine.connection().get_interrupt_handle());
        let guard = Guard::install(engine.connection(), self.start.signals.clone());
        // the old connection goes before its guard
        self.engine = engine;
        self.guard = guard;
        self.reset_setting(None)?;
        Ok("DISCARD ALL")
    }

    fn drop_temporary(&mut self) -> Result<(), SqlError> {
        let names: Vec<String> = {
            let connection = self.engine.connection();
            let query =
                "SELECT name FROM sqlite_temp_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'";
            let read = || -> rusqlite::Result<Vec<String>> {
                connection.prepare(query)?.query_map([], |row| row.get(0))?.collect()
            };
            read().map_err(|error| SqlError::new(SqlState::INTERNAL_ERROR, error.to_string()))?
        };
        self.plans.clear();
        for name in names {
            self.run_internal(&format!("DROP TABLE temp.\"{}\"", name.replace('"', "\"\"")))?;
        }
        Ok(())
    }

    fn deallocate(&mut self, name: Option<&str>) -> Result<&'static str, SqlError> {
        let Some(name) = name else {
            self.prepared.retain(|name, _| name.is_empty());
            return Ok("DEALLOCATE ALL");
        };
        if self.prepared.remove(name).is_none() {
            return Err(SqlError::new(
                SqlState::INVALID_SQL_STATEMENT_NAME,
                format!("prepared statement \"{name}\" does not exist"),
            ));
        }
        Ok("DEALLOCATE")
    }

    fn close_cursor(&mut self, name: Option<&str>) -> Result<&'static str, SqlError> {
        match name {
            None => Ok("CLOSE CURSOR ALL"),
            Some(name) => {
                Err(SqlError::new(SqlState::INVALID_CURSOR_NAME, format!("cursor \"{name}\" does not exist")))
            }
        }
    }

    fn drop_database(&mut self, name: &str, if_exists: bool) -> Result<&'static str, SqlError> {
        self.check_writable("DROP DATABASE")?;
        if self.start.parameters.database() == Some(name) {
            return Err(SqlError::new(SqlState::OBJECT_IN_USE, "cannot drop the currently open database"));
        }
        match self.host.drop_database(name, if_exists)? {
            Some(lsn) => self.note_commit(Logged::now(lsn)),
            None => {
                let notice = format!("database \"{name}\" does not exist, skipping");
                wire::put_error(
                    &mut self.channel.output,
                    SqlError::notice(SqlState::SUCCESSFUL_COMPLETION, notice).report(),
                );
            }
        }
        Ok("DROP DATABASE")
    }

    // PostgreSQL leaves it to pg_settings.pending_restart, which shows it after a reload as well
    fn say_if_restart_is_needed(&mut self, name: Option<&str>) {
        let setting = name.and_then(definition).filter(|setting| setting.context == Context::Postmaster);
        if let Some(setting) = setting {
            let notice = format!("parameter \"{}\" takes effect when the server is restarted", setting.name);
            wire::put_error(
                &mut self.channel.output,
                SqlError::notice(SqlState::SUCCESSFUL_COMPLETION, notice).report(),
            );
        }
    }

    fn change_roles(&mut self, change: &RoleChange) -> Result<&'static str, SqlError> {
        let tag = role_tag(change);
        self.check_read_only(tag)?;
        let limit = self.start.settings.lock().timeout("lock_timeout");
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let limits = TurnLimits { deadline, cancel: self.start.signals.interrupted() };
        if let Some(lsn) = self.host.change_roles(change, &self.start, limits)? {
            self.note_commit(Logged::now(lsn));
        }
        Ok(tag)
    }

    fn wait_for_lsn(
        &mut self,
        lsn: &str,
        timeout_ms: Option<u64>,
        no_throw: bool,
        describes: bool,
    ) -> Result<(), Stop> {
        let target: Lsn = lsn.parse().map_err(|_| {
            SqlError::new(
                SqlState::INVALID_TEXT_REPRESENTATION,
                format!("invalid input syntax for type pg_lsn: \"{lsn}\""),
            )
        })?;
        let timeout = timeout_ms.map(Duration::from_millis);
        let status = match self.host.wait_for_replay(target, timeout, &self.start) {
            Ok(true) => "success",
            Ok(false) if no_throw => "timeout",
            Ok(false) => {
                return Err(SqlError::new(
                    SqlState::QUERY_CANCELED,
                    format!("timed out while waiting for target LSN {target} to be replayed"),
                )
                .into());
            }
            Err(error) if no_throw && error.state() == SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE => {
                "not in recovery"
            }
            Err(error) => return Err(error.into()),
        };
        text_result(&mut self.channel.output, &["status"], &[vec![Some(status.to_owned())]], describes);
        wire::put_command_complete(&mut self.channel.output, "WAIT");
        Ok(())
    }
}
