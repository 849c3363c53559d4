/// What a token is; SQLite's lexical rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A keyword or a plain identifier.
    Word,
    /// `"x"`, `` `x` `` or `[x]`.
    QuotedIdentifier,
    /// `'x'`.
    String,
    /// `x'00'`.
    Blob,
    /// A number.
    Number,
    /// `$1`, `?`, `?1`, `:a`, `@a`.
    Parameter,
    /// `;`
    Semicolon,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
    /// `.`
    Dot,
    /// `::`
    Cast,
    /// `=`
    Equals,
    /// Any other punctuation, one character.
    Other,
}

/// One token and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// What it is.
    pub kind: TokenKind,
    /// Its text, with quotes.
    pub text: &'a str,
    /// Offset of its first byte.
    pub start: usize,
}

impl<'a> Token<'a> {
    /// Offset behind its last byte.
    pub(super) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// Whether it is that keyword, in any case.
    pub(super) fn is(&self, keyword: &str) -> bool {
        self.kind == TokenKind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    /// Whether it is one of those keywords.
    pub(super) fn is_any(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    /// The name or string that it stands for: unquoted; plain words are folded to lower case.
    pub(super) fn value(&self) -> String {
        match self.kind {
            TokenKind::Word => self.text.to_ascii_lowercase(),
            TokenKind::QuotedIdentifier | TokenKind::String => {
                let inner = self.text.get(1..self.text.len().saturating_sub(1)).unwrap_or_default();
                match self.text.as_bytes().first() {
                    Some(b'"') => inner.replace("\"\"", "\""),
                    Some(b'`') => inner.replace("``", "`"),
                    Some(b'\'') => inner.replace("''", "'"),
                    _ => inner.to_owned(),
                }
            }
            _ => self.text.to_owned(),
        }
    }
}

/// Splits SQL text into tokens; white space and comments are skipped.
/// Text that cannot be a token (an unterminated string) is one token up to the end: SQLite says what is wrong.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    /// Tokens of that text.
    pub(super) fn new(text: &'a str) -> Lexer<'a> {
        Lexer { text, at: 0 }
    }

    fn byte(&self, at: usize) -> u8 {
        // 0 stands for the end; a NUL inside the text cannot come over the wire
        self.text.as_bytes().get(at).copied().unwrap_or(0)
    }

    fn skip_blanks(&mut self) {
        loop {
            match (self.byte(self.at), self.byte(self.at + 1)) {
                (b' ' | b'\t' | b'\n' | b'\r' | 0x0c, _) => self.at += 1,
                (b'-', b'-') => self.at = self.offset_of(self.at, "\n").unwrap_or(self.text.len()),
                (b'/', b'*') => {
                    self.at = self.offset_of(self.at + 2, "*/").map_or(self.text.len(), |at| at + 2);
                }
                _ => return,
            }
        }
    }

    fn offset_of(&self, from: usize, what: &str) -> Option<usize> {
        self.text.get(from..).and_then(|rest| rest.find(what)).map(|at| from + at)
    }

    // offset behind a quoted token that starts at `from`; a doubled quote does not end it
    fn quoted(&self, from: usize, quote: u8) -> usize {
        let mut at = from + 1;
        while at < self.text.len() {
            if self.byte(at) == quote {
                if self.byte(at + 1) != quote {
                    return at + 1;
                }
                at += 1;
            }
            at += 1;
        }
        self.text.len()
    }

    fn while_word(&self, mut at: usize) -> usize {
        while is_word_byte(self.byte(at)) {
            at += 1;
        }
        at
    }

    fn number(&self, from: usize) -> usize {
        let mut at = from;
        if self.byte(at) == b'0' && matches!(self.byte(at + 1), b'x' | b'X') {
            return self.while_word(at);
        }
        while matches!(self.byte(at), b'0'..=b'9' | b'.' | b'_')
            || (matches!(self.byte(at), b'+' | b'-') && matches!(self.byte(at - 1), b'e' | b'E'))
            || (matches!(self.byte(at), b'e' | b'E')
                && matches!(self.byte(at + 1), b'0'..=b'9' | b'+' | b'-'))
        {
            at += 1;
        }
        at
    }

    fn token_at(&self, at: usize) -> (TokenKind, usize) {
        let next = self.byte(at + 1);
        match self.byte(at) {
            b'\'' => (TokenKind::String, self.quoted(at, b'\'')),
            quote @ (b'"' | b'`') => (TokenKind::QuotedIdentifier, self.quoted(at, quote)),
            b'[' => {
                (TokenKind::QuotedIdentifier, self.offset_of(at, "]").map_or(self.text.len(), |end| end + 1))
            }
            b'x' | b'X' if next == b'\'' => (TokenKind::Blob, self.quoted(at + 1, b'\'')),
            b'0'..=b'9' => (TokenKind::Number, self.number(at)),
            b'.' if next.is_ascii_digit() => (TokenKind::Number, self.number(at)),
            b'$' | b'@' | b'#' if is_word_byte(next) => (TokenKind::Parameter, self.while_word(at + 1)),
            b':' if next == b':' => (TokenKind::Cast, at + 2),
            b':' if is_word_byte(next) => (TokenKind::Parameter, self.while_word(at + 1)),
            b'?' => (TokenKind::Parameter, self.while_word(at + 1)),
            b';' => (TokenKind::Semicolon, at + 1),
            b'(' => (TokenKind::Open, at + 1),
            b')' => (TokenKind::Close, at + 1),
            b',' => (TokenKind::Comma, at + 1),
            b'.' => (TokenKind::Dot, at + 1),
            b'=' => (TokenKind::Equals, at + 1),
            first if is_word_byte(first) => (TokenKind::Word, self.while_word(at)),
            _ => (TokenKind::Other, at + 1),
        }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        let start = self.at;
        if start >= self.text.len() {
            return None;
        }
        let (kind, end) = self.token_at(start);
        self.at = end.min(self.text.len());
        let text = self.text.get(start..self.at)?;
        Some(Token { kind, text, start })
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// Cuts a query string into its statements: each with its tokens, none of them empty, without semicolons.
/// The body of CREATE TRIGGER keeps its own semicolons, up to the END that stands behind one.
pub(super) fn split<'a>(text: &'a str) -> Vec<Vec<Token<'a>>> {
    let mut statements = Vec::new();
    let mut current: Vec<Token<'a>> = Vec::new();
    let mut in_trigger = false;
    for token in Lexer::new(text) {
        if token.kind == TokenKind::Semicolon {
            let ends_trigger = match current.as_slice() {
                [.., before, last] => before.kind == TokenKind::Semicolon && last.is("end"),
                _ => false,
            };
            if in_trigger && !ends_trigger {
                current.push(token);
                continue;
            }
            if !current.is_empty() {
                statements.push(std::mem::take(&mut current));
            }
            in_trigger = false;
            continue;
        }
        current.push(token);
        if (2..=3).contains(&current.len()) && token.is("trigger") {
            in_trigger = creates_trigger(&current);
        }
    }
    while current.last().is_some_and(|token| token.kind == TokenKind::Semicolon) {
        current.pop();
    }
    if !current.is_empty() {
        statements.push(current);
    }
    statements
}

fn creates_trigger(tokens: &[Token<'_>]) -> bool {
    match tokens {
        [create, _trigger] => create.is("create"),
        [create, temporary, _trigger] => create.is("create") && temporary.is_any(&["temp", "temporary"]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(sql: &str) -> Vec<String> {
        let whole =
            |tokens: &Vec<Token<'_>>| sql[tokens[0].start..tokens.last().map_or(0, Token::end)].to_owned();
        split(sql).iter().map(whole).collect()
    }

    #[test]
    fn semicolons_in_strings_comments_and_triggers_do_not_split() {
        assert_eq!(
            texts("select ';' ; ; -- a;b\n select \"x;\" /* ; */, [;]"),
            ["select ';'", "select \"x;\" /* ; */, [;]"]
        );
        let trigger = "create temp trigger t after insert on a begin \
                       update b set c = case when 1 then 2 end; delete from d; end";
        assert_eq!(texts(&format!("{trigger}; select 1;")), [trigger, "select 1"]);
        assert!(texts(" ; ;-- nothing\n").is_empty());
    }

    #[test]
    fn tokens_are_sqlites() {
        let kinds: Vec<_> = Lexer::new("a.\"b\" = $1::int + 1e-5 - x'00' || ?2 :n 'it''s' .5")
            .map(|token| token.kind)
            .collect();
        use TokenKind::*;
        assert_eq!(
            kinds,
            [
                Word,
                Dot,
                QuotedIdentifier,
                Equals,
                Parameter,
                Cast,
                Word,
                Other,
                Number,
                Other,
                Blob,
                Other,
                Other,
                Parameter,
                Parameter,
                String,
                Number
            ]
        );
    }

    #[test]
    fn names_are_unquoted() {
        let values: Vec<_> = Lexer::new("AbC \"A\"\"b\" [c d] 'e''f'").map(|t| t.value()).collect();
        assert_eq!(values, ["abc", "A\"b", "c d", "e'f"]);
    }

    proptest! {
        #[test]
        fn any_text_is_split(text in "\\PC*|[-'\";:.$\\[/*a1 e+]*") {
            let tokens: Vec<_> = Lexer::new(&text).collect();
            prop_assert!(tokens.windows(2).all(|pair| pair[0].end() <= pair[1].start));
            split(&text);
        }
    }
}
