use std::fmt;

/// How the followers that a commit waits for are chosen among those that are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandbyMethod {
    /// The first of the list that are connected.
    First,
    /// Any of them.
    Any,
}

/// `synchronous_standby_names`, read: how many of which followers a commit waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandbyNames {
    /// How they are chosen.
    pub method: StandbyMethod,
    /// How many of them; at least one.
    pub count: usize,
    /// Names in the order of the list; `*` matches every follower.
    pub names: Vec<String>,
}

/// Why a list of synchronous followers cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault} (at character {position})")]
pub struct StandbyNamesError {
    /// In characters, from 1; one behind the last character at the end of the text.
    pub position: usize,
    /// What is wrong there.
    pub fault: StandbyNamesFault,
}

/// What is wrong with a list of synchronous followers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StandbyNamesFault {
    /// Something that the grammar does not have there.
    #[error("syntax error at or near \"{0}\"")]
    Unexpected(String),
    /// Something is missing.
    #[error("syntax error at end of input")]
    End,
    /// A double quote without its other one.
    #[error("unterminated quoted name")]
    Unterminated,
    /// The number of followers is zero or too large.
    #[error("number of synchronous standbys ({0}) must be greater than zero")]
    Count(String),
}

impl StandbyNames {
    /// Reads PostgreSQL's grammar: `FIRST n (list)`, `ANY n (list)`, `n (list)` or a plain list, which
    /// means `FIRST 1`. Nothing at all gives `None`: no commit waits for a follower.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Option<StandbyNames>, StandbyNamesError> {
        if text.is_empty() {
            return Ok(None);
        }
        let mut parser = Parser { tokens: tokens(text)?, next: 0, end: text.chars().count() + 1 };
        let names = parser.config()?;
        match parser.take() {
            None => Ok(Some(names)),
            Some(rest) => Err(rest.unexpected()),
        }
    }

    /// The index of the name that a follower matches.
    pub fn place(&self, application_name: &str) -> Option<usize> {
        let matches = |name: &String| name == "*" || name.eq_ignore_ascii_case(application_name);
        self.names.iter().position(matches)
    }

    /// A follower's priority: its place in the list, from 1, or `None` if it is not in it. With `ANY` all places are 1.
    pub fn priority(&self, application_name: &str) -> Option<usize> {
        let place = self.place(application_name)?;
        Some(match self.method {
            StandbyMethod::First => place + 1,
            StandbyMethod::Any => 1,
        })
    }
}

impl fmt::Display for StandbyNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.method {
            StandbyMethod::First => "FIRST",
            StandbyMethod::Any => "ANY",
        };
        let quoted = |name: &String| match name.as_str() {
            "*" => "*".to_owned(),
            name => format!("\"{}\"", name.replace('"', "\"\"")),
        };
        let names: Vec<String> = self.names.iter().map(quoted).collect();
        write!(f, "{method} {} ({})", self.count, names.join(", "))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    First,
    Any,
    Number,
    Name,
    Comma,
    Open,
    Close,
    Junk,
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    /// A name without its quotes.
    text: String,
    position: usize,
}

