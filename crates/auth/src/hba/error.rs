use std::fmt;

/// A line that is not a rule: where, what was found, and what may stand there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HbaError {
    /// Line of the file, from 1; of a line that goes on with `\`, its first. 0 for the file as a whole.
    pub line: u32,
    /// Column in characters, from 1; 0 where no one place is at fault.
    pub column: u32,
    /// What is wrong, in PostgreSQL's words.
    pub message: String,
    /// What is allowed there.
    pub hint: Option<String>,
}

impl HbaError {
    pub(super) fn new(line: u32, column: u32, message: impl Into<String>) -> HbaError {
        HbaError { line, column, message: message.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> HbaError {
        HbaError { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for HbaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => f.write_str(&self.message),
            (line, 0) => write!(f, "line {line}: {}", self.message),
            (line, column) => write!(f, "line {line}, column {column}: {}", self.message),
        }
    }
}

impl std::error::Error for HbaError {}
