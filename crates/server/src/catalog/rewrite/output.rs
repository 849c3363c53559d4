use super::casts::cast;
use super::lexer::{Kind, Token};
use crate::catalog::tables;
use crate::catalog::{PgType, type_of_function, types};

/// A piece of the statement being written: the space in front of it, and its text, which may be a whole operand.
struct Piece {
    gap: String,
    text: String,
    kind: Kind,
    /// Its type, where it is a position, a time or an interval.
    of: Option<PgType>,
}

struct Writer<'a> {
    sql: &'a str,
    tokens: &'a [Token<'a>],
    at: usize,
    done: Vec<Piece>,
    reads_catalog: bool,
}

/// The statement with every change made.
pub(super) fn rewritten(sql: &str, tokens: &[Token<'_>]) -> String {
    let reads_catalog = tokens.iter().any(|token| token.kind == Kind::Word && tables::exists(token.text));
    let mut writer = Writer { sql, tokens, at: 0, done: Vec::with_capacity(tokens.len()), reads_catalog };
    while writer.at < tokens.len() {
        writer.step();
    }
    let mut text: String =
        writer.done.iter().flat_map(|piece| [piece.gap.as_str(), piece.text.as_str()]).collect();
    text.push_str(sql.get(tokens.last().map_or(0, |last| last.end)..).unwrap_or_default());
    text
}

impl<'a> Writer<'a> {
    fn token(&self, ahead: usize) -> Option<&Token<'a>> {
        self.tokens.get(self.at + ahead)
    }

    fn next_is(&self, ahead: usize, symbol: &str) -> bool {
        self.token(ahead).is_some_and(|token| token.is_symbol(symbol))
    }

    fn word_is(&self, ahead: usize, word: &str) -> bool {
        self.token(ahead).is_some_and(|token| token.is(word))
    }

    /// The space and comments in front of the current token.
    fn gap(&self) -> String {
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at)).map_or(0, |token| token.end);
        let start = self.token(0).map_or(before, |token| token.start);
        self.sql.get(before..start).unwrap_or_default().to_owned()
    }

    /// Writes `text` for the next `tokens` tokens.
    fn write(&mut self, text: impl Into<String>, kind: Kind, tokens: usize) {
        let gap = self.gap();
        self.done.push(Piece { gap, text: text.into(), kind, of: None });
        self.at += tokens;
    }

    fn step(&mut self) {
        let Some(&token) = self.token(0) else { return };
        match token.kind {
            Kind::Word => self.word(token),
            Kind::EscapeString => self.write(plain_string(token.text), Kind::String, 1),
            Kind::Symbol => self.symbol(token),
            _ => self.write(token.text, token.kind, 1),
        }
    }

    fn word(&mut self, token: Token<'a>) {
        let bare = self.done.last().is_none_or(|previous| previous.text != ".");
        let after_as = self.done.last().is_some_and(|previous| previous.text.eq_ignore_ascii_case("as"));
        let lower = token.text.to_ascii_lowercase();
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
            "current_user" | "session_user" | "current_role" | "current_catalog" | "current_schema"
                if bare && !after_as && !self.next_is(1, "(") && !self.next_is(1, ".") =>
            {
                self.write(format!("{}()", token.text), Kind::Word, 1);
            }
            "extract" if self.next_is(1, "(") && self.word_is(2, "epoch") && self.word_is(3, "from") => {
                self.call("pg_epoch", 4, types::FLOAT8);
            }
            "date_part"
                if self.next_is(1, "(")
                    && self.token(2).is_some_and(|t| t.text.eq_ignore_ascii_case("'epoch'")) =>
            {
                self.call("pg_epoch", 4, types::FLOAT8);
            }
            "interval" if self.token(1).is_some_and(|next| next.kind == Kind::String) => {
                let text = format!("pg_interval({})", self.token(1).map_or("", |next| next.text));
                self.write(text, Kind::Word, 2);
                self.mark(types::INTERVAL);
            }
            "array" if self.next_is(1, "(") && self.word_is(2, "select") => self.array(),
            _ if self.next_is(1, "(") && type_of_function(&lower).is_some() => self.known_call(token),
            _ => {
                self.write(token.text, Kind::Word, 1);
                if let Some(kind) = self.reads_catalog.then(|| column_type(&lower)).flatten() {
                    self.mark(kind);
                }
            }
        }
    }

    fn mark(&mut self, kind: PgType) {
        if let Some(last) = self.done.last_mut() {
            last.of = Some(kind);
        }
    }

    /// Writes a call of `name` whose arguments begin `tokens` tokens on, as one piece.
    fn call(&mut self, name: &str, tokens: usize, of: PgType) {
        let gap = self.gap();
        self.at += tokens;
        let from = self.done.len();
        self.inside();
        let arguments = self.collapse(from);
        self.done.push(Piece {
            gap,
            text: format!("{name}({}", arguments.trim_start()),
            kind: Kind::Word,
            of: Some(of),
        });
    }

    /// Writes tokens up to and with the parenthesis that closes the one already passed.
    fn inside(&mut self) {
        let mut depth = 1_i32;
        while let Some(&token) = self.token(0) {
            if token.is_symbol(")") && depth == 1 {
                self.write(")", Kind::Symbol, 1);
                return;
            }
            let before = self.at;
            self.step();
            // a step over a whole call is balanced
            if self.at == before + 1 && token.kind == Kind::Symbol {
                depth += i32::from(token.text == "(") - i32::from(token.text == ")");
            }
        }
    }

    fn collapse(&mut self, from: usize) -> String {
        self.done.drain(from..).flat_map(|piece| [piece.gap, piece.text]).collect()
    }

    /// A call of one of the catalog's functions: one piece of the function's type.
    fn known_call(&mut self, token: Token<'a>) {
        let Some(of) = type_of_function(token.text) else { return };
        let compared_before = self.done.last().is_some_and(|previous| is_comparison(&previous.text));
        self.call(token.text, 2, of);
        let compared = compared_before || self.token(0).is_some_and(|next| is_comparison(next.text));
        // neither operand has a column's collation to go by
        if let Some(last) = self.done.last_mut().filter(|_| of.collation() != "BINARY" && compared) {
            last.text.push_str(&format!(" COLLATE {}", of.collation()));
        }
    }

    /// `ARRAY(SELECT x FROM ...)`: the list as PostgreSQL prints an array. One over another array is none.
    fn array(&mut self) {
        let gap = self.gap();
        let mut ahead = 3;
        let (mut depth, mut from, mut hopeless) = (0_i32, None, false);
        while let Some(token) = self.token(ahead) {
            match token.text {
                "(" => depth += 1,
                ")" if depth == 0 => break,
                ")" => depth -= 1,
                _ if depth == 0 && from.is_none() && token.is("from") => from = Some(ahead),
                _ => hopeless |= token.is("any") || token.is("unnest"),
            }
            ahead += 1;
        }
        let Some(from) = from.filter(|_| !hopeless) else {
            self.done.push(Piece { gap, text: "NULL".to_owned(), kind: Kind::Word, of: None });
            self.at += ahead + 1;
            return;
        };
        let end = self.at + from;
        self.at += 3;
        let start = self.done.len();
        while self.at < end {
            self.step();
        }
        let item = self.collapse(start);
        let text = format!("(SELECT '{{' || coalesce(group_concat({}), '') || '}}'", item.trim_start());
        self.done.push(Piece { gap, text, kind: Kind::Symbol, of: None });
    }

    fn symbol(&mut self, token: Token<'a>) {
        match token.text {
            "::" => self.cast(),
            "~" | "!~" | "~*" | "!~*" if self.operand_before() => {
                self.write(matching(token.text).unwrap_or(token.text), Kind::Symbol, 1);
            }
            "-" | "+" if self.operand_before() => self.arithmetic(token.text),
            _ => self.write(token.text, Kind::Symbol, 1),
        }
    }

    /// Whether what was written last ends an operand, so that an operator is one between two.
    fn operand_before(&self) -> bool {
        self.done.last().is_some_and(|last| match last.kind {
            Kind::Symbol => last.text.ends_with(')'),
            Kind::Word => !KEYWORDS.iter().any(|word| last.text.eq_ignore_ascii_case(word)),
            _ => true,
        })
    }

    /// Where the operand that was written last begins: a constant, a name with its qualifiers, a call, parentheses.
    fn operand_start(&self) -> usize {
        let mut start = self.done.len().saturating_sub(1);
        let text = |at: usize| self.done.get(at).map_or("", |piece| piece.text.as_str());
        if text(start) == ")" {
            let mut depth = 0_i32;
            loop {
                depth += i32::from(text(start) == ")") - i32::from(text(start) == "(");
                if depth <= 0 || start == 0 {
                    break;
                }
                start -= 1;
            }
            let named = start.checked_sub(1).and_then(|at| self.done.get(at)).is_some_and(|piece| {
                matches!(piece.kind, Kind::Word | Kind::Quoted)
                    && !KEYWORDS.iter().any(|word| piece.text.eq_ignore_ascii_case(word))
            });
            start -= usize::from(named);
        }
        while start >= 2 && text(start - 1) == "." {
            start -= 2;
        }
        start
    }

    fn cast(&mut self) {
        let (type_name, tokens) = self.type_name();
        let start = self.operand_start();
        let literal =
            start + 1 == self.done.len() && self.done.last().is_some_and(|piece| piece.kind == Kind::String);
        let gap = self.done.get(start).map(|piece| piece.gap.clone()).unwrap_or_default();
        let operand = self.done.get(start..).unwrap_or_default();
        let operand: String =
            operand.iter().flat_map(|piece| [piece.gap.as_str(), piece.text.as_str()]).collect();
        match cast(&type_name, operand.trim_start(), literal) {
            Some(text) => {
                self.done.truncate(start);
                let of = PgType::from_name(&type_name);
                self.done.push(Piece { gap, text, kind: Kind::Word, of });
                self.at += tokens;
            }
            None => self.write("::", Kind::Symbol, 1),
        }
    }

    /// The name of the type behind `::`, and how many tokens that and the colons are.
    fn type_name(&self) -> (String, usize) {
        let mut ahead = 1;
        if self.word_is(1, "pg_catalog") && self.next_is(2, ".") {
            ahead = 3;
        }
        let mut name = self.token(ahead).map_or("", |token| token.text).trim_matches('"').to_owned();
        ahead += 1;
        const TAILS: [&[&str]; 4] =
            [&["precision"], &["varying"], &["with", "time", "zone"], &["without", "time", "zone"]];
        for tail in TAILS {
            if tail.iter().enumerate().all(|(at, word)| self.word_is(ahead + at, word)) {
                name.push_str(&format!(" {}", tail.join(" ")));
                ahead += tail.len();
            }
        }
        if self.next_is(ahead, "(") && self.next_is(ahead + 2, ")") {
            ahead += 3;
        }
        if self.next_is(ahead, "[") && self.next_is(ahead + 1, "]") {
            name.push_str("[]");
            ahead += 2;
        }
        (name, ahead)
    }

    /// A sum or difference of positions or times becomes a call; any other stays.
    fn arithmetic(&mut self, operator: &str) {
        let start = self.operand_start();
        let left_type = self.done.last().and_then(|piece| piece.of);
        let minus = self.done.len();
        self.write(operator, Kind::Symbol, 1);
        let right_type = self.operand();
        let names = (left_type.map(|of| of.type_name()), right_type.map(|of| of.type_name()));
        let function = match (operator, names) {
            ("-", (Some("pg_lsn"), _) | (_, Some("pg_lsn"))) => ("pg_wal_lsn_diff", types::NUMERIC),
            (_, (Some("pg_lsn"), _)) => ("pg_lsn_sum", types::PG_LSN),
            ("-", (Some("timestamptz"), Some("interval"))) => ("pg_time_difference", types::TIMESTAMPTZ),
            ("-", (Some("timestamptz"), _) | (_, Some("timestamptz"))) => {
                ("pg_time_difference", types::INTERVAL)
            }
            (_, (Some("timestamptz"), _) | (_, Some("timestamptz"))) => ("pg_time_sum", types::TIMESTAMPTZ),
            _ => return,
        };
        let gap = self.done.get(start).map(|piece| piece.gap.clone()).unwrap_or_default();
        let right = self.collapse(minus + 1);
        self.done.truncate(minus);
        let left = self.collapse(start);
        let mut text = format!("{}({}, {})", function.0, left.trim_start(), right.trim_start());
        if self.token(0).is_some_and(|next| is_comparison(next.text)) && function.1.collation() != "BINARY" {
            text.push_str(&format!(" COLLATE {}", function.1.collation()));
        }
        self.done.push(Piece { gap, text, kind: Kind::Word, of: Some(function.1) });
    }

    /// Writes the operand that comes next, with its qualifiers and casts; its type.
    fn operand(&mut self) -> Option<PgType> {
        if self.next_is(0, "(") {
            self.write("(", Kind::Symbol, 1);
            self.inside();
        } else {
            self.step();
            while self.next_is(0, ".") {
                self.step();
                self.step();
            }
            if self.next_is(0, "(") {
                self.write("(", Kind::Symbol, 1);
                self.inside();
            }
        }
        while self.next_is(0, "::") {
            self.step();
        }
        self.done.last().and_then(|piece| piece.of)
    }
}

/// Words behind which an operand begins rather than ends.
const KEYWORDS: [&str; 22] = [
    "select", "where", "and", "or", "not", "on", "when", "then", "else", "case", "in", "by", "having",
    "limit", "offset", "values", "set", "between", "like", "is", "return", "distinct",
];

fn is_comparison(text: &str) -> bool {
    matches!(text, "<" | ">" | "<=" | ">=" | "=" | "<>" | "!=") || text.eq_ignore_ascii_case("between")
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

/// The type of a column of the catalog that is a position, a time or an interval under whichever table.
fn column_type(name: &str) -> Option<PgType> {
    let special = |of: PgType| matches!(of, PgType::PgLsn | PgType::Timestamptz | PgType::Interval);
    let mut columns = tables::all().flat_map(|table| table.columns);
    columns.find(|(column, of)| *column == name && special(**of)).map(|(_, of)| **of)
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
