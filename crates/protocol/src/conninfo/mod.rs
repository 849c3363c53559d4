//! libpq's connection strings: `key=value` pairs or a URI, several hosts.

mod keyvalue;
mod target;
mod uri;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

pub use target::{
    ChannelBinding, Host, HostAddress, Password, SessionAttributes, SslMode, Target, TargetError, TlsOptions,
};

/// The keywords of libpq 15. What `pg_basebackup -R` writes uses most of them, so all
/// are understood, and those without a meaning here are kept and ignored.
const KEYWORDS: &[&str] = &[
    "application_name",
    "authtype",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "options",
    "passfile",
    "password",
    "port",
    "replication",
    "requirepeer",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslmode",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "tty",
    "user",
];

/// A connection string, taken apart. Printing hides passwords; [`Conninfo::to_text`]
/// gives them too.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Conninfo {
    parameters: BTreeMap<&'static str, String>,
}

/// A text that is not a connection string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConninfoError {
    /// A keyword that libpq does not know.
    #[error("invalid connection option \"{0}\"")]
    UnknownOption(String),
    /// A keyword without its `=`.
    #[error("missing \"=\" after \"{0}\" in connection info string")]
    MissingEquals(String),
    /// A `'` without its end.
    #[error("unterminated quoted string in connection info string")]
    Unterminated,
    /// A `%` without two hexadecimal digits behind it, or `%00`, or bytes that are no UTF-8.
    #[error("invalid percent-encoding in connection URI: \"{0}\"")]
    PercentEncoding(String),
    /// A `[` without its `]`, or something behind it that is no port.
    #[error("invalid host in connection URI: \"{0}\"")]
    UriHost(String),
    /// A query parameter without its `=`.
    #[error("missing key/value separator \"=\" in URI query parameter: \"{0}\"")]
    UriParameter(String),
}

impl Conninfo {
    /// Value of an option, if it was given.
    pub fn get(&self, keyword: &str) -> Option<&str> {
        self.parameters.get(keyword).map(String::as_str)
    }

    /// Sets an option.
    pub fn set(&mut self, keyword: &str, value: &str) -> Result<(), ConninfoError> {
        let known = KEYWORDS.iter().find(|known| **known == keyword);
        let known = known.ok_or_else(|| ConninfoError::UnknownOption(keyword.to_owned()))?;
        self.parameters.insert(known, value.to_owned());
        Ok(())
    }

    /// Whether no option was given.
    pub fn is_empty(&self) -> bool {
        self.parameters.is_empty()
    }

    /// As `key=value` pairs that parse back, passwords included.
    pub fn to_text(&self) -> String {
        self.print(false)
    }

    fn print(&self, hide: bool) -> String {
        let pair = |(keyword, value): (&&str, &String)| {
            let secret = hide && matches!(*keyword, "password" | "sslpassword");
            format!("{keyword}={}", if secret { "********".to_owned() } else { keyvalue::quote(value) })
        };
        self.parameters.iter().map(pair).collect::<Vec<_>>().join(" ")
    }
}

impl FromStr for Conninfo {
    type Err = ConninfoError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uri = ["postgresql://", "postgres://"].iter().find_map(|prefix| text.strip_prefix(prefix));
        match uri {
            Some(rest) => uri::parse(rest),
            None => keyvalue::parse(text),
        }
    }
}

impl fmt::Display for Conninfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print(true))
    }
}

impl fmt::Debug for Conninfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Conninfo({self})")
    }
}
