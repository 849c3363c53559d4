use std::fmt;
use std::str::FromStr;

/// Name of a replication slot: 1 to 63 of `a-z 0-9 _` (PostgreSQL's rule).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotName(String);

/// The text was not a slot name; SQLSTATE 42602.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSlotName {
    /// It was empty.
    #[error("replication slot name \"\" is too short")]
    Empty,
    /// It had more than [`SlotName::LENGTH_MAX`] bytes.
    #[error("replication slot name \"{0}\" is too long")]
    TooLong(String),
    /// It had a character that is not allowed.
    #[error("replication slot name \"{0}\" contains invalid character")]
    Character(String),
}

impl InvalidSlotName {
    /// What PostgreSQL advises.
    pub const HINT: &'static str =
        "Replication slot names may only contain lower case letters, numbers, and the underscore character.";
}

impl SlotName {
    /// The longest name, in bytes.
    pub const LENGTH_MAX: usize = 63;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name that stands for `text` when a slot is named after something else (a
    /// follower's name): lower case, everything that is not allowed replaced by `_`.
    pub fn derived_from(text: &str) -> Option<SlotName> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let lower = text.chars().map(|c| c.to_ascii_lowercase());
        let name: String = lower.map(|c| if allowed(c) { c } else { '_' }).take(Self::LENGTH_MAX).collect();
        name.parse().ok()
    }
}

impl FromStr for SlotName {
    type Err = InvalidSlotName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if name.is_empty() {
            return Err(InvalidSlotName::Empty);
        }
        if name.len() > Self::LENGTH_MAX {
            return Err(InvalidSlotName::TooLong(name.to_owned()));
        }
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if name.bytes().all(allowed) {
            Ok(SlotName(name.to_owned()))
        } else {
            Err(InvalidSlotName::Character(name.to_owned()))
        }
    }
}

impl fmt::Display for SlotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_postgresqls() {
        assert!("a_9".parse::<SlotName>().is_ok());
        assert!(SlotName::from_str(&"x".repeat(63)).is_ok());
        assert!(matches!(SlotName::from_str(&"x".repeat(64)), Err(InvalidSlotName::TooLong(_))));
        assert_eq!("".parse::<SlotName>(), Err(InvalidSlotName::Empty));
        for bad in ["A", "a-b", "a b", "é", "a/b", ".."] {
            assert!(matches!(bad.parse::<SlotName>(), Err(InvalidSlotName::Character(_))), "{bad}");
        }
        assert_eq!(SlotName::derived_from("Node-1.x").unwrap().as_str(), "node_1_x");
        assert_eq!(SlotName::derived_from(""), None);
    }
}
