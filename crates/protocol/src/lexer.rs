use walship_types::Lsn;

/// One word of a replication command and the byte offset where it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) offset: usize,
    pub(crate) kind: TokenKind,
}

/// What PostgreSQL 15's replication scanner tells apart. Keywords are identifiers
/// that were written without quotes; the grammar compares [`TokenKind::Word`] with
/// its upper-case keywords exactly, as 15 does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// Unquoted, as written.
    Word(String),
    /// In double quotes.
    Quoted(String),
    /// In single quotes.
    Text(String),
    Number(u64),
    Lsn(Lsn),
    Mark(char),
    End,
}

/// Why a text has no next word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LexError {
    /// A quoted text has no end.
    Unterminated(usize),
    /// A number or position beyond its range, or a character of no meaning.
    Unexpected(usize),
}

/// Cuts a command into words; at the end it gives [`TokenKind::End`] for ever.
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, at: 0 }
    }

    pub(crate) fn next(&mut self) -> Result<Token, LexError> {
        let rest = self.text.get(self.at..).unwrap_or("");
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{b}', '\u{c}']).len();
        let offset = self.at;
        let rest = self.text.get(offset..).unwrap_or("");
        let Some(first) = rest.chars().next() else {
            return Ok(Token { offset, kind: TokenKind::End });
        };
        let kind = match first {
            '\'' => TokenKind::Text(self.quoted('\'')?),
            '"' => TokenKind::Quoted(self.quoted('"')?),
            ',' | ';' | '(' | ')' | '.' => {
                self.at += 1;
                TokenKind::Mark(first)
            }
            c if c.is_ascii_hexdigit() && is_position(rest) => self.position()?,
            c if c.is_ascii_digit() => {
                let digits = self.take_while(|c| c.is_ascii_digit());
                TokenKind::Number(digits.parse().map_err(|_| LexError::Unexpected(offset))?)
            }
            c if is_word_start(c) => {
                let more = |c: char| is_word_start(c) || c.is_ascii_digit() || c == '$';
                TokenKind::Word(self.take_while(more).to_owned())
            }
            _ => return Err(LexError::Unexpected(offset)),
        };
        Ok(Token { offset, kind })
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or("");
        let length = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or("")
    }

    fn position(&mut self) -> Result<TokenKind, LexError> {
        let offset = self.at;
        let text = self.take_while(|c| c.is_ascii_hexdigit() || c == '/');
        text.parse().map(TokenKind::Lsn).map_err(|_| LexError::Unexpected(offset))
    }

    /// The text between two `quote`s; the quote itself is written twice inside.
    fn quoted(&mut self, quote: char) -> Result<String, LexError> {
        let start = self.at;
        let mut value = String::new();
        self.at += 1;
        loop {
            value.push_str(self.take_while(|c| c != quote));
            let rest = self.text.get(self.at..).unwrap_or("");
            let mut following = rest.chars();
            if following.next().is_none() {
                return Err(LexError::Unterminated(start));
            }
            self.at += 1;
            if following.next() != Some(quote) {
                return Ok(value);
            }
            value.push(quote);
            self.at += 1;
        }
    }
}

/// Whether `rest` starts with hexadecimal digits, a slash, and another digit.
fn is_position(rest: &str) -> bool {
    let after = rest.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    let mut after = after.chars();
    after.next() == Some('/') && after.next().is_some_and(|c| c.is_ascii_hexdigit())
}

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<TokenKind>, LexError> {
        let mut lexer = Lexer::new(text);
        let mut kinds = Vec::new();
        loop {
            match lexer.next()?.kind {
                TokenKind::End => return Ok(kinds),
                kind => kinds.push(kind),
            }
        }
    }

    #[test]
    fn words_positions_numbers_and_quotes() {
        let kinds = all("A_b \"q\"\"x\" 'it''s' 12 AB/1f (;)").unwrap();
        let expected = vec![
            TokenKind::Word("A_b".into()),
            TokenKind::Quoted("q\"x".into()),
            TokenKind::Text("it's".into()),
            TokenKind::Number(12),
            TokenKind::Lsn(Lsn(0xAB_0000_001F)),
            TokenKind::Mark('('),
            TokenKind::Mark(';'),
            TokenKind::Mark(')'),
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn what_has_no_meaning_is_located() {
        assert_eq!(all("  'abc"), Err(LexError::Unterminated(2)));
        assert_eq!(all("a %"), Err(LexError::Unexpected(2)));
        assert_eq!(all("99999999999999999999999"), Err(LexError::Unexpected(0)));
        assert_eq!(all("123456789/0"), Err(LexError::Unexpected(0)));
        assert_eq!(all("é'"), Err(LexError::Unterminated(2)));
    }
}
