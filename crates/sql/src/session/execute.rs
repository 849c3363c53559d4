use std::io::{Read, Write};

use walship_protocol::wire::{self, SqlState};

use super::{Session, Stop};
use crate::error::SqlError;
use crate::plan::{Column, Compiled, Plan};
use crate::roles::Level;
use crate::sqlite_error::sql_error;
use crate::statement::{SqliteFailure, Statement, Value};
use crate::tag::Verb;
use crate::value::{PgType, encode_binary, encode_text};

/// Result formats, as Bind states them: none is all text, one is for all, else one each.
pub(super) fn format_of(formats: &[i16], column: usize) -> i16 {
    match formats {
        [] => 0,
        [all] => *all,
        each => each.get(column).copied().unwrap_or(0),
    }
}

/// A statement on its way through its rows.
pub(super) struct Run {
    pub(super) compiled: Compiled,
    pub(super) formats: Vec<i16>,
    /// Whether a RowDescription goes before the first row.
    pub(super) describes: bool,
    rows_sent: u64,
    // the row that was fetched to see whether there is one, and not sent yet
    has_row: bool,
    is_begun: bool,
}

/// How far a run came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// To its end.
    Complete,
    /// To the row limit.
    Suspended,
}

impl Run {
    pub(super) fn new(compiled: Compiled, formats: Vec<i16>, describes: bool) -> Run {
        Run { compiled, formats, describes, rows_sent: 0, has_row: false, is_begun: false }
    }
}

impl<S: Read + Write> Session<S> {
    /// Runs a statement on, for at most `rows_max` rows (0 for all), and ends it where it ends.
    pub(super) fn run(&mut self, run: &mut Run, rows_max: u32) -> Result<Progress, Stop> {
        if self.may_be_queued(run) {
            return self.run_in_queue(run);
        }
        let result = self.run_rows(run, rows_max);
        if matches!(result, Ok(Progress::Suspended)) {
            wire::put_portal_suspended(&mut self.channel.output);
            return result;
        }
        run.compiled.statement.reset();
        let noted = self.after_statement();
        result?;
        noted?;
        self.complete(run);
        Ok(Progress::Complete)
    }

    /// Whether the statement may be run on another session's thread: it writes and commits, and that is all.
    fn may_be_queued(&self, run: &Run) -> bool {
        let plan = &run.compiled.plan;
        let only_writes = plan.writes && plan.columns.is_empty() && plan.verb != Verb::Other("VACUUM");
        only_writes && !run.is_begun && !self.transaction.is_open() && !self.engine.holds_turn()
    }

    fn run_in_queue(&mut self, run: &mut Run) -> Result<Progress, Stop> {
        run.is_begun = true;
        self.check_writable(run.compiled.plan.verb.name())?;
        let (stepped, noted) = self.run_queued(&mut run.compiled.statement);
        stepped.map_err(|failure| self.run_error(&run.compiled.plan, &failure))?;
        noted?;
        self.complete(run);
        Ok(Progress::Complete)
    }

    /// The end of a statement that went well.
    fn complete(&mut self, run: &mut Run) {
        let plan = &run.compiled.plan;
        if plan.verb.changes_schema() {
            self.plans.clear();
        }
        self.settings_changed |= plan.sets_settings;
        let changed = if plan.writes { self.engine.connection().changes() } else { 0 };
        let tag = plan.verb.tag(run.rows_sent, changed, !plan.columns.is_empty());
        run.rows_sent = 0;
        wire::put_command_complete(&mut self.channel.output, &tag);
    }

    fn run_rows(&mut self, run: &mut Run, rows_max: u32) -> Result<Progress, Stop> {
        if !run.is_begun {
            self.begin_run(run)?;
        }
        let mut sent = 0;
        while run.has_row {
            if rows_max > 0 && sent == rows_max {
                return Ok(Progress::Suspended);
            }
            encode_row(&mut self.channel.output, &run.compiled.plan, &run.compiled.statement, &run.formats)?;
            sent += 1;
            run.rows_sent += 1;
            run.has_row = self.step(&mut run.compiled)?;
            if self.channel.is_full() {
                self.send()?;
            }
        }
        Ok(Progress::Complete)
    }

