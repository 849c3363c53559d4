use std::fmt;
use std::process::ExitCode;

use walship_disk::DiskError;
use walship_node::NodeError;
use walship_wal::WalError;

/// What messages begin with.
pub(crate) const PROGRAM: &str = "walctl";
/// Exit status when something failed or was found to be wrong.
const FAILED_STATUS: u8 = 1;
/// Exit status when the command line is wrong.
const USAGE_STATUS: u8 = 2;

/// Why a command did not do what it should: a fact, and what to do about it.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Lower case, no full stop, with its values.
    message: String,
    /// More of it.
    detail: Option<String>,
    /// Advice.
    hint: Option<String>,
    /// The process's exit status.
    status: u8,
}

impl Failure {
    /// A failure with exit status 1.
    pub(crate) fn new(message: impl fmt::Display) -> Failure {
        Failure { message: message.to_string(), detail: None, hint: None, status: FAILED_STATUS }
    }

    /// A wrong command line, with exit status 2.
    pub(crate) fn usage(message: impl fmt::Display) -> Failure {
        Failure { status: USAGE_STATUS, ..Failure::new(message) }
    }

    /// The fact alone.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Adds more of the fact.
    pub(crate) fn detail(self, detail: impl Into<String>) -> Failure {
        Failure { detail: Some(detail.into()), ..self }
    }

    /// Adds advice.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()), ..self }
    }

    /// Adds what a server has to add.
    pub(crate) fn more(self, detail: Option<&str>, hint: Option<&str>) -> Failure {
        Failure { detail: detail.map(str::to_owned), hint: hint.map(str::to_owned), ..self }
    }

    /// Prints it to standard error as PostgreSQL's programs do.
    pub(crate) fn print(&self) -> ExitCode {
        eprint!("{self}");
        ExitCode::from(self.status)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{PROGRAM}: error: {}", self.message)?;
        if let Some(detail) = &self.detail {
            writeln!(f, "{PROGRAM}: detail: {detail}")?;
        }
        self.hint.as_ref().map_or(Ok(()), |hint| writeln!(f, "{PROGRAM}: hint: {hint}"))
    }
}

/// Says something that is no failure on standard error, where it mixes with no output.
pub(crate) fn note(message: impl fmt::Display) {
    eprintln!("{PROGRAM}: {message}");
}

impl From<WalError> for Failure {
    fn from(error: WalError) -> Failure {
        Failure::new(error)
    }
}

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Failure {
        Failure::new(error)
    }
}

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Failure {
        let hint = error.hint();
        Failure { hint, ..Failure::new(error) }
    }
}
