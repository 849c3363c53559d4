use walship_protocol::wire::SqlState;

use crate::command::Cursor;
use crate::error::SqlError;
use crate::lexer::{Token, TokenKind};

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CopySource {
    /// A table, as it was written, and its columns; none means all.
    Table { name: String, columns: Vec<String> },
    /// The result of a query: its text.
    Query(String),
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyDirection {
    /// FROM STDIN.
    In,
    /// TO STDOUT.
    Out,
}

/// What the first line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// Data.
    None,
    /// Names, which are not looked at.
    Skip,
    /// Names, which have to be those of the columns.
    Match,
}

/// Columns that an option is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Columns {
    /// `*`
    All,
    /// Those, in lower case; none by default.
    Named(Vec<String>),
}

impl Columns {
    pub(crate) fn contain(&self, name: &str) -> bool {
        match self {
            Columns::All => true,
            Columns::Named(names) => names.iter().any(|known| known.eq_ignore_ascii_case(name)),
        }
    }
}

/// How rows look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CopyFormat {
    pub(crate) csv: bool,
    pub(crate) delimiter: u8,
    pub(crate) null: Vec<u8>,
    pub(crate) header: Header,
    pub(crate) quote: u8,
    pub(crate) escape: u8,
    pub(crate) force_quote: Columns,
    pub(crate) force_not_null: Columns,
    pub(crate) force_null: Columns,
}

/// A COPY statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CopyStatement {
    pub(crate) source: CopySource,
    pub(crate) direction: CopyDirection,
    pub(crate) format: CopyFormat,
}

#[derive(Default)]
struct Options {
    csv: bool,
    delimiter: Option<u8>,
    null: Option<Vec<u8>>,
    header: Option<Header>,
    quote: Option<u8>,
    escape: Option<u8>,
    force_quote: Option<Columns>,
    force_not_null: Option<Columns>,
    force_null: Option<Columns>,
}

