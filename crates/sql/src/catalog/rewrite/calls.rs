//! Calls, CASE, ARRAY and VALUES: what takes several tokens and is one operand.

use super::arithmetic::constant_of;
use super::lexer::{Kind, Token};
use super::output::Writer;
use super::piece::Piece;
use crate::catalog::{PgType, SqlError, type_of_function};

/// Functions whose result is of their arguments' type, with SQLite's name for each.
const OF_ARGUMENTS: [(&str, &str); 11] = [
    ("coalesce", "coalesce"),
    ("ifnull", "ifnull"),
    ("nullif", "nullif"),
    ("greatest", "greatest"),
    ("least", "least"),
    ("date_trunc", "date_trunc"),
    ("min", "min"),
    ("max", "max"),
    ("bool_and", "min"),
    ("every", "min"),
    ("bool_or", "max"),
];

impl Writer<'_> {
    /// Writes a call that the catalog knows something of; `false` if this is none, and nothing was written.
    pub(super) fn call_of(&mut self, token: Token<'_>, lower: &str) -> bool {
        match lower {
            "extract" | "date_part" => self.extract(lower),
            _ if type_of_function(lower).is_some()
                && !OF_ARGUMENTS.iter().any(|(name, _)| *name == lower) =>
            {
                let Some(of) = type_of_function(lower) else { return false };
                self.call(token.text, 2, of);
            }
            _ => match OF_ARGUMENTS.iter().find(|(name, _)| *name == lower && self.asks_catalog) {
                Some((_, name)) => self.call_of_arguments(name),
                None => return false,
            },
        }
        true
    }

    /// Writes a call of `name` whose arguments begin `tokens` tokens on, as one piece.
    fn call(&mut self, name: &str, tokens: usize, of: PgType) {
        let gap = self.gap();
        self.at += tokens;
        let from = self.done.len();
        self.inside();
        let arguments = self.collapse_bare(from);
        let text = format!("{name}({}", arguments.trim_start());
        self.done.push(Piece::computed(gap, text, Some(of)));
    }

    /// The field `epoch` is the one that monitoring asks for; SQLite's grammar has none.
    fn extract(&mut self, function: &str) {
        let field = self.token(2).map_or("", |token| token.text).trim_matches('\'').to_ascii_lowercase();
        let separator = self.word_is(3, "from") || self.next_is(3, ",");
        if field == "epoch" && separator {
            return match function {
                "extract" => self.call("pg_epoch", 4, PgType::Numeric),
                _ => self.call("pg_epoch_part", 4, PgType::Float8),
            };
        }
        self.refused.get_or_insert_with(|| {
            SqlError::new("0A000", format!("{function}() of the field \"{field}\" is not supported"))
                .with_hint("extract(epoch FROM x) is; SQLite's strftime() has the parts of a date.")
        });
        self.at += 1;
    }

    /// A call that is of the type of its first argument whose type is known, with its FILTER and OVER.
    fn call_of_arguments(&mut self, name: &str) {
        let gap = self.gap();
        self.at += 2;
        let from = self.done.len();
        self.inside();
        let mut depth = 0_i32;
        let mut of = None;
        for piece in self.done.get(from..).unwrap_or_default() {
            depth += i32::from(piece.is("(")) - i32::from(piece.is(")"));
            of = of.or(piece.of.filter(|_| depth == 0));
        }
        while (self.word_is(0, "filter") || self.word_is(0, "over")) && self.next_is(1, "(") {
            self.write(self.token(0).map_or("", |token| token.text).to_owned(), Kind::Word, 1);
            self.write("(", Kind::Symbol, 1);
            self.inside();
        }
        let arguments = self.collapse(from);
        self.done.push(Piece::computed(gap, format!("{name}({}", arguments.trim_start()), of));
    }

    /// `CASE ... END`: one operand, of the type of its first result whose type is known.
    pub(super) fn case(&mut self) {
        let gap = self.gap();
        let from = self.done.len();
        self.at += 1;
        while self.token(0).is_some_and(|token| !token.is("when") && !token.is("end")) {
            self.step();
        }
        let base = self.done.get(from..).and_then(<[Piece]>::last).and_then(|piece| piece.of);
        let (mut of, mut is_result) = (None, false);
        while let Some(&token) = self.token(0) {
            if ["when", "then", "else", "end"].iter().any(|word| token.is(word)) {
                let last = self.done.last().and_then(|piece| piece.of).filter(|_| is_result);
                of = of.or(last);
                is_result = token.is("then") || token.is("else");
                self.write(token.text, Kind::Word, 1);
                if token.is("end") {
                    break;
                }
                let constant = self.string_at(0).filter(|_| token.is("when"));
                if let Some(plain) = base.zip(constant).and_then(|(base, text)| constant_of(base, text)) {
                    self.write(plain, Kind::Number, 1);
                }
            } else {
                self.step();
            }
        }
        let text = format!("CASE{}", self.collapse(from));
        self.done.push(Piece::computed(gap, text, of));
    }

    /// `ARRAY(SELECT x FROM ...)`: the list as PostgreSQL prints an array. One over another array is none.
    pub(super) fn array(&mut self) {
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
            self.done.push(Piece::new(gap, "NULL", Kind::Word));
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
        self.done.push(Piece::new(gap, text, Kind::Symbol));
    }

    /// `(VALUES ...) AS name(column, ...)`: SQLite has no names for the columns of a subquery there. `false` if this
    /// is another kind of VALUES, and nothing was written.
    pub(super) fn named_values(&mut self) -> bool {
        // a list of names, not data: looking for the end of each of many would take long
        const TOKENS_MAX: usize = 512;
        let mut depth = 0_i32;
        let close = (0..TOKENS_MAX).map_while(|at| self.token(at)).position(|token| {
            depth += i32::from(token.is_symbol("(")) - i32::from(token.is_symbol(")"));
            depth == 0
        });
        let Some(close) = close else { return false };
        let name = close + 1 + usize::from(self.word_is(close + 1, "as"));
        if !self.next_is(name + 1, "(") {
            return false;
        }
        let listed = (name + 2..).map_while(|at| self.token(at)).take_while(|token| !token.is_symbol(")"));
        let listed: Vec<String> = listed.map(|token| token.text.to_owned()).collect();
        let columns: Vec<String> = listed
            .iter()
            .filter(|text| *text != ",")
            .enumerate()
            .map(|(at, column)| format!("column{} AS {column}", at + 1))
            .collect();
        let Some(alias) = self.token(name).map(|token| token.text.to_owned()) else { return false };
        let end = self.at + close;
        self.write(format!("(SELECT {} FROM (", columns.join(", ")), Kind::Symbol, 1);
        while self.at < end {
            self.step();
        }
        self.at += 1;
        self.done.push(Piece::new(String::new(), format!(")) AS {alias}"), Kind::Symbol));
        self.at += name - close + 2 + listed.len();
        true
    }
}
