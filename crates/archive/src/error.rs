use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// Why a file did not get into an archive or out of it.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file system refused.
    #[error("could not {operation} \"{}\": {source}", path.display())]
    Io {
        /// What was tried, as in "could not ...".
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The archive's directory is not there. It is never made: a disk that is not mounted
    /// must not be mistaken for an empty archive.
    #[error("archive directory \"{}\" does not exist", .0.display())]
    NoDirectory(PathBuf),
    /// The archive has a file of that name with other content.
    #[error("archive file \"{}\" already exists with different content: {difference}", path.display())]
    Differs {
        /// The file in the archive.
        path: PathBuf,
        /// What differs.
        difference: String,
    },
    /// A command did not succeed.
    #[error("{what} {outcome}: {command}")]
    Command {
        /// `archive command`, `restore command`.
        what: &'static str,
        /// As it was given to the shell.
        command: String,
        /// How it ended.
        outcome: CommandOutcome,
    },
    /// A segment has not the size of one.
    #[error("archive file \"{}\" has wrong size: {found} bytes, expected {expected}", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// The cluster's segment size.
        expected: u64,
        /// Its own.
        found: u64,
    },
    /// What a file holds cannot be decompressed.
    #[error("archive file \"{}\" is damaged: {source}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        source: io::Error,
    },
    /// A file is compressed in a way that is not read here.
    #[error("archive file \"{}\" is compressed with {method}, which is not supported", path.display())]
    Compressed {
        /// The file.
        path: PathBuf,
        /// How.
        method: &'static str,
    },
    /// A name to keep files from is none.
    #[error(
        "invalid oldest kept file \"{0}\": expected the name of a segment file, of its .partial or .backup file, or a base backup"
    )]
    OldestKept(String),
    /// The caller gave up.
    #[error("cancelled")]
    Cancelled,
}

impl ArchiveError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArchiveError {
        move |source| ArchiveError::Io { operation, path: path.to_owned(), source }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            ArchiveError::NoDirectory(_) => Some("mount it, or create it; it is not created by itself"),
            ArchiveError::Differs { .. } => Some(
                "two clusters, or two nodes that both wrote, must not share an archive: give each its own",
            ),
            ArchiveError::Compressed { .. } => {
                Some("decompress it in place, or archive with gzip, lz4 or zstd")
            }
            ArchiveError::Command { outcome: CommandOutcome::Exited(126 | 127), .. } => {
                Some("the shell could not run the command: check its path and permissions")
            }
            _ => None,
        }
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandOutcome {
    /// With this exit status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

impl From<ExitStatus> for CommandOutcome {
    fn from(status: ExitStatus) -> CommandOutcome {
        match (status.code(), status.signal()) {
            (Some(code), _) => CommandOutcome::Exited(code),
            (None, signal) => CommandOutcome::Killed(signal.unwrap_or(0)),
        }
    }
}

impl fmt::Display for CommandOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandOutcome::Exited(code) => write!(f, "failed with exit code {code}"),
            CommandOutcome::Killed(signal) => write!(f, "was terminated by signal {signal}"),
        }
    }
}