impl CopyStatement {
    /// Reads a statement's tokens of `text`. Positions of errors are byte offsets, counted from 1.
    pub(crate) fn parse(text: &str, tokens: &[Token<'_>]) -> Result<CopyStatement, SqlError> {
        let mut cursor = Cursor::new(tokens);
        cursor.expect("copy")?;
        let source = source(text, &mut cursor)?;
        let direction = direction(&mut cursor)?;
        if matches!((&source, direction), (CopySource::Query(_), CopyDirection::In)) {
            return Err(invalid("COPY FROM needs a table, not a query"));
        }
        let options = options(&mut cursor)?;
        cursor.end()?;
        Ok(CopyStatement { source, direction, format: options.checked()? })
    }
}

fn source(text: &str, cursor: &mut Cursor<'_, '_>) -> Result<CopySource, SqlError> {
    if let Some(open) = cursor.peek().filter(|token| token.kind == TokenKind::Open) {
        cursor.next();
        let mut depth = 1usize;
        while let Some(token) = cursor.next() {
            match token.kind {
                TokenKind::Open => depth += 1,
                TokenKind::Close => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let query = text.get(open.end()..token.start).unwrap_or_default();
                return Ok(CopySource::Query(query.to_owned()));
            }
        }
        return Err(cursor.unexpected());
    }
    let first = cursor.peek();
    cursor.name()?;
    let mut last = first;
    while cursor.take_kind(TokenKind::Dot) {
        last = cursor.peek();
        cursor.name()?;
    }
    let range = first.zip(last).map(|(first, last)| first.start..last.end());
    let name = range.and_then(|range| text.get(range)).unwrap_or_default().to_owned();
    let columns = if cursor.take_kind(TokenKind::Open) { names(cursor)? } else { Vec::new() };
    Ok(CopySource::Table { name, columns })
}

// names up to a closing parenthesis
fn names(cursor: &mut Cursor<'_, '_>) -> Result<Vec<String>, SqlError> {
    let mut names = Vec::new();
    loop {
        names.push(cursor.name()?);
        if cursor.take_kind(TokenKind::Close) {
            return Ok(names);
        }
        if !cursor.take_kind(TokenKind::Comma) {
            return Err(cursor.unexpected());
        }
    }
}

fn direction(cursor: &mut Cursor<'_, '_>) -> Result<CopyDirection, SqlError> {
    let direction = if cursor.take(&["from"]) {
        CopyDirection::In
    } else {
        cursor.expect("to")?;
        CopyDirection::Out
    };
    if cursor.peek().is_some_and(|token| token.kind == TokenKind::String || token.is("program")) {
        return Err(SqlError::new(
            SqlState::INSUFFICIENT_PRIVILEGE,
            "COPY with a file or a program on the server is not allowed",
        )
        .with_hint("Use STDIN and STDOUT; psql's \\copy reads and writes files of the client."));
    }
    // PostgreSQL takes either word for either direction
    if cursor.take(&["stdin", "stdout"]) { Ok(direction) } else { Err(cursor.unexpected()) }
}

fn options(cursor: &mut Cursor<'_, '_>) -> Result<Options, SqlError> {
    let mut options = Options::default();
    cursor.take(&["with"]);
    if cursor.take_kind(TokenKind::Open) {
        loop {
            options.named(cursor)?;
            if cursor.take_kind(TokenKind::Close) {
                return Ok(options);
            }
            if !cursor.take_kind(TokenKind::Comma) {
                return Err(cursor.unexpected());
            }
        }
    }
    while cursor.peek().is_some() {
        options.old(cursor)?;
    }
    Ok(options)
}

impl Options {
    // name value, in parentheses
    fn named(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), SqlError> {
        let name = cursor.name()?;
        match name.as_str() {
            "format" => {
                let format =
                    cursor.next().map(|token| token.value().to_ascii_lowercase()).unwrap_or_default();
                self.format(&format)
            }
            "freeze" => boolean(cursor).map(drop),
            "delimiter" => single(&name, cursor).map(|byte| self.delimiter = Some(byte)),
            "null" => text(cursor).map(|text| self.null = Some(text)),
            "header" => {
                self.header = Some(match cursor.take(&["match"]) {
                    true => Header::Match,
                    false if boolean(cursor)? => Header::Skip,
                    false => Header::None,
                });
                Ok(())
            }
            "quote" => single(&name, cursor).map(|byte| self.quote = Some(byte)),
            "escape" => single(&name, cursor).map(|byte| self.escape = Some(byte)),
            "force_quote" => columns(cursor).map(|columns| self.force_quote = Some(columns)),
            "force_not_null" => columns(cursor).map(|columns| self.force_not_null = Some(columns)),
            "force_null" => columns(cursor).map(|columns| self.force_null = Some(columns)),
            "encoding" => encoding(cursor),
            _ => Err(SqlError::new(SqlState::SYNTAX_ERROR, format!("option \"{name}\" not recognized"))),
        }
    }

    // the syntax of before PostgreSQL 9.0
    fn old(&mut self, cursor: &mut Cursor<'_, '_>) -> Result<(), SqlError> {
        if cursor.take(&["csv"]) {
            self.csv = true;
        } else if cursor.take(&["binary"]) {
            self.format("binary")?;
        } else if cursor.take(&["header"]) {
            self.header = Some(Header::Skip);
        } else if cursor.take(&["freeze"]) {
        } else if cursor.take(&["delimiter", "delimiters"]) {
            cursor.take(&["as"]);
            self.delimiter = Some(single("delimiter", cursor)?);
        } else if cursor.take(&["null"]) {
            cursor.take(&["as"]);
            self.null = Some(text(cursor)?);
        } else if cursor.take(&["quote"]) {
            cursor.take(&["as"]);
            self.quote = Some(single("quote", cursor)?);
        } else if cursor.take(&["escape"]) {
            cursor.take(&["as"]);
            self.escape = Some(single("escape", cursor)?);
        } else if cursor.take_all(&["force", "quote"]) {
            self.force_quote = Some(bare_columns(cursor)?);
        } else if cursor.take_all(&["force", "not", "null"]) {
            self.force_not_null = Some(bare_columns(cursor)?);
        } else if cursor.take_all(&["force", "null"]) {
            self.force_null = Some(bare_columns(cursor)?);
        } else if cursor.take(&["encoding"]) {
            encoding(cursor)?;
        } else {
            return Err(cursor.unexpected());
        }
        Ok(())
    }

