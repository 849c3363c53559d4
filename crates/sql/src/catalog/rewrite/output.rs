use std::collections::HashMap;

use super::lexer::{Kind, Token};
use super::piece::Piece;
use crate::catalog::table::Table;
use crate::catalog::{PgType, SqlError, tables, type_of_function};

/// Types of the names that a statement gives to its own expressions, in lower case.
type Aliases = HashMap<String, PgType>;

/// Writes a statement anew, from left to right.
pub(super) struct Writer<'a> {
    sql: &'a str,
    tokens: &'a [Token<'a>],
    pub(super) at: usize,
    pub(super) done: Vec<Piece>,
    /// The catalog's tables that the statement names.
    tables: Vec<&'static Table>,
    /// Whether it asks the catalog anything.
    pub(super) asks_catalog: bool,
    aliases: &'a Aliases,
    /// Result columns that are written with their table, and have no other name: `d.datname` by `datname`.
    qualified: HashMap<String, String>,
    in_order_by: bool,
    /// Aliases that were met, for another pass: they may be used before they are given.
    found: Aliases,
    /// How many operands that are being written lie in each other.
    depth: usize,
    /// Why it cannot be written, if so.
    pub(super) refused: Option<SqlError>,
}

/// Operands in operands, at most: the stack of a session's thread is small.
const DEPTH_MAX: usize = 200;

/// What came of a statement.
pub(super) struct Written {
    pub(super) sql: String,
    /// Whether it asks the catalog anything.
    pub(super) asks_catalog: bool,
}

