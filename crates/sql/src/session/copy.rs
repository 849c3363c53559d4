use std::io::{Read, Write};

use walship_protocol::wire::{self, FrontendMessage, SqlState};

use super::{Session, Stop};
use crate::copy::{CopyDirection, CopyFormat, CopyReader, CopySource, CopyStatement, Header, Row, write_row};
use crate::error::SqlError;
use crate::lexer::{Token, split};
use crate::plan::Compiled;
use crate::roles::Level;
use crate::sqlite_error::sql_error;
use crate::statement::{Parameter, Value};
use crate::value::{decode, encode_text};

// what an error's context shows of a field, in bytes
const SHOWN_BYTES: usize = 100;

impl<S: Read + Write> Session<S> {
    /// COPY. Positions of errors are byte offsets into `text`, counted from 1.
    pub(super) fn copy(&mut self, text: &str, tokens: &[Token<'_>]) -> Result<(), Stop> {
        let statement = CopyStatement::parse(text, tokens)?;
        let rows = match statement.direction {
            CopyDirection::In => self.copy_in(statement)?,
            CopyDirection::Out => self.copy_out(&statement)?,
        };
        wire::put_command_complete(&mut self.channel.output, &format!("COPY {rows}"));
        Ok(())
    }

    // the position of an error in a text of ours means nothing to the client
    fn plan_internal(&mut self, sql: &str) -> Result<Compiled, SqlError> {
        let statements = split(sql);
        let [tokens] = statements.as_slice() else {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, "COPY needs one query"));
        };
        self.plan(sql, tokens, &[]).map_err(|error| error.at(None))
    }

    fn copy_out(&mut self, statement: &CopyStatement) -> Result<u64, Stop> {
        let query = match &statement.source {
            CopySource::Query(query) => query.clone(),
            CopySource::Table { name, columns } if columns.is_empty() => format!("SELECT * FROM {name}"),
            CopySource::Table { name, columns } => format!("SELECT {} FROM {name}", list(columns)),
        };
        let mut compiled = self.plan_internal(&query)?;
        let result = self.send_rows(&mut compiled, &statement.format);
        self.plans.put(compiled);
        let noted = self.after_statement();
        let rows = result?;
        noted?;
        Ok(rows)
    }

    fn send_rows(&mut self, compiled: &mut Compiled, format: &CopyFormat) -> Result<u64, Stop> {
        let plan = std::rc::Rc::clone(&compiled.plan);
        if plan.writes {
            self.check_writable("COPY")?;
            self.take_turn(false)?;
        } else {
            self.check_level(Level::Read)?;
        }
        let mut has_row = self.step(compiled)?;
        self.has_read |= !plan.writes;
        wire::put_copy_response(&mut self.channel.output, wire::CopyDirection::Out, plan.columns.len());
        let names = plan.columns.iter().map(|column| column.name.as_str());
        if format.header != Header::None {
            let header = names.clone().map(|name| (name, Some(name.as_bytes())));
            self.copy_row(format, header)?;
        }
        let mut rows = 0;
        // the fields of one row, used again for the next
        let mut fields: Vec<Vec<u8>> = vec![Vec::new(); plan.columns.len()];
        while has_row {
            for (at, (column, field)) in plan.columns.iter().zip(&mut fields).enumerate() {
                field.clear();
                encode_text(column.pg_type, compiled.statement.value(at), field);
            }
            let is_null = |at| compiled.statement.value(at) == Value::Null;
            let row = names.clone().zip(&fields).enumerate();
            let row = row.map(|(at, (name, field))| (name, (!is_null(at)).then_some(field.as_slice())));
            self.copy_row(format, row)?;
            rows += 1;
            if self.channel.is_full() {
                self.send()?;
            }
            has_row = self.step(compiled)?;
        }
        wire::put_copy_done(&mut self.channel.output);
        Ok(rows)
    }

    fn copy_row<'a>(
        &mut self,
        format: &CopyFormat,
        row: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
    ) -> Result<(), SqlError> {
        wire::put_copy_data_with(&mut self.channel.output, |bytes| {
            write_row(format, row, bytes);
            Ok(())
        })
    }

    fn copy_in(&mut self, statement: CopyStatement) -> Result<u64, Stop> {
        let CopySource::Table { name, columns } = statement.source else {
            return Err(SqlError::new(SqlState::INVALID_PARAMETER_VALUE, "COPY FROM needs a table").into());
        };
        let columns = if columns.is_empty() { self.stored_columns(&name)? } else { columns };
        let marks: Vec<String> = (1..=columns.len()).map(|number| format!("${number}")).collect();
        let insert = format!("INSERT INTO {name} ({}) VALUES ({})", list(&columns), marks.join(", "));
        self.check_writable("COPY FROM")?;
        self.open_implicit_block()?;
        let compiled = self.plan_internal(&insert)?;
        let mut target = Target { name, columns, compiled, rows: 0, awaits_header: false };
        target.awaits_header = statement.format.header != Header::None;
        wire::put_copy_response(&mut self.channel.output, wire::CopyDirection::In, target.columns.len());
        self.send()?;
        let result = self.receive_rows(&mut target, &statement.format);
        let rows = target.rows;
        self.plans.put(target.compiled);
        let noted = self.after_statement();
        result?;
        noted?;
        Ok(rows)
    }

    // names of the columns that a row gives values to: not the generated ones
    fn stored_columns(&mut self, table: &str) -> Result<Vec<String>, SqlError> {
        let compiled = self.plan_internal(&format!("SELECT * FROM {table}"))?;
        let all = compiled.plan.columns.iter().map(|column| column.name.clone()).collect();
        self.plans.put(compiled);
        let bare = table.rsplit('.').next().unwrap_or(table).trim_matches('"');
        let query = "SELECT name FROM pragma_table_xinfo(?1) WHERE hidden = 0 ORDER BY cid";
        let stored = self.engine.connection().prepare_cached(query).and_then(|mut statement| {
            statement.query_map([bare], |row| row.get(0))?.collect::<rusqlite::Result<Vec<String>>>()
        });
        Ok(stored.ok().filter(|columns| !columns.is_empty()).unwrap_or(all))
    }

    fn receive_rows(&mut self, target: &mut Target, format: &CopyFormat) -> Result<(), Stop> {
        let mut reader = CopyReader::new(format.clone());
        let (mut row, mut body) = (Row::default(), Vec::new());
        loop {
            let tag = self.receive(&mut body)?;
            self.start.signals.check()?;
            let message = FrontendMessage::decode(tag, &body)
                .map_err(|error| SqlError::fatal(SqlState::PROTOCOL_VIOLATION, error.to_string()))?;
            let at_end = match message {
                FrontendMessage::CopyData(bytes) => {
                    reader.push(bytes)?;
                    false
                }
                FrontendMessage::CopyDone => true,
                FrontendMessage::CopyFail(reason) => {
                    let context = target.context(&reader, None);
                    return Err(SqlError::new(
                        SqlState::QUERY_CANCELED,
                        format!("COPY from stdin failed: {reason}"),
                    )
                    .with_context(context)
                    .into());
                }
                // libpq sends these behind an Execute, before it knows that it is a COPY
                FrontendMessage::Flush | FrontendMessage::Sync => continue,
                _ => {
                    return Err(SqlError::fatal(
                        SqlState::PROTOCOL_VIOLATION,
                        format!("unexpected message type 0x{tag:02X} during COPY from stdin"),
                    )
                    .into());
                }
            };
            loop {
                match reader.next_row(&mut row, at_end) {
                    Ok(true) => self.insert_row(target, &reader, &row, format)?,
                    Ok(false) => break,
                    Err(error) => return Err(error.with_context(target.context(&reader, None)).into()),
                }
            }
            if at_end {
                return Ok(());
            }
        }
    }

    fn insert_row(
        &mut self,
        target: &mut Target,
        reader: &CopyReader,
        row: &Row,
        format: &CopyFormat,
    ) -> Result<(), Stop> {
        if std::mem::take(&mut target.awaits_header) {
            return Ok(target.check_header(row, format)?);
        }
        target.bind(row, reader, format)?;
        self.take_turn(false)?;
        let result = self.step(&mut target.compiled);
        target.compiled.statement.reset();
        match result {
            Ok(_) => {
                target.rows += 1;
                Ok(())
            }
            Err(error) => Err(error.with_context(target.context(reader, None)).into()),
        }
    }
}

