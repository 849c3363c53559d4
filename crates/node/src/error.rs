use std::io;
use std::path::{Path, PathBuf};

use walship_types::SystemId;

/// What to do about a file whose format version this program does not know.
pub const OTHER_VERSION: &str = "it was written by another version of walship: start it with that one; docs/upgrading.md says how to upgrade";

/// What can be wrong with a node's durable state.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A file operation failed.
    #[error("could not {operation} \"{}\": {source}", path.display())]
    Io {
        /// What was tried, as in "could not ...".
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The file layer failed.
    #[error(transparent)]
    Disk(#[from] walship_disk::DiskError),
    /// The log failed.
    #[error(transparent)]
    Wal(#[from] walship_wal::WalError),
    /// Another process has the directory.
    #[error("data directory \"{}\" is in use by another process{}", directory.display(), pid.map(|p| format!(" (PID {p})")).unwrap_or_default())]
    DirectoryInUse {
        /// The directory.
        directory: PathBuf,
        /// The process, if its pid file could be read.
        pid: Option<u32>,
    },
    /// The directory is missing or empty.
    #[error("data directory \"{}\" is missing or empty", .0.display())]
    DirectoryEmpty(PathBuf),
    /// `--init` on a directory that has something in it.
    #[error("directory \"{}\" exists and is not empty", .0.display())]
    DirectoryNotEmpty(PathBuf),
    /// No control file where one must be.
    #[error("\"{}\" is not a walship data directory: it has no file named \"control\"", .0.display())]
    NotACluster(PathBuf),
    /// A checksummed state file is not what it should be.
    #[error("file \"{}\" is damaged: {what}: expected {expected}, found {found}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which part.
        what: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A state file of another version of walship.
    #[error("file \"{}\" has format version {found}, expected {expected}", path.display())]
    FormatVersion {
        /// The file.
        path: PathBuf,
        /// What this program reads.
        expected: u32,
        /// As the file says.
        found: String,
    },
    /// A file of another cluster.
    #[error("file \"{}\" belongs to another cluster: its system identifier is {found}, this cluster's is {expected}", path.display())]
    WrongSystem {
        /// The file.
        path: PathBuf,
        /// This cluster's.
        expected: SystemId,
        /// The file's.
        found: SystemId,
    },
    /// A slot operation was refused.
    #[error(transparent)]
    Slot(#[from] crate::SlotError),
}

impl NodeError {
    /// An I/O error with its operation ("open file", as in "could not open file") and path.
    pub fn io(operation: &'static str, path: &Path, source: io::Error) -> NodeError {
        NodeError::Io { operation, path: path.to_owned(), source }
    }

    /// Advice that goes with the message, if there is any.
    pub fn hint(&self) -> Option<String> {
        match self {
            NodeError::DirectoryInUse { .. } => {
                Some("stop the other process first, or give another directory with -D".to_owned())
            }
            NodeError::DirectoryEmpty(_) => Some(
                "if a file system should be mounted there, mount it; to create a new cluster, use walsender --init; \
                 for a follower of an existing leader, use walreceiver --init --primary CONNINFO"
                    .to_owned(),
            ),
            NodeError::DirectoryNotEmpty(_) => {
                Some("remove or empty the directory, or start it without --init".to_owned())
            }
            NodeError::NotACluster(_) => Some("check the path that was given with -D".to_owned()),
            NodeError::Damaged { .. } => {
                Some("restore the file from a base backup of this cluster, or take a new base backup".to_owned())
            }
            NodeError::FormatVersion { .. } => Some(OTHER_VERSION.to_owned()),
            _ => None,
        }
    }
}
