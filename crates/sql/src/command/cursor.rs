use walship_protocol::wire::SqlState;

use crate::error::SqlError;
use crate::lexer::{Token, TokenKind};

/// A statement's tokens, read from the front.
pub(crate) struct Cursor<'t, 'a> {
    tokens: &'t [Token<'a>],
    at: usize,
}

impl<'t, 'a> Cursor<'t, 'a> {
    pub(crate) fn new(tokens: &'t [Token<'a>]) -> Cursor<'t, 'a> {
        Cursor { tokens, at: 0 }
    }

    pub(crate) fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).copied()
    }

    pub(crate) fn next(&mut self) -> Option<Token<'a>> {
        let token = self.peek();
        self.at += usize::from(token.is_some());
        token
    }

    pub(crate) fn rest(&self) -> &'t [Token<'a>] {
        self.tokens.get(self.at..).unwrap_or_default()
    }

    /// What was taken.
    pub(crate) fn taken(&self) -> &'t [Token<'a>] {
        self.tokens.get(..self.at).unwrap_or_default()
    }

    /// Takes the next token if it is one of those keywords.
    pub(crate) fn take(&mut self, keywords: &[&str]) -> bool {
        let found = self.peek().is_some_and(|token| token.is_any(keywords));
        self.at += usize::from(found);
        found
    }

    /// Takes the next token if it is of that kind.
    pub(crate) fn take_kind(&mut self, kind: TokenKind) -> bool {
        let found = self.peek().is_some_and(|token| token.kind == kind);
        self.at += usize::from(found);
        found
    }

    /// Takes all of the words, or none.
    pub(crate) fn take_all(&mut self, words: &[&str]) -> bool {
        let found = words.len() <= self.rest().len() && self.rest().iter().zip(words).all(|(t, w)| t.is(w));
        if found {
            self.at += words.len();
        }
        found
    }

    pub(crate) fn expect(&mut self, keyword: &str) -> Result<(), SqlError> {
        if self.take(&[keyword]) { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(crate) fn name(&mut self) -> Result<String, SqlError> {
        match self.peek() {
            Some(token) if matches!(token.kind, TokenKind::Word | TokenKind::QuotedIdentifier) => {
                self.at += 1;
                Ok(token.value())
            }
            _ => Err(self.unexpected()),
        }
    }

    pub(crate) fn end(&self) -> Result<(), SqlError> {
        if self.peek().is_none() { Ok(()) } else { Err(self.unexpected()) }
    }

    /// The syntax error at the next token. Its position is a byte offset, counted from 1.
    pub(crate) fn unexpected(&self) -> SqlError {
        match (self.peek(), self.tokens.last()) {
            (Some(token), _) => {
                SqlError::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near \"{}\"", token.text))
                    .at(Some(token.start + 1))
            }
            (None, last) => SqlError::new(SqlState::SYNTAX_ERROR, "syntax error at end of input")
                .at(last.map(|token| token.end() + 1)),
        }
    }
}