impl Token {
    fn unexpected(&self) -> StandbyNamesError {
        let fault = StandbyNamesFault::Unexpected(self.text.clone());
        StandbyNamesError { position: self.position, fault }
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    end: usize,
}

impl Parser {
    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.next).cloned();
        self.next += 1;
        token
    }

    fn kind_at(&self, ahead: usize) -> Option<&Kind> {
        self.tokens.get(self.next + ahead).map(|token| &token.kind)
    }

    fn expect(&mut self, kinds: &[Kind]) -> Result<Token, StandbyNamesError> {
        match self.take() {
            Some(token) if kinds.contains(&token.kind) => Ok(token),
            Some(token) => Err(token.unexpected()),
            None => Err(StandbyNamesError { position: self.end, fault: StandbyNamesFault::End }),
        }
    }

    fn config(&mut self) -> Result<StandbyNames, StandbyNamesError> {
        let method = match self.kind_at(0) {
            Some(Kind::First) => Some(StandbyMethod::First),
            Some(Kind::Any) => Some(StandbyMethod::Any),
            // a number is a name, unless a list follows it
            Some(Kind::Number) if self.kind_at(1) == Some(&Kind::Open) => None,
            _ => {
                let names = self.list()?;
                return Ok(StandbyNames { method: StandbyMethod::First, count: 1, names });
            }
        };
        if method.is_some() {
            self.next += 1;
        }
        let count = self.count()?;
        self.expect(&[Kind::Open])?;
        let names = self.list()?;
        self.expect(&[Kind::Close])?;
        Ok(StandbyNames { method: method.unwrap_or(StandbyMethod::First), count, names })
    }

    fn count(&mut self) -> Result<usize, StandbyNamesError> {
        let number = self.expect(&[Kind::Number])?;
        match number.text.parse::<u32>() {
            Ok(count) if count > 0 => Ok(count as usize),
            _ => {
                let fault = StandbyNamesFault::Count(number.text);
                Err(StandbyNamesError { position: number.position, fault })
            }
        }
    }

    fn list(&mut self) -> Result<Vec<String>, StandbyNamesError> {
        let mut names = Vec::new();
        loop {
            names.push(self.expect(&[Kind::Name, Kind::Number])?.text);
            if self.kind_at(0) != Some(&Kind::Comma) {
                return Ok(names);
            }
            self.next += 1;
        }
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, StandbyNamesError> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().enumerate().peekable();
    while let Some((index, first)) = chars.next() {
        let position = index + 1;
        let mut word = String::from(first);
        let mut extend = |word: &mut String, more: fn(char) -> bool| {
            while let Some((_, c)) = chars.next_if(|(_, c)| more(*c)) {
                word.push(c);
            }
        };
        let kind = match first {
            ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c' => continue,
            ',' => Kind::Comma,
            '(' => Kind::Open,
            ')' => Kind::Close,
            '*' => Kind::Name,
            '"' => {
                word.clear();
                loop {
                    match chars.next() {
                        Some((_, '"')) if chars.next_if(|(_, c)| *c == '"').is_none() => break,
                        Some((_, c)) => word.push(c),
                        None => {
                            return Err(StandbyNamesError {
                                position,
                                fault: StandbyNamesFault::Unterminated,
                            });
                        }
                    }
                }
                Kind::Name
            }
            c if c.is_ascii_digit() => {
                extend(&mut word, |c| c.is_ascii_digit());
                Kind::Number
            }
            c if starts_name(c) => {
                extend(&mut word, |c| starts_name(c) || c.is_ascii_digit() || c == '$');
                match word.to_ascii_lowercase().as_str() {
                    "first" => Kind::First,
                    "any" => Kind::Any,
                    _ => Kind::Name,
                }
            }
            _ => Kind::Junk,
        };
        tokens.push(Token { kind, text: word, position });
    }
    Ok(tokens)
}

fn starts_name(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match StandbyNames::parse(text) {
            Ok(Some(names)) => names.to_string(),
            Ok(None) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn reads_the_whole_grammar() {
        for (text, expected) in [
            ("", ""),
            ("a", "FIRST 1 (\"a\")"),
            ("a, B ,c", "FIRST 1 (\"a\", \"B\", \"c\")"),
            ("*", "FIRST 1 (*)"),
            ("\"*\"", "FIRST 1 (*)"),
            ("2 (a, b)", "FIRST 2 (\"a\", \"b\")"),
            ("first 2(a,b)", "FIRST 2 (\"a\", \"b\")"),
            ("AnY 1 (a, *)", "ANY 1 (\"a\", *)"),
            ("1, 2", "FIRST 1 (\"1\", \"2\")"),
            ("\"first\", \"a \"\"b\"\"\"", "FIRST 1 (\"first\", \"a \"\"b\"\"\")"),
            ("ANY 3 (a, a)", "ANY 3 (\"a\", \"a\")"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn says_where_the_text_is_wrong() {
        for (text, expected) in [
            (" ", "syntax error at end of input (at character 2)"),
            ("a b", "syntax error at or near \"b\" (at character 3)"),
            ("a,", "syntax error at end of input (at character 3)"),
            ("FIRST (a)", "syntax error at or near \"(\" (at character 7)"),
            ("FIRST 1 (a", "syntax error at end of input (at character 11)"),
            ("ANY 0 (a)", "number of synchronous standbys (0) must be greater than zero (at character 5)"),
            ("1a", "syntax error at or near \"a\" (at character 2)"),
            ("a-b", "syntax error at or near \"-\" (at character 2)"),
            ("a, any", "syntax error at or near \"any\" (at character 4)"),
            ("\u{e9}, \"b", "unterminated quoted name (at character 4)"),
            ("ANY 1 ()", "syntax error at or near \")\" (at character 8)"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn places_go_by_the_first_match_in_any_case() {
        let names = StandbyNames::parse("a, *, A").unwrap().unwrap();
        assert_eq!([names.priority("A"), names.priority("x")], [Some(1), Some(2)]);
        let names = StandbyNames::parse("ANY 1 (a, b)").unwrap().unwrap();
        assert_eq!([names.priority("B"), names.priority("c")], [Some(1), None]);
    }
}
