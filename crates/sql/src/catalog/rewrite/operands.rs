//! Where operands begin and end, and what their types are; casts.

use super::casts::{Operand, cast};
use super::lexer::Kind;
use super::output::{KEYWORDS, Writer, is_comparison};
use super::piece::Piece;
use crate::catalog::PgType;

impl Writer<'_> {
    /// Whether what was written last ends an operand, so that an operator is one between two.
    pub(super) fn operand_before(&self) -> bool {
        self.done.last().is_some_and(|last| match last.kind {
            Kind::Symbol => last.text.ends_with(')'),
            Kind::Word => !KEYWORDS.iter().any(|word| last.text.eq_ignore_ascii_case(word)),
            _ => true,
        })
    }

    /// Where the group begins that ends with the piece at `end`, a closing parenthesis; `None` if that is before
    /// `from`.
    fn group_start(&self, end: usize, from: usize) -> Option<usize> {
        let text = |at: usize| self.done.get(at).map_or("", |piece| piece.text.as_str());
        let (mut start, mut depth) = (end, 0_i32);
        loop {
            depth += i32::from(text(start) == ")") - i32::from(text(start) == "(");
            if depth <= 0 || start == 0 {
                return Some(start);
            }
            if start == from {
                return None;
            }
            start -= 1;
        }
    }

    fn names_call(&self, at: usize) -> bool {
        self.done.get(at).is_some_and(|piece| {
            matches!(piece.kind, Kind::Word | Kind::Quoted)
                && !KEYWORDS.iter().any(|word| piece.text.eq_ignore_ascii_case(word))
        })
    }

    /// Where the operand that was written last begins: a constant, a name with its qualifiers, a call, parentheses.
    pub(super) fn operand_start(&self) -> usize {
        let mut start = self.done.len().saturating_sub(1);
        let text = |at: usize| self.done.get(at).map_or("", |piece| piece.text.as_str());
        if text(start) == ")" {
            start = self.group_start(start, 0).unwrap_or(0);
            start -= usize::from(start.checked_sub(1).is_some_and(|before| self.names_call(before)));
        }
        while start >= 2 && text(start - 1) == "." {
            start -= 2;
        }
        start
    }

    /// A parenthesis was closed: around a single operand it is what that is, around a condition it is true or false.
    pub(super) fn type_parentheses(&mut self) {
        // what matters is short: looking far back at each of many would take long
        const LOOK_BACK: usize = 256;
        let end = self.done.len().saturating_sub(1);
        let from = end.saturating_sub(LOOK_BACK);
        let Some(start) = self.group_start(end, from) else { return };
        if start.checked_sub(1).is_some_and(|before| self.names_call(before)) {
            return;
        }
        let inner = self.done.get(start + 1..end).unwrap_or_default();
        let dotted = |pieces: &[Piece]| pieces.iter().skip(1).step_by(2).all(|piece| piece.text == ".");
        let single = inner.last().and_then(|last| last.of).filter(|_| inner.len() % 2 == 1 && dotted(inner));
        let of = single.or_else(|| is_condition(inner).then_some(PgType::Bool));
        if let Some(last) = self.done.last_mut() {
            last.of = of;
        }
    }

    /// Writes the operand that comes next, with its qualifiers and casts; its type.
    pub(super) fn operand(&mut self) -> Option<PgType> {
        if self.next_is(0, "(") {
            self.group();
        } else {
            self.step();
            while self.next_is(0, ".") {
                self.step();
                self.step();
            }
            if self.next_is(0, "(") {
                self.group();
            }
        }
        while self.next_is(0, "::") {
            self.step();
        }
        self.done.last().and_then(|piece| piece.of)
    }

    fn group(&mut self) {
        self.write("(", Kind::Symbol, 1);
        self.inside();
    }

    /// Writes tokens up to and with the parenthesis that closes the one already passed.
    pub(super) fn inside(&mut self) {
        let mut depth = 1_i32;
        while let Some(&token) = self.token(0) {
            let before = self.at;
            self.step();
            // a step over a whole call is balanced
            if self.at == before + 1 && token.kind == Kind::Symbol {
                depth += i32::from(token.text == "(") - i32::from(token.text == ")");
            }
            if depth == 0 {
                return;
            }
        }
    }

    pub(super) fn cast(&mut self) {
        let (type_name, tokens) = self.type_name();
        let start = self.operand_start();
        let last = self.done.last();
        let operand = Operand {
            literal: start + 1 == self.done.len() && last.is_some_and(|piece| piece.kind == Kind::String),
            parameter: last.is_some_and(|piece| piece.kind == Kind::Parameter),
            of: last.and_then(|piece| piece.of),
            asks_catalog: self.asks_catalog,
        };
        let gap = self.done.get(start).map(|piece| piece.gap.clone()).unwrap_or_default();
        let mut text = String::new();
        self.done.get(start..).unwrap_or_default().iter().for_each(|piece| piece.write_bare(&mut text));
        match cast(&type_name, text.trim_start(), operand) {
            Some(text) => {
                self.done.truncate(start);
                let bare = type_name.split('(').next().unwrap_or_default();
                let of = PgType::from_name(bare)
                    .map(|of| if of == PgType::Timestamp { PgType::Timestamptz } else { of });
                self.done.push(Piece::computed(gap, text, of));
                self.at += tokens;
            }
            None => self.write("::", Kind::Symbol, 1),
        }
    }

    /// The name of the type behind `::` with its length, and how many tokens that and the colons are.
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
        if self.next_is(ahead, "(") {
            let length = (ahead..).map_while(|at| self.token(at)).position(|token| token.is_symbol(")"));
            for at in ahead..=ahead + length.unwrap_or(0) {
                name.push_str(self.token(at).map_or("", |token| token.text));
            }
            ahead += length.map_or(0, |length| length + 1);
        }
        if self.next_is(ahead, "[") && self.next_is(ahead + 1, "]") {
            name.push_str("[]");
            ahead += 2;
        }
        (name, ahead)
    }
}

/// Whether what stands between two parentheses is a condition: it has an operator of one, outside of further ones.
fn is_condition(pieces: &[Piece]) -> bool {
    let mut depth = 0_i32;
    let mut found = false;
    for piece in pieces {
        depth += i32::from(piece.is("(")) - i32::from(piece.is(")"));
        let word = |words: &[&str]| words.iter().any(|word| piece.is(word));
        // a subquery is what it selects
        if depth == 0 && word(&["select"]) {
            return false;
        }
        found |= depth == 0
            && (is_comparison(&piece.text) && piece.kind == Kind::Symbol
                || word(&["not", "and", "or", "is", "like", "between", "in"]));
    }
    found
}