    fn begin_run(&mut self, run: &mut Run) -> Result<(), Stop> {
        run.is_begun = true;
        if run.compiled.plan.writes {
            self.check_writable(run.compiled.plan.verb.name())?;
            self.take_turn(run.compiled.plan.verb == Verb::Other("VACUUM"))?;
        } else {
            self.check_level(Level::Read)?;
        }
        run.has_row = self.step(&mut run.compiled)?;
        self.has_read |= !run.compiled.plan.writes;
        // the schema may have changed since the columns were announced
        if run.compiled.statement.take_recompiled()
            && !same_columns(&run.compiled.plan.columns, &run.compiled.statement)
        {
            self.plans.clear();
            return Err(SqlError::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                "cached plan must not change result type",
            )
            .into());
        }
        if run.describes && !run.compiled.plan.columns.is_empty() {
            describe_row(&mut self.channel.output, &run.compiled.plan.columns, &run.formats);
        }
        Ok(())
    }

    /// The next row of a statement, with what went wrong in the client's words.
    pub(super) fn step(&mut self, compiled: &mut Compiled) -> Result<bool, SqlError> {
        let result = compiled.statement.step();
        result.map_err(|failure| self.run_error(&compiled.plan, &failure))
    }

    fn run_error(&mut self, plan: &Plan, failure: &SqliteFailure) -> SqlError {
        if let Some(failure) = self.engine.take_function_failure() {
            // a function that was interrupted does not know whether the session is to end with it
            let interrupted = failure.state() == SqlState::QUERY_CANCELED;
            return self.start.signals.check().err().filter(|_| interrupted).unwrap_or(failure);
        }
        // an interrupt has a reason that SQLite does not know
        match self.start.signals.check() {
            Err(reason) if failure.code & 0xff == rusqlite::ffi::SQLITE_INTERRUPT => reason,
            _ if failure.code & 0xff == rusqlite::ffi::SQLITE_READONLY => {
                let error = SqlError::new(
                    SqlState::READ_ONLY_SQL_TRANSACTION,
                    format!("cannot execute {} in a read-only transaction", plan.verb.name()),
                );
                match self.host.read_only_hint() {
                    Some(hint) => error.with_hint(hint),
                    None => error,
                }
            }
            _ => sql_error(failure),
        }
    }
}

fn same_columns(announced: &[Column], statement: &Statement) -> bool {
    announced.len() == statement.column_count()
        && announced
            .iter()
            .enumerate()
            .all(|(at, column)| column.is_renamed || column.name == statement.column_name(at))
}

/// Appends a RowDescription.
pub(super) fn describe_row(output: &mut Vec<u8>, columns: &[Column], formats: &[i16]) {
    wire::put_row_description(
        output,
        columns.iter().enumerate().map(|(at, column)| wire::FieldDescription {
            name: &column.name,
            type_oid: column.pg_type.oid(),
            type_length: column.pg_type.length(),
            type_modifier: -1,
            format: format_of(formats, at),
        }),
    );
}

// a row that cannot be encoded leaves nothing behind
fn encode_row(
    output: &mut Vec<u8>,
    plan: &Plan,
    statement: &Statement,
    formats: &[i16],
) -> Result<(), SqlError> {
    let before = output.len();
    let encoded = wire::put_row(output, plan.columns.len(), |output| {
        for (at, column) in plan.columns.iter().enumerate() {
            let encoded = match (statement.value(at), format_of(formats, at)) {
                (Value::Null, _) => {
                    wire::put_null(output);
                    Ok(())
                }
                (value, 0) => wire::put_value(output, |bytes| {
                    encode_text(column.pg_type, value, bytes);
                    Ok(())
                }),
                (value, _) => wire::put_value(output, |bytes| encode_binary(column.pg_type, value, bytes)),
            };
            encoded.map_err(|mismatch| mismatch.in_column(&column.name))?;
        }
        Ok(())
    });
    if encoded.is_err() {
        output.truncate(before);
    }
    encoded
}

/// A result of ours: text columns, one row each, and a tag.
pub(super) fn text_result(
    output: &mut Vec<u8>,
    names: &[&str],
    rows: &[Vec<Option<String>>],
    describes: bool,
) {
    if describes {
        let columns: Vec<Column> = names
            .iter()
            .map(|name| Column { name: (*name).to_owned(), is_renamed: false, pg_type: PgType::Text })
            .collect();
        describe_row(output, &columns, &[]);
    }
    for row in rows {
        wire::put_data_row(output, row);
    }
}
