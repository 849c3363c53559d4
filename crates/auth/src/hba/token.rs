use super::HbaError;
use super::parse::Include;

/// How deep included files may include others (PostgreSQL's `CONF_FILE_MAX_DEPTH`).
const INCLUDE_DEPTH_MAX: u32 = 10;

/// A word of the file. In quotes it is only ever a name, never a keyword.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The word, without quotes.
    pub text: String,
    /// Whether it began with a quote.
    pub quoted: bool,
    /// Its first character's column, from 1; of a word from an included file, that of the `@`.
    pub column: u32,
}

impl Token {
    /// Whether it is that keyword.
    pub fn is_keyword(&self, keyword: &str) -> bool {
        !self.quoted && self.text == keyword
    }
}

/// A field: one word, or several with commas between them.
pub(super) type Field = Vec<Token>;

/// A line's fields; none of them is empty.
pub(super) struct Line {
    pub(super) number: u32,
    pub(super) fields: Result<Vec<Field>, HbaError>,
}

/// The lines of a file that are not blank. A `\` at the end of a line goes on with the next.
pub(super) fn lines(text: &str, include: &mut Include<'_>) -> Vec<Line> {
    let mut result = Vec::new();
    let mut numbered = (1..).zip(text.lines());
    while let Some((number, first)) = numbered.next() {
        let mut whole = first.to_owned();
        while whole.ends_with('\\') {
            whole.pop();
            match numbered.next() {
                Some((_, more)) => whole.push_str(more),
                None => break,
            }
        }
        let fields = fields(&whole, number, include, 0);
        if !matches!(&fields, Ok(fields) if fields.is_empty()) {
            result.push(Line { number, fields });
        }
    }
    result
}

fn fields(text: &str, line: u32, include: &mut Include<'_>, depth: u32) -> Result<Vec<Field>, HbaError> {
    let mut scanner = Scanner { chars: text.chars().collect(), at: 0 };
    let mut fields = Vec::new();
    loop {
        let mut field = Field::new();
        while let Some((token, comma)) = scanner.next() {
            match token.text.strip_prefix('@').filter(|name| !token.quoted && !name.is_empty()) {
                Some(name) => field.extend(included(name, line, token.column, include, depth)?),
                None => field.push(token),
            }
            if !comma {
                break;
            }
        }
        match field.is_empty() {
            // an included file may hold nothing; what follows is still there
            true if scanner.is_at_end() => return Ok(fields),
            true => {}
            false => fields.push(field),
        }
    }
}

/// Every word of an included file, whatever its lines.
fn included(
    name: &str,
    line: u32,
    column: u32,
    include: &mut Include<'_>,
    depth: u32,
) -> Result<Vec<Token>, HbaError> {
    if depth >= INCLUDE_DEPTH_MAX {
        let message =
            format!("could not open secondary authentication file \"@{name}\": files are nested too deep");
        return Err(HbaError::new(line, column, message).hint(format!("at most {INCLUDE_DEPTH_MAX} levels")));
    }
    let text = include(name).map_err(|reason| {
        let message = format!("could not open secondary authentication file \"@{name}\": {reason}");
        HbaError::new(line, column, message).hint("the path is relative to the folder of the rules file")
    })?;
    let mut tokens = Vec::new();
    for part in text.lines() {
        let words = fields(part, line, include, depth + 1)?.into_iter().flatten();
        tokens.extend(words.map(|token| Token { column, ..token }));
    }
    Ok(tokens)
}

struct Scanner {
    chars: Vec<char>,
    at: usize,
}

impl Scanner {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn is_at_end(&self) -> bool {
        self.at >= self.chars.len()
    }

    /// The next word, and whether a comma follows it at once.
    fn next(&mut self) -> Option<(Token, bool)> {
        while self.peek().is_some_and(|c| is_blank(c) || c == ',') {
            self.at += 1;
        }
        let start = self.at;
        let (mut text, mut quoted, mut saw_quote) = (String::new(), false, false);
        let (mut in_quote, mut was_quote, mut comma) = (false, false, false);
        while let Some(c) = self.peek().filter(|&c| in_quote || !is_blank(c)) {
            if c == '#' && !in_quote {
                self.at = self.chars.len();
                break;
            }
            self.at += 1;
            if c == ',' && !in_quote {
                comma = true;
                break;
            }
            if c != '"' || was_quote {
                text.push(c);
            }
            // two quotes within a quoted word are one that is meant
            was_quote = in_quote && c == '"' && !was_quote;
            if c == '"' {
                in_quote = !in_quote;
                quoted |= !saw_quote && text.is_empty();
                saw_quote = true;
            }
        }
        let column = u32::try_from(start + 1).unwrap_or(u32::MAX);
        (saw_quote || !text.is_empty()).then_some((Token { text, quoted, column }, comma))
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<Vec<String>> {
        let mut include = |name: &str| match name {
            "users" => Ok("ann, bob # two\n\"all\" @more".to_owned()),
            "more" => Ok("eve".to_owned()),
            "loop" => Ok("@loop".to_owned()),
            _ => Err("No such file or directory".to_owned()),
        };
        let line = lines(text, &mut include).remove(0);
        let shown = |token: Token| if token.quoted { format!("<{}>", token.text) } else { token.text };
        line.fields.unwrap().into_iter().map(|field| field.into_iter().map(shown).collect()).collect()
    }

    #[test]
    fn words_lists_quotes_and_comments() {
        assert_eq!(split("host a,b  c, d #e"), [vec!["host"], vec!["a", "b"], vec!["c", "d"]]);
        assert_eq!(
            split("\"a b\" \"all\" x\"y z\"w \"\""),
            [vec!["<a b>"], vec!["<all>"], vec!["xy zw"], vec!["<>"]]
        );
        assert_eq!(split("a \"q\"\"uote\""), [vec!["a"], vec!["<q\"uote>"]]);
        assert_eq!(split("a \\\n b"), [vec!["a"], vec!["b"]]);
        assert_eq!(
            split("a @users,zoe b"),
            [vec!["a"], vec!["ann", "bob", "<all>", "eve", "zoe"], vec!["b"]]
        );
    }

    #[test]
    fn included_files_are_bounded_and_named() {
        let mut include = |name: &str| match name {
            "loop" => Ok("@loop".to_owned()),
            _ => Err("No such file or directory".to_owned()),
        };
        let line = lines("host  @gone", &mut include).remove(0);
        let error = line.fields.unwrap_err();
        assert_eq!((error.line, error.column), (1, 7));
        assert!(error.message.contains("\"@gone\": No such file"), "{error}");
        let line = lines("\n@loop", &mut include).remove(0);
        assert!(line.fields.unwrap_err().message.contains("nested too deep"));
        assert_eq!(line.number, 2);
    }
}