    fn format(&mut self, format: &str) -> Result<(), SqlError> {
        match format {
            "csv" => self.csv = true,
            "text" => self.csv = false,
            "binary" => {
                return Err(SqlError::new(
                    SqlState::FEATURE_NOT_SUPPORTED,
                    "COPY in binary format is not supported",
                )
                .with_hint("Use FORMAT text or FORMAT csv."));
            }
            other => return Err(invalid(&format!("COPY format \"{other}\" not recognized"))),
        }
        Ok(())
    }

    fn checked(self) -> Result<CopyFormat, SqlError> {
        let csv_only = [
            ("QUOTE", self.quote.is_some()),
            ("ESCAPE", self.escape.is_some()),
            ("FORCE_QUOTE", self.force_quote.is_some()),
            ("FORCE_NOT_NULL", self.force_not_null.is_some()),
            ("FORCE_NULL", self.force_null.is_some()),
        ];
        if let Some((name, _)) = csv_only.iter().find(|(_, given)| *given && !self.csv) {
            return Err(invalid(&format!("COPY {name} requires CSV mode")));
        }
        let none = || Columns::Named(Vec::new());
        let quote = self.quote.unwrap_or(b'"');
        let format = CopyFormat {
            csv: self.csv,
            delimiter: self.delimiter.unwrap_or(if self.csv { b',' } else { b'\t' }),
            null: self.null.unwrap_or_else(|| if self.csv { Vec::new() } else { b"\\N".to_vec() }),
            header: self.header.unwrap_or(Header::None),
            quote,
            escape: self.escape.unwrap_or(quote),
            force_quote: self.force_quote.unwrap_or_else(none),
            force_not_null: self.force_not_null.unwrap_or_else(none),
            force_null: self.force_null.unwrap_or_else(none),
        };
        let reserved: &[u8] =
            if format.csv { b"\r\n" } else { b"\\.abcdefghijklmnopqrstuvwxyz0123456789\r\n" };
        if reserved.contains(&format.delimiter) || (format.csv && format.delimiter == format.quote) {
            let shown = char::from(format.delimiter).escape_default().to_string();
            return Err(invalid(&format!("COPY delimiter cannot be \"{shown}\"")));
        }
        if format.null.iter().any(|b| matches!(b, b'\r' | b'\n')) || format.null.contains(&format.delimiter) {
            return Err(invalid(
                "COPY null representation cannot contain the delimiter, a newline or a carriage return",
            ));
        }
        Ok(format)
    }
}

fn invalid(message: &str) -> SqlError {
    SqlError::new(SqlState::INVALID_PARAMETER_VALUE, message)
}

// nothing behind the name means true
fn boolean(cursor: &mut Cursor<'_, '_>) -> Result<bool, SqlError> {
    let ends = |token: &Token<'_>| matches!(token.kind, TokenKind::Comma | TokenKind::Close);
    let Some(token) = cursor.peek().filter(|token| !ends(token)) else { return Ok(true) };
    cursor.next();
    match token.value().to_ascii_lowercase().as_str() {
        "true" | "on" | "1" => Ok(true),
        "false" | "off" | "0" => Ok(false),
        other => Err(invalid(&format!("\"{other}\" is not a Boolean value"))),
    }
}

// a string, also in the form E'\t'
fn text(cursor: &mut Cursor<'_, '_>) -> Result<Vec<u8>, SqlError> {
    let escapes = cursor.take(&["e"]);
    let Some(token) = cursor.peek().filter(|token| token.kind == TokenKind::String) else {
        return Err(cursor.unexpected());
    };
    cursor.next();
    let value = token.value();
    Ok(if escapes { unescaped(&value) } else { value.into_bytes() })
}

fn unescaped(value: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next() {
                Some(b't') => b'\t',
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b'b') => 0x08,
                Some(b'f') => 0x0c,
                Some(other) => other,
                None => b'\\',
            },
            plain => plain,
        });
    }
    bytes
}