/// The statement with every change made.
pub(super) fn rewritten(sql: &str, tokens: &[Token<'_>]) -> Result<Written, SqlError> {
    let none = Aliases::new();
    let (written, found) = pass(sql, tokens, &none)?;
    if found.is_empty() {
        return Ok(written);
    }
    pass(sql, tokens, &found).map(|(written, _)| written)
}

fn pass(sql: &str, tokens: &[Token<'_>], aliases: &Aliases) -> Result<(Written, Aliases), SqlError> {
    let named = |table: &&'static Table| {
        tokens.iter().any(|token| token.kind == Kind::Word && token.text.eq_ignore_ascii_case(table.name))
    };
    let tables: Vec<&'static Table> = tables::all().filter(named).collect();
    let calls = |pair: &[Token<'_>]| {
        matches!(pair, [name, open] if name.kind == Kind::Word && open.is_symbol("(")
            && type_of_function(name.text).is_some())
    };
    let asks_catalog = !tables.is_empty() || tokens.windows(2).any(calls);
    let mut writer = Writer {
        sql,
        tokens,
        at: 0,
        done: Vec::with_capacity(tokens.len()),
        tables,
        asks_catalog,
        aliases,
        qualified: qualified(tokens),
        in_order_by: false,
        found: Aliases::new(),
        depth: 0,
        refused: None,
    };
    while writer.at < tokens.len() {
        writer.step();
    }
    if let Some(refused) = writer.refused {
        return Err(refused);
    }
    let mut text = String::with_capacity(sql.len() * 2);
    writer.done.iter().for_each(|piece| piece.write(&mut text));
    text.push_str(sql.get(tokens.last().map_or(0, |last| last.end)..).unwrap_or_default());
    Ok((Written { sql: text, asks_catalog }, writer.found))
}

impl<'a> Writer<'a> {
    pub(super) fn token(&self, ahead: usize) -> Option<&Token<'a>> {
        self.tokens.get(self.at + ahead)
    }

    pub(super) fn next_is(&self, ahead: usize, symbol: &str) -> bool {
        self.token(ahead).is_some_and(|token| token.is_symbol(symbol))
    }

    pub(super) fn word_is(&self, ahead: usize, word: &str) -> bool {
        self.token(ahead).is_some_and(|token| token.is(word))
    }

    /// Whether the token is a string constant.
    pub(super) fn string_at(&self, ahead: usize) -> Option<&'a str> {
        self.token(ahead).filter(|token| token.kind == Kind::String).map(|token| token.text)
    }

    /// The space and comments in front of the current token.
    pub(super) fn gap(&self) -> String {
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(0, |token| token.end);
        let start = self.token(0).map_or(before, |token| token.start);
        self.sql.get(before..start).unwrap_or_default().to_owned()
    }

    /// Writes `text` for the next `tokens` tokens.
    pub(super) fn write(&mut self, text: impl Into<String>, kind: Kind, tokens: usize) {
        let gap = self.gap();
        self.done.push(Piece::new(gap, text, kind));
        self.at += tokens;
    }

    /// Writes an expression for the next `tokens` tokens.
    fn write_computed(&mut self, text: String, of: PgType, tokens: usize) {
        let gap = self.gap();
        self.done.push(Piece::computed(gap, text, Some(of)));
        self.at += tokens;
    }

    pub(super) fn step(&mut self) {
        let Some(&token) = self.token(0) else { return };
        if self.depth >= DEPTH_MAX {
            return self.too_complex();
        }
        self.depth += 1;
        match token.kind {
            Kind::Word => self.word(token),
            Kind::EscapeString => self.write(plain_string(token.text), Kind::String, 1),
            Kind::Symbol => self.symbol(token),
            _ => self.write(token.text, token.kind, 1),
        }
        self.depth -= 1;
    }

    /// Gives the statement up: nothing of it is written any more.
    pub(super) fn too_complex(&mut self) {
        self.at = self.tokens.len();
        self.refused.get_or_insert_with(|| {
            SqlError::new("54001", "the question to the catalog is too complex")
                .with_hint("Nest expressions less deeply.")
        });
    }

    fn word(&mut self, token: Token<'a>) {
        let bare = self.done.last().is_none_or(|previous| previous.text != ".");
        let after_as = self.done.last().is_some_and(|previous| previous.is("as"));
        let lower = token.text.to_ascii_lowercase();
        match lower.as_str() {
            "by" => self.in_order_by = self.done.last().is_some_and(|previous| previous.is("order")),
            "select" | "limit" | "from" => self.in_order_by = false,
            _ => {}
        }
        if after_as {
            return self.write(token.text, Kind::Word, 1);
        }
        match lower.as_str() {
            "pg_catalog" if bare && self.next_is(1, ".") => {
                // the space in front of the schema is the one to keep
                let gap = self.gap();
                self.at += 2;
                let from = self.done.len();
                self.step();
                if let Some(piece) = self.done.get_mut(from) {
                    piece.gap = gap;
                }
            }
            "operator" if self.next_is(1, "(") && self.word_is(2, "pg_catalog") && self.next_is(5, ")") => {
                let operator = self.token(4).map_or("", |token| token.text);
                let text = matching(operator).unwrap_or(operator);
                self.write(text, Kind::Symbol, 6);
            }
            "collate" if self.word_is(1, "pg_catalog") && self.next_is(2, ".") => self.at += 4,
            "collate" if self.token(1).is_some_and(|next| next.text == "\"default\"") => self.at += 2,
            "as" => self.alias(token),
            "case" => self.case(),
            "ilike" if self.asks_catalog => self.write("LIKE", Kind::Word, 1),
            "array" if self.next_is(1, "(") && self.word_is(2, "select") => self.array(),
            _ => self.value(token, &lower, bare),
        }
    }

    /// A word that is a value: a keyword that stands for one, a constant of a named type, a call, or a column.
    fn value(&mut self, token: Token<'a>, lower: &str, bare: bool) {
        let called = self.next_is(1, "(");
        match lower {
            "current_user" | "session_user" | "current_role" | "current_catalog" | "current_schema"
                if bare && !called && !self.next_is(1, ".") =>
            {
                self.write_computed(format!("{}()", token.text), PgType::Name, 1);
            }
            "current_timestamp" | "localtimestamp" if self.asks_catalog && bare && !called => {
                self.write_computed("now()".to_owned(), PgType::Timestamptz, 1);
            }
            "interval" if self.string_at(1).is_some() => self.interval(),
            "timestamptz" | "timestamp" if self.string_at(1).is_some() => {
                let text = format!("pg_timestamptz({})", self.string_at(1).unwrap_or_default());
                self.write_computed(text, PgType::Timestamptz, 2);
            }
            "pg_lsn" if self.string_at(1).is_some() => {
                let text = format!("pg_lsn({})", self.string_at(1).unwrap_or_default());
                self.write_computed(text, PgType::PgLsn, 2);
            }
            _ if called && self.call_of(token, lower) => {}
            _ => {
                let alone = self.in_order_by && bare && !called && !self.next_is(1, ".");
                let whole = self.qualified.get(lower).filter(|_| alone).cloned();
                self.write(whole.unwrap_or_else(|| token.text.to_owned()), Kind::Word, 1);
                let of = self.column_type(lower);
                if let Some(last) = self.done.last_mut() {
                    last.of = of;
                }
            }
        }
    }

    /// `interval '5 min'` and `interval '5' minute`.
    fn interval(&mut self) {
        let text = self.string_at(1).unwrap_or_default();
        let unit =
            self.token(2).filter(|unit| UNITS.iter().any(|known| unit.is(known))).map(|unit| unit.text);
        let (text, tokens) = match unit {
            Some(unit) => (format!("pg_interval({text} || ' {unit}')"), 3),
            None => (format!("pg_interval({text})"), 2),
        };
        self.write_computed(text, PgType::Interval, tokens);
    }

    /// `expression AS name`: from here on the name has the expression's type.
    fn alias(&mut self, token: Token<'a>) {
        let of = self.done.last().and_then(|piece| piece.of);
        if let (Some(of), Some(name)) = (of, self.token(1)) {
            self.found.insert(name.text.trim_matches('"').to_ascii_lowercase(), of);
        }
        self.write(token.text, Kind::Word, 1);
    }

    /// The type of a column under whichever of the statement's tables, or of an expression that it names itself.
    fn column_type(&self, name: &str) -> Option<PgType> {
        let mut columns = self.tables.iter().flat_map(|table| table.columns);
        let column = columns.find(|(column, _)| *column == name).map(|(_, of)| **of);
        column.or_else(|| self.aliases.get(name).copied())
    }

    /// The text of everything written from there on, taken back.
    pub(super) fn collapse(&mut self, from: usize) -> String {
        let mut text = String::new();
        self.done.drain(from..).for_each(|piece| piece.write(&mut text));
        text
    }

    /// As [`Self::collapse`], for an argument of one of our functions, which know their arguments' types.
    pub(super) fn collapse_bare(&mut self, from: usize) -> String {
        let mut text = String::new();
        self.done.drain(from..).for_each(|piece| piece.write_bare(&mut text));
        text
    }

    fn symbol(&mut self, token: Token<'a>) {
        match token.text {
            "::" => self.cast(),
            "~" | "!~" | "~*" | "!~*" if self.operand_before() => {
                self.write(matching(token.text).unwrap_or(token.text), Kind::Symbol, 1);
            }
            "-" | "+" if self.operand_before() => self.arithmetic(token.text),
            "(" if self.word_is(1, "values") && self.named_values() => {}
            ")" => {
                self.write(token.text, Kind::Symbol, 1);
                self.type_parentheses();
            }
            _ if is_comparison(token.text) && self.asks_catalog => self.comparison(token),
            _ => self.write(token.text, Kind::Symbol, 1),
        }
    }
}

