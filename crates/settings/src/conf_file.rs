use std::iter::Peekable;
use std::str::CharIndices;

/// One `name = value` of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfEntry {
    /// The name as it was written.
    pub name: String,
    /// The value, without quotes.
    pub value: String,
    /// The line, counted from 1.
    pub line: u32,
}

/// A line that is not `name = value`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("syntax error near \"{near}\"")]
pub struct ConfSyntaxError {
    /// The line, counted from 1.
    pub line: u32,
    /// Where it stopped making sense.
    pub near: String,
}

/// Reads the text of a configuration file in PostgreSQL's syntax: one `name = value` a line (the equals sign may be
/// left out), `#` begins a comment, quoted values double a quote or escape it with a backslash. Lines that cannot be
/// read come back as errors beside those that can.
pub fn parse_conf(text: &str) -> (Vec<ConfEntry>, Vec<ConfSyntaxError>) {
    let (mut entries, mut errors) = (Vec::new(), Vec::new());
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (index, line) in text.lines().enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        match parse_line(line) {
            Ok(Some((name, value))) => entries.push(ConfEntry { name, value, line: number }),
            Ok(None) => {}
            Err(near) => errors.push(ConfSyntaxError { line: number, near: near.to_owned() }),
        }
    }
    (entries, errors)
}

/// Name and value of a line, nothing for an empty one, or the rest from where it went wrong.
fn parse_line(line: &str) -> Result<Option<(String, String)>, &str> {
    let rest = line.trim_start();
    if rest.is_empty() || rest.starts_with('#') {
        return Ok(None);
    }
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_.$".contains(c))).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    if !name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return Err(line.trim());
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest).trim_start();
    let (value, rest) = match rest.strip_prefix('\'') {
        Some(quoted) => quoted_value(quoted).ok_or(rest)?,
        None => plain_value(rest)?,
    };
    match rest.trim() {
        "" => Ok(Some((name.to_owned(), value))),
        comment if comment.starts_with('#') => Ok(Some((name.to_owned(), value))),
        other => Err(other),
    }
}

fn plain_value(rest: &str) -> Result<(String, &str), &str> {
    let plain = |c: char| c.is_alphanumeric() || "_-.:/+".contains(c);
    let end = rest.find(|c: char| !plain(c)).unwrap_or(rest.len());
    if end == 0 {
        return Err(if rest.is_empty() { "end of line" } else { rest });
    }
    let (value, rest) = rest.split_at(end);
    Ok((value.to_owned(), rest))
}

/// The value up to the closing quote, and what follows it; `None` if there is no closing quote on the line.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' if chars.next_if(|&(_, next)| next == '\'').is_some() => value.push('\''),
            '\'' => return text.get(at + 1..).map(|rest| (value, rest)),
            '\\' => value.push(escaped(&mut chars)?),
            c => value.push(c),
        }
    }
    None
}

fn escaped(chars: &mut Peekable<CharIndices<'_>>) -> Option<char> {
    let (_, c) = chars.next()?;
    Some(match c {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        '0'..='7' => {
            let mut code = c.to_digit(8)?;
            for _ in 0..2 {
                let Some((_, digit)) = chars.next_if(|(_, next)| next.is_digit(8)) else { break };
                code = code * 8 + digit.to_digit(8)?;
            }
            char::from(u8::try_from(code & 0xFF).ok()?)
        }
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Vec<(String, String)> {
        let (entries, errors) = parse_conf(text);
        assert_eq!(errors, []);
        entries.into_iter().map(|entry| (entry.name, entry.value)).collect()
    }

    #[test]
    fn reads_what_postgresql_reads() {
        for (line, name, value) in [
            ("port = 5433", "port", "5433"),
            ("port 5433 # comment", "port", "5433"),
            ("  checkpoint_timeout=5min", "checkpoint_timeout", "5min"),
            ("primary_conninfo = 'host=a password=''x'''", "primary_conninfo", "host=a password='x'"),
            (r"archive_command = 'a \'b\' \\ \101\t#'#", "archive_command", "a 'b' \\ A\t#"),
            ("peers = ''", "peers", ""),
            ("unix_socket_directories = /tmp/x-y_z.d", "unix_socket_directories", "/tmp/x-y_z.d"),
            ("my.var = on", "my.var", "on"),
        ] {
            assert_eq!(values(line), [(name.to_owned(), value.to_owned())], "{line}");
        }
        assert_eq!(values("# all\n\n \t\n#comment"), []);
    }

    #[test]
    fn says_on_which_line_it_stopped() {
        let (entries, errors) = parse_conf("port = 1\n= 2\nport = 'open\nport = 1 2\nport\nfsync = on");
        assert_eq!(entries.len(), 2);
        let found: Vec<_> = errors.iter().map(|error| (error.line, error.near.as_str())).collect();
        assert_eq!(found, [(2, "= 2"), (3, "'open"), (4, "2"), (5, "end of line")]);
    }
}
