use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Identifies a database within its cluster. Never used twice: a database that
/// is dropped and created again under its name has another one, so that redo can
/// skip the records of what was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DatabaseId(pub u32);

impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Name of a database: 1 to 63 of `a-z 0-9 _ -`, starting with a letter or `_`.
/// It is also the name of the file, `base/NAME.db`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatabaseName(String);

/// The text was not a database name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid database name \"{0}\": must be 1 to 63 of a-z, 0-9, _ and -, starting with a letter or _")]
pub struct InvalidDatabaseName(pub String);

impl DatabaseName {
    /// The longest name, in bytes.
    pub const LENGTH_MAX: usize = 63;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The database in which the cluster keeps its roles; nobody connects to it.
    pub fn shared_catalog() -> DatabaseName {
        DatabaseName("pg_global".to_owned())
    }

    /// Whether it is [`DatabaseName::shared_catalog`].
    pub fn is_shared_catalog(&self) -> bool {
        self.0 == "pg_global"
    }

    /// The database that a new cluster has.
    pub fn postgres() -> DatabaseName {
        DatabaseName("postgres".to_owned())
    }
}

impl TryFrom<String> for DatabaseName {
    type Error = InvalidDatabaseName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let first = |b: u8| b.is_ascii_lowercase() || b == b'_';
        let other = |b: u8| first(b) || b.is_ascii_digit() || b == b'-';
        let bytes = name.as_bytes();
        let valid = bytes.len() <= Self::LENGTH_MAX
            && bytes.first().is_some_and(|&b| first(b))
            && bytes.iter().all(|&b| other(b));
        if valid { Ok(DatabaseName(name)) } else { Err(InvalidDatabaseName(name)) }
    }
}

impl FromStr for DatabaseName {
    type Err = InvalidDatabaseName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        DatabaseName::try_from(name.to_owned())
    }
}

impl From<DatabaseName> for String {
    fn from(name: DatabaseName) -> String {
        name.0
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_as_file_names() {
        for good in ["a", "_", "a-b_9", &"x".repeat(63)] {
            assert!(good.parse::<DatabaseName>().is_ok(), "{good}");
        }
        for bad in ["", "A", "9a", "-a", "a.b", "a/b", "..", "a b", "é", "a\0", &"x".repeat(64)] {
            assert!(bad.parse::<DatabaseName>().is_err(), "{bad}");
        }
    }
}
