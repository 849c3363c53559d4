use std::io;
use std::path::{Path, PathBuf};

use crate::manifest::ManifestError;
use crate::tar::TarError;

/// Why a backup could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Something on the disk.
    #[error("could not {operation} \"{}\": {source}", .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The target has something in it.
    #[error("directory \"{}\" exists but is not empty: found \"{found}\"", .path.display())]
    NotEmpty {
        /// The target.
        path: PathBuf,
        /// One of the things in it.
        found: String,
    },
    /// The archive is damaged.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// A member's name leads out of the target.
    #[error("archive has unsafe path name \"{0}\"")]
    UnsafePath(String),
    /// A member that is neither file nor directory.
    #[error("archive has member \"{name}\" of unexpected type \"{}\"", .kind.escape_ascii())]
    Kind {
        /// The member.
        name: String,
        /// Its type.
        kind: u8,
    },
    /// The manifest cannot be trusted.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file is not what the manifest says.
    #[error("backup failed verification: {0}")]
    Differs(crate::verify::Problem),
    /// The manifest is larger than any backup's can be.
    #[error("backup manifest exceeds {max} bytes")]
    ManifestTooLarge {
        /// The limit.
        max: usize,
    },
}

impl RestoreError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
        move |source| RestoreError::Io { operation, path: path.to_owned(), source }
    }

    /// Whether there is no room left.
    pub fn is_no_space(&self) -> bool {
        matches!(self, RestoreError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull)
    }
}
