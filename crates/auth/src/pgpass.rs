use std::fmt;

/// A password file in libpq's format: `host:port:database:user:password` on each line,
/// `*` for any, `\` before a `:` or `\` that is meant as such. The first line that fits
/// counts.
#[derive(Clone)]
pub struct PasswordFile {
    text: String,
}

/// What a connection is to, for looking it up.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Host as it was given; `localhost` for a Unix socket, as libpq has it.
    pub host: &'a str,
    /// Port.
    pub port: u16,
    /// Database; `replication` for a replication connection.
    pub database: &'a str,
    /// User.
    pub user: &'a str,
}

impl PasswordFile {
    /// The file with that content.
    pub fn new(text: impl Into<String>) -> PasswordFile {
        PasswordFile { text: text.into() }
    }

    /// The password for a connection.
    pub fn password(&self, wanted: &Wanted<'_>) -> Option<String> {
        let port = wanted.port.to_string();
        let wanted = [wanted.host, &port, wanted.database, wanted.user];
        self.text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
            let mut rest = line.strip_suffix('\r').unwrap_or(line);
            for value in wanted {
                let (field, after) = field(rest)?;
                if field != "*" && unescaped(field) != value {
                    return None;
                }
                rest = after;
            }
            Some(unescaped(rest))
        })
    }
}

/// The text before the next `:` that is not escaped, as written, and what follows it.
fn field(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    let end = text.char_indices().find_map(|(at, c)| {
        let ends = c == ':' && !escaped;
        escaped = c == '\\' && !escaped;
        ends.then_some(at)
    })?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

impl fmt::Debug for PasswordFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordFile({} lines)", self.text.lines().count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_fits_counts() {
        let file = PasswordFile::new(
            "# hosts\nlocalhost:5433:replication:repl:r\n10.0.0.1:*:*:ann:a\\:b\\\\c\n*:*:shop:*:s:t\nbroken\n",
        );
        let find = |host, port, database, user| file.password(&Wanted { host, port, database, user });
        assert_eq!(find("localhost", 5433, "replication", "repl").as_deref(), Some("r"));
        assert_eq!(find("localhost", 5434, "replication", "repl"), None);
        assert_eq!(find("10.0.0.1", 1, "x", "ann").as_deref(), Some("a:b\\c"));
        // what follows the fourth colon is the password, colons and all
        assert_eq!(find("h", 1, "shop", "eve").as_deref(), Some("s:t"));
        assert!(!format!("{file:?}").contains("s:t"));
    }
}