/// Where the rows of a COPY FROM go.
struct Target {
    name: String,
    columns: Vec<String>,
    compiled: Compiled,
    rows: u64,
    awaits_header: bool,
}

impl Target {
    fn context(&self, reader: &CopyReader, field: Option<(&str, &[u8])>) -> String {
        let place = format!("COPY {}, line {}", self.name, reader.line());
        match field {
            None => place,
            Some((column, value)) => {
                let shown = String::from_utf8_lossy(value.get(..SHOWN_BYTES).unwrap_or(value)).into_owned();
                format!("{place}, column {column}: \"{shown}\"")
            }
        }
    }

    fn check_header(&self, row: &Row, format: &CopyFormat) -> Result<(), SqlError> {
        if format.header != Header::Match {
            return Ok(());
        }
        for (at, column) in self.columns.iter().enumerate() {
            let found = row.field(at, true, false, &format.null).map(String::from_utf8_lossy);
            if found.as_deref() != Some(column.as_str()) {
                return Err(SqlError::new(
                    SqlState::BAD_COPY_FILE_FORMAT,
                    format!(
                        "column name mismatch in header line field {}: got \"{}\", expected \"{column}\"",
                        at + 1,
                        found.unwrap_or_default()
                    ),
                )
                .with_context(format!("COPY {}, line 1", self.name)));
            }
        }
        Ok(())
    }

    fn bind(&mut self, row: &Row, reader: &CopyReader, format: &CopyFormat) -> Result<(), SqlError> {
        if row.len() > self.columns.len() {
            return Err(SqlError::new(
                SqlState::BAD_COPY_FILE_FORMAT,
                "extra data after last expected column",
            )
            .with_context(self.context(reader, None)));
        }
        for (at, column) in self.columns.iter().enumerate() {
            if at >= row.len() {
                return Err(SqlError::new(
                    SqlState::BAD_COPY_FILE_FORMAT,
                    format!("missing data for column \"{column}\""),
                )
                .with_context(self.context(reader, None)));
            }
            let force_not_null = format.force_not_null.contain(column);
            let field = row.field(at, force_not_null, format.force_null.contain(column), &format.null);
            let pg_type = self.compiled.plan.parameters.get(at).copied().unwrap_or(crate::PgType::Text);
            let value = match field {
                None => Parameter::Null,
                Some(field) => decode(pg_type, false, field, at + 1)
                    .map_err(|error| error.with_context(self.context(reader, Some((column, field)))))?,
            };
            self.compiled.statement.bind(at + 1, &value).map_err(|failure| sql_error(&failure))?;
        }
        Ok(())
    }
}

// in the quotes that SQLite never takes for those of a string: an unknown name has to be an error
fn list(columns: &[String]) -> String {
    let quoted: Vec<String> =
        columns.iter().map(|column| format!("`{}`", column.replace('`', "``"))).collect();
    quoted.join(", ")
}
