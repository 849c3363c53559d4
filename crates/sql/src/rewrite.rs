use super::lexer::{Token, TokenKind};
use super::value::PgType;

/// A statement as SQLite gets it, and how to find its places again in the client's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rewritten {
    /// What SQLite gets.
    pub text: String,
    /// Types that `$n::type` states, by the parameter's text.
    pub parameter_types: Vec<(String, PgType)>,
    // (offset in `text`, offset in the client's text), ascending; between two entries both advance alike
    places: Vec<(usize, usize)>,
}

impl Rewritten {
    /// Byte offset in the client's text of an offset in `text`.
    pub(super) fn origin(&self, offset: usize) -> usize {
        let found = self.places.iter().rev().find(|(here, _)| *here <= offset);
        found.map_or(offset, |(here, there)| there + (offset - here))
    }
}

/// Takes out what PostgreSQL's clients write and SQLite does not know: the prefixes `pg_catalog.` and `public.`,
/// and casts with `::`. The cast of a parameter only states its type; others become CAST.
pub(super) fn rewrite(source: &str, tokens: &[Token<'_>]) -> Rewritten {
    let Some((first, last)) = tokens.first().zip(tokens.last()) else {
        return Rewritten { text: String::new(), parameter_types: Vec::new(), places: Vec::new() };
    };
    let mut builder = Builder {
        source,
        out: Rewritten {
            text: String::with_capacity(last.end() - first.start),
            parameter_types: Vec::new(),
            places: Vec::new(),
        },
        at: first.start,
        operands: Vec::with_capacity(tokens.len()),
    };
    let mut index = 0;
    while let Some(token) = tokens.get(index) {
        let next = tokens.get(index + 1).map(|token| token.kind);
        if next == Some(TokenKind::Dot)
            && token.is_any(&["pg_catalog", "public"])
            && !builder.follows_dot(tokens, index)
        {
            builder.skip_to(*token, tokens.get(index + 2));
            index += 2;
        } else if token.kind == TokenKind::Cast {
            index += 1 + builder.cast(*token, tokens.get(index + 1..).unwrap_or_default());
        } else {
            builder.copy(*token);
            index += 1;
        }
    }
    builder.out
}

struct Builder<'a> {
    source: &'a str,
    out: Rewritten,
    // how much of the source was dealt with
    at: usize,
    // each token that was copied: its kind, and where it stands in the new text
    operands: Vec<(TokenKind, usize)>,
}