fn single(name: &str, cursor: &mut Cursor<'_, '_>) -> Result<u8, SqlError> {
    match text(cursor)?.as_slice() {
        [byte] => Ok(*byte),
        _ => Err(invalid(&format!("COPY {name} must be a single one-byte character"))),
    }
}

fn columns(cursor: &mut Cursor<'_, '_>) -> Result<Columns, SqlError> {
    if cursor.take_kind(TokenKind::Open) {
        return names(cursor).map(Columns::Named);
    }
    star(cursor)
}

fn bare_columns(cursor: &mut Cursor<'_, '_>) -> Result<Columns, SqlError> {
    if cursor.peek().is_some_and(|token| token.text == "*") {
        return star(cursor);
    }
    let mut names = vec![cursor.name()?];
    while cursor.take_kind(TokenKind::Comma) {
        names.push(cursor.name()?);
    }
    Ok(Columns::Named(names))
}

fn star(cursor: &mut Cursor<'_, '_>) -> Result<Columns, SqlError> {
    if cursor.peek().is_some_and(|token| token.text == "*") {
        cursor.next();
        return Ok(Columns::All);
    }
    Err(cursor.unexpected())
}

fn encoding(cursor: &mut Cursor<'_, '_>) -> Result<(), SqlError> {
    let name = String::from_utf8_lossy(&text(cursor)?).into_owned();
    if ["utf8", "utf-8", "unicode"].iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("encoding \"{name}\" is not supported"))
        .with_hint("The one encoding is UTF8."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::split;

    fn parse(text: &str) -> Result<CopyStatement, SqlError> {
        CopyStatement::parse(text, &split(text)[0])
    }

    #[test]
    fn both_syntaxes_mean_the_same() {
        let new = parse(
            "COPY t (a, b) FROM STDIN WITH (FORMAT csv, DELIMITER ';', NULL 'x', HEADER, QUOTE '''', ESCAPE E'\\\\', FORCE_NOT_NULL (a))",
        );
        let old = parse(
            "copy  t(a,b) from stdin delimiter as ';' null 'x' csv header quote '''' escape as E'\\\\' force not null a",
        );
        assert_eq!(new.unwrap(), old.unwrap());
        let frozen = parse("copy pgbench_accounts from stdin with (freeze on)").unwrap();
        assert_eq!(frozen.format.delimiter, b'\t');
        let query = parse("copy (select 1, (2)) to stdout (header match)").unwrap();
        assert_eq!(query.source, CopySource::Query("select 1, (2)".to_owned()));
        assert_eq!(
            parse("COPY  \"T\".\"u v\" TO STDOUT ").unwrap().source,
            CopySource::Table { name: "\"T\".\"u v\"".to_owned(), columns: vec![] }
        );
    }

    #[test]
    fn refusals_have_reasons() {
        for (sql, state) in [
            ("copy t from 'file'", SqlState::INSUFFICIENT_PRIVILEGE),
            ("copy t to program 'x'", SqlState::INSUFFICIENT_PRIVILEGE),
            ("copy t from stdin (format binary)", SqlState::FEATURE_NOT_SUPPORTED),
            ("copy t from stdin (quote 'x')", SqlState::INVALID_PARAMETER_VALUE),
            ("copy t from stdin (delimiter 'ab')", SqlState::INVALID_PARAMETER_VALUE),
            ("copy t from stdin (delimiter 'a')", SqlState::INVALID_PARAMETER_VALUE),
            ("copy t from stdin (nonsense)", SqlState::SYNTAX_ERROR),
            ("copy (select 1) from stdin", SqlState::INVALID_PARAMETER_VALUE),
            ("copy t", SqlState::SYNTAX_ERROR),
            ("copy t from stdin (encoding 'latin1')", SqlState::FEATURE_NOT_SUPPORTED),
        ] {
            assert_eq!(parse(sql).unwrap_err().state(), state, "{sql}");
        }
    }
}
