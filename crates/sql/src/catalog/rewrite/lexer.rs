/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Word,
    Quoted,
    String,
    /// `E'...'`, with backslash escapes.
    EscapeString,
    Number,
    Parameter,
    Symbol,
}

/// A piece of a statement; spaces and comments are between tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Token<'_> {
    /// Whether it is that keyword or name, not quoted.
    pub(crate) fn is(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    pub(crate) fn is_symbol(&self, symbol: &str) -> bool {
        self.kind == Kind::Symbol && self.text == symbol
    }
}

/// Symbols of more than one character, longest first.
const SYMBOLS: [&str; 16] =
    ["!~*", "->>", "::", "!~", "~*", "<>", "<=", ">=", "!=", "==", "||", "->", "<<", ">>", ":=", "@>"];

/// The tokens of a statement. Whatever cannot be read (an open quote) is one token up to the end: SQLite says what is
/// wrong with it.
pub(crate) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = sql.get(at..).filter(|rest| !rest.is_empty()) {
        let skipped = space_length(rest);
        if skipped > 0 {
            at += skipped;
            continue;
        }
        let (kind, length) = measure(rest);
        let end = at + length.max(1);
        tokens.push(Token { kind, text: sql.get(at..end).unwrap_or(rest), start: at, end });
        at = end;
    }
    tokens
}

fn space_length(rest: &str) -> usize {
    if rest.starts_with("--") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if let Some(comment) = rest.strip_prefix("/*") {
        return comment.find("*/").map_or(rest.len(), |end| end + 4);
    }
    rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len())
}

fn measure(rest: &str) -> (Kind, usize) {
    let mut chars = rest.chars();
    let first = chars.next().unwrap_or(' ');
    let second = chars.next();
    match first {
        '\'' => (Kind::String, quoted_length(rest, '\'', false)),
        'e' | 'E' if second == Some('\'') => (Kind::EscapeString, 1 + quoted_length(&rest[1..], '\'', true)),
        'x' | 'X' if second == Some('\'') => (Kind::String, 1 + quoted_length(&rest[1..], '\'', false)),
        '"' | '`' => (Kind::Quoted, quoted_length(rest, first, false)),
        '$' | '?' | ':' | '@' if second.is_some_and(|c| c.is_alphanumeric() || c == '_') => {
            (Kind::Parameter, 1 + word_length(&rest[1..]))
        }
        '?' => (Kind::Parameter, 1),
        c if c.is_ascii_digit() => (
            Kind::Number,
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '.')).unwrap_or(rest.len()),
        ),
        c if is_word(c) => (Kind::Word, word_length(rest)),
        c => {
            let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
            (Kind::Symbol, symbol.map_or(c.len_utf8(), |symbol| symbol.len()))
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$'
}

fn word_length(rest: &str) -> usize {
    rest.find(|c| !is_word(c)).unwrap_or(rest.len())
}

/// Bytes up to and with the closing quote; a doubled quote does not close.
fn quoted_length(rest: &str, quote: char, escapes: bool) -> usize {
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if escapes && c == '\\' {
            chars.next();
        } else if c == quote && chars.next_if(|&(_, next)| next == quote).is_none() {
            return at + 1;
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_what_psql_sends() {
        let texts = |sql| tokens(sql).iter().map(|token| token.text).collect::<Vec<_>>();
        assert_eq!(
            texts("a::b!~'x''y' --c\n,E'\\'n'/*d*/\"q\"\"\"$1 ~1.5"),
            ["a", "::", "b", "!~", "'x''y'", ",", "E'\\'n'", "\"q\"\"\"", "$1", "~", "1.5"]
        );
        assert_eq!(texts("'open"), ["'open"]);
        assert_eq!(texts("\u{e9}t\u{e9} /* open"), ["\u{e9}t\u{e9}"]);
    }
}