impl Builder<'_> {
    fn follows_dot(&self, tokens: &[Token<'_>], index: usize) -> bool {
        index.checked_sub(1).and_then(|i| tokens.get(i)).is_some_and(|token| token.kind == TokenKind::Dot)
    }

    // white space and comments between tokens stay as they are
    fn blanks_before(&mut self, start: usize) {
        self.out.places.push((self.out.text.len(), self.at));
        self.out.text.push_str(self.source.get(self.at..start).unwrap_or_default());
        self.at = start;
    }

    fn copy(&mut self, token: Token<'_>) {
        self.blanks_before(token.start);
        self.operands.push((token.kind, self.out.text.len()));
        self.out.text.push_str(token.text);
        self.at = token.end();
    }

    fn skip_to(&mut self, from: Token<'_>, to: Option<&Token<'_>>) {
        self.blanks_before(from.start);
        self.at = to.map_or(from.end(), |token| token.start);
    }

    // `rest` follows the `::`; returns how many of its tokens name the type
    fn cast(&mut self, cast: Token<'_>, rest: &[Token<'_>]) -> usize {
        let count = type_tokens(rest);
        let Some(last) = count.checked_sub(1).and_then(|i| rest.get(i)) else {
            self.copy(cast);
            return 0;
        };
        let mut written: Vec<&str> = rest.iter().take(count).map(|token| token.text).collect();
        if rest.first().is_some_and(|token| token.is("pg_catalog")) {
            written.drain(..2);
        }
        let pg_type = PgType::from_declaration(&written.join(" "));
        self.blanks_before(cast.start);
        self.at = last.end();
        match self.operands.last() {
            Some(&(TokenKind::Parameter, at)) => {
                let name = self.out.text.get(at..).unwrap_or_default().trim_end().to_owned();
                self.out.parameter_types.push((name, pg_type));
            }
            _ => self.wrap_operand(pg_type),
        }
        count
    }

    fn wrap_operand(&mut self, pg_type: PgType) {
        let Some(start) = self.operand_start() else { return };
        let opening = "CAST(";
        self.out.text.insert_str(start, opening);
        for (here, _) in self.out.places.iter_mut().filter(|(here, _)| *here > start) {
            *here += opening.len();
        }
        for (_, at) in self.operands.iter_mut().filter(|(_, at)| *at > start) {
            *at += opening.len();
        }
        self.out.text.push_str(" AS ");
        self.out.text.push_str(pg_type.storage());
        self.out.text.push(')');
        // the whole CAST is one operand for a further cast
        self.operands.retain(|(_, at)| *at < start);
        self.operands.push((TokenKind::Number, start));
    }

    fn is_function_name(&self, kind: TokenKind, at: usize) -> bool {
        let word = self.out.text.get(at..).unwrap_or_default();
        let word = word.split(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default();
        match kind {
            TokenKind::QuotedIdentifier => true,
            TokenKind::Word => !BEFORE_GROUPS.iter().any(|keyword| word.eq_ignore_ascii_case(keyword)),
            _ => false,
        }
    }

    // where the expression that ends here begins: a literal, a dotted name, a group, or a call
    fn operand_start(&self) -> Option<usize> {
        let mut index = self.operands.len().checked_sub(1)?;
        if self.operands.get(index)?.0 == TokenKind::Close {
            let mut depth = 0usize;
            loop {
                match self.operands.get(index)?.0 {
                    TokenKind::Close => depth += 1,
                    TokenKind::Open => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
                index = index.checked_sub(1)?;
            }
            let before = index.checked_sub(1).and_then(|i| self.operands.get(i));
            if before.is_some_and(|(kind, at)| self.is_function_name(*kind, *at)) {
                index -= 1;
            }
        }
        while index >= 2 && self.operands.get(index - 1)?.0 == TokenKind::Dot {
            index -= 2;
        }
        self.operands.get(index).map(|(_, at)| *at)
    }
}

// keywords that a parenthesis may follow without being a call
const BEFORE_GROUPS: &[&str] = &[
    "select",
    "distinct",
    "all",
    "where",
    "having",
    "on",
    "by",
    "and",
    "or",
    "not",
    "in",
    "between",
    "like",
    "is",
    "case",
    "when",
    "then",
    "else",
    "as",
    "from",
    "join",
    "values",
    "set",
    "limit",
    "offset",
    "returning",
    "union",
    "except",
    "intersect",
    "exists",
    "using",
];

// how many tokens make up the type's name behind `::`
fn type_tokens(rest: &[Token<'_>]) -> usize {
    let is_name = |at: usize| {
        rest.get(at).is_some_and(|t| matches!(t.kind, TokenKind::Word | TokenKind::QuotedIdentifier))
    };
    let mut count = 0;
    if rest.first().is_some_and(|t| t.is("pg_catalog"))
        && rest.get(1).is_some_and(|t| t.kind == TokenKind::Dot)
    {
        count = 2;
    }
    if !is_name(count) {
        return 0;
    }
    count += 1;
    let words = |at: usize, words: &[&str]| {
        words.iter().enumerate().all(|(i, word)| rest.get(at + i).is_some_and(|token| token.is(word)))
    };
    if words(count, &["precision"]) || words(count, &["varying"]) {
        count += 1;
    }
    if rest.get(count).is_some_and(|t| t.kind == TokenKind::Open) {
        let close = rest.iter().skip(count).position(|t| t.kind == TokenKind::Close);
        count += close.map_or(0, |at| at + 1);
    }
    if words(count, &["with", "time", "zone"]) || words(count, &["without", "time", "zone"]) {
        count += 3;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::split;

    fn text(sql: &str) -> String {
        rewrite(sql, &split(sql)[0]).text
    }

    #[test]
    fn prefixes_and_casts_go() {
        for (sql, expected) in [
            ("select pg_catalog.pg_is_in_recovery()", "select pg_is_in_recovery()"),
            ("select * from public.t, \"public\".u", "select * from t, \"public\".u"),
            ("select a.public from a", "select a.public from a"),
            ("select $1::int8 + $2 :: text", "select $1 + $2 "),
            ("select '1'::int", "select CAST('1' AS INTEGER)"),
            ("select t.a::text, b", "select CAST(t.a AS TEXT), b"),
            ("select f(a, (b))::pg_catalog.float8", "select CAST(f(a, (b)) AS REAL)"),
            ("select (1+2)::varchar(3)::int", "select CAST(CAST((1+2) AS TEXT) AS INTEGER)"),
            ("select x::timestamp with time zone from y", "select CAST(x AS TEXT) from y"),
            ("select ':: public.'", "select ':: public.'"),
        ] {
            assert_eq!(text(sql), expected, "{sql}");
        }
    }

    #[test]
    fn casts_of_parameters_state_their_type() {
        let sql = "select $2::bool, $1::int4";
        let stated = rewrite(sql, &split(sql)[0]).parameter_types;
        assert_eq!(stated, [("$2".to_owned(), PgType::Bool), ("$1".to_owned(), PgType::Int4)]);
    }

    #[test]
    fn places_are_found_again() {
        let sql = "  select public.a, '1'::int, nope";
        let rewritten = rewrite(sql, &split(sql)[0]);
        let here = rewritten.text.find("nope").unwrap();
        assert_eq!(rewritten.origin(here), sql.find("nope").unwrap());
        let here = rewritten.text.find("a,").unwrap();
        assert_eq!(rewritten.origin(here), sql.find("a,").unwrap());
    }
}
