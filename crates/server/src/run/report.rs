use std::fmt;
use std::process::ExitCode;

use walship_node::OTHER_VERSION;
use walship_wal::{SegmentHeaderError, WalError};

use super::Program;

/// Why a program could not start or had to stop: a fact, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    /// Lower case, no full stop, with its values.
    pub message: String,
    /// Advice, if there is any.
    pub hint: Option<String>,
    /// More of the same, each with its advice.
    pub further: Vec<(String, Option<String>)>,
    /// The process's exit status.
    pub status: u8,
}

impl Failure {
    /// A failure with exit status 1.
    pub fn new(message: impl fmt::Display) -> Failure {
        Failure { message: message.to_string(), hint: None, further: Vec::new(), status: 1 }
    }

    /// Adds advice.
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// Everything that was wrong, each with its advice.
    pub fn each(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let first = (self.message.as_str(), self.hint.as_deref());
        let further = self.further.iter().map(|(message, hint)| (message.as_str(), hint.as_deref()));
        std::iter::once(first).chain(further)
    }

    /// Prints it to standard error as PostgreSQL's programs do.
    pub fn print(&self, program: Program) -> ExitCode {
        let name = program.name();
        for (message, hint) in self.each() {
            eprintln!("{name}: error: {message}");
            if let Some(hint) = hint {
                eprintln!("{name}: hint: {hint}");
            }
        }
        ExitCode::from(self.status)
    }
}

impl From<walship_settings::LoadError> for Failure {
    fn from(error: walship_settings::LoadError) -> Failure {
        let mut each = error.each().into_iter();
        let (message, hint) = each.next().unwrap_or_default();
        Failure { hint, further: each.collect(), ..Failure::new(message) }
    }
}

impl From<walship_node::NodeError> for Failure {
    fn from(error: walship_node::NodeError) -> Failure {
        let hint = error.hint();
        Failure { hint, ..Failure::new(error) }
    }
}

impl From<WalError> for Failure {
    fn from(error: WalError) -> Failure {
        let hint = match &error {
            WalError::HistoriesContradict { .. } => Some(
                "one of the files is not of this node's log: bring the right one back from an archive, or from another node's pg_wal",
            ),
            WalError::SegmentHeader { source: SegmentHeaderError::Version { .. }, .. } => Some(OTHER_VERSION),
            _ => None,
        };
        Failure { hint: hint.map(str::to_owned), ..Failure::new(error) }
    }
}

impl From<walship_disk::DiskError> for Failure {
    fn from(error: walship_disk::DiskError) -> Failure {
        Failure::new(error)
    }
}