/// In PostgreSQL, ORDER BY finds a result column by its name; in SQLite it may be ambiguous between tables.
fn qualified(tokens: &[Token<'_>]) -> HashMap<String, String> {
    let mut found = HashMap::new();
    for window in tokens.windows(5) {
        let [before, table, dot, column, after] = window else { continue };
        let begins = before.is("select") || before.is_symbol(",");
        let ends = after.is_symbol(",") || after.is("from");
        if begins && dot.is_symbol(".") && ends && table.kind == Kind::Word && column.kind == Kind::Word {
            let whole = format!("{}.{}", table.text, column.text);
            found.entry(column.text.to_ascii_lowercase()).or_insert(whole);
        }
    }
    found
}

/// Units that may stand behind the string of an interval.
const UNITS: [&str; 8] = ["second", "minute", "hour", "day", "seconds", "minutes", "hours", "days"];

/// Words behind which an operand begins rather than ends.
pub(super) const KEYWORDS: [&str; 24] = [
    "select", "where", "and", "or", "not", "on", "when", "then", "else", "case", "in", "by", "having",
    "limit", "offset", "values", "set", "between", "like", "is", "return", "distinct", "from", "all",
];

pub(super) fn is_comparison(text: &str) -> bool {
    matches!(text, "<" | ">" | "<=" | ">=" | "=" | "==" | "<>" | "!=")
}

/// PostgreSQL's operators of regular expressions.
fn matching(operator: &str) -> Option<&'static str> {
    Some(match operator {
        "~" => "REGEXP",
        "!~" => "NOT REGEXP",
        "~*" => "REGEXP '(?i)' ||",
        "!~*" => "NOT REGEXP '(?i)' ||",
        "~~" => "LIKE",
        _ => return None,
    })
}

/// `E'a\nb'` as SQLite writes it, the line break itself between the quotes.
fn plain_string(text: &str) -> String {
    let inner = text.get(2..text.len().saturating_sub(1)).unwrap_or_default();
    let mut plain = String::from("'");
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let c = if c == '\\' {
            chars.next().unwrap_or('\\')
        } else {
            plain.push(c);
            continue;
        };
        match c {
            'n' => plain.push('\n'),
            't' => plain.push('\t'),
            'r' => plain.push('\r'),
            'b' => plain.push('\u{8}'),
            'f' => plain.push('\u{c}'),
            '\'' => plain.push_str("''"),
            other => plain.push(other),
        }
    }
    plain.push('\'');
    plain
}
