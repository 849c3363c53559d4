use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// What was tried on a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the name of the call")]
pub enum Operation {
    Open,
    Create,
    Read,
    Write,
    Sync,
    SetLength,
    Allocate,
    Map,
    Metadata,
    Rename,
    Remove,
    List,
    CreateDirectory,
    SyncDirectory,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Open => "open",
            Operation::Create => "create",
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::Sync => "fdatasync",
            Operation::SetLength => "set the length of",
            Operation::Allocate => "allocate",
            Operation::Map => "map",
            Operation::Metadata => "stat",
            Operation::Rename => "rename",
            Operation::Remove => "remove",
            Operation::List => "list",
            Operation::CreateDirectory => "create directory",
            Operation::SyncDirectory => "fsync directory",
        })
    }
}

/// An operation on a path failed.
#[derive(Debug, thiserror::Error)]
#[error("could not {operation} \"{}\": {source}", path.display())]
pub struct DiskError {
    /// What was tried.
    pub operation: Operation,
    /// On what.
    pub path: PathBuf,
    /// What the operating system answered.
    pub source: io::Error,
}

impl DiskError {
    /// The error of `operation` on `path`.
    pub fn new(operation: Operation, path: &Path, source: io::Error) -> DiskError {
        DiskError { operation, path: path.to_owned(), source }
    }

    /// Whether there is no room (`ENOSPC`, `EDQUOT`): the same call may work later.
    pub fn is_no_space(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether the path does not exist.
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// Whether the path exists already.
    pub fn is_already_there(&self) -> bool {
        self.source.kind() == io::ErrorKind::AlreadyExists
    }
}
