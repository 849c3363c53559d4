use std::path::PathBuf;

use walship_types::{DatabaseId, DatabaseName, Lsn, PageNo, PageSize};
use walship_wal::payload::PayloadError;

use crate::dbpage::DbPageError;
use crate::page::HashFileError;

/// Why one database's replay cannot go on. Reads of that database go on, replay of
/// the others too; nothing is ever skipped.
#[derive(Debug, thiserror::Error)]
#[error("replay of database \"{database}\" stopped at {lsn}: {problem}")]
pub struct ReplayStop {
    /// The database.
    pub database: DatabaseName,
    /// Its id.
    pub id: DatabaseId,
    /// Start of the record that could not be replayed.
    pub lsn: Lsn,
    /// What is wrong with it, or with the file.
    pub problem: ReplayProblem,
}

/// What keeps a record from being replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayProblem {
    /// A page does not have the content that the log says after patching.
    #[error("page {page} has hash {found:016x}, expected {expected:016x}")]
    PageHash {
        /// The page.
        page: PageNo,
        /// As logged.
        expected: u64,
        /// As computed from the patched page.
        found: u64,
    },
    /// After a commit the pages as a whole are not what the leader had.
    #[error("database checksum is {found:016x}, expected {expected:016x}")]
    DatabaseChecksum {
        /// As logged.
        expected: u64,
        /// XOR of the hashes of all pages.
        found: u64,
    },
    /// A record changes parts of a page that is not there.
    #[error("page {page} is logged as a change of an earlier content that is not there")]
    NoBase {
        /// The page.
        page: PageNo,
    },
    /// A record's entry does not make a page.
    #[error("page {page}: {source}")]
    Entry {
        /// The page.
        page: PageNo,
        /// What is wrong with it.
        source: PayloadError,
    },
    /// A commit has a page beyond the size that it leaves.
    #[error("page {page} lies beyond the {pages} pages of its commit")]
    PageBeyondEnd {
        /// The page.
        page: PageNo,
        /// The commit's size in pages.
        pages: u32,
    },
    /// A record's page size is not the database's.
    #[error("the record has pages of {found} bytes, the database of {expected}")]
    PageSize {
        /// The record's.
        found: PageSize,
        /// The database's.
        expected: PageSize,
    },
    /// Somebody else wrote into the file, and what was there could not be restored.
    #[error(
        "another program wrote to the file, and {unknown} of the {pages} pages that it changed cannot be \
         restored, the first is page {first}"
    )]
    ForeignWrite {
        /// How many pages have content that is not the log's.
        pages: usize,
        /// How many of them are neither in the log since the redo point nor in the -wal.
        unknown: usize,
        /// The first of the unknown ones.
        first: PageNo,
    },
    /// The file holds content that the log never had, outside of what replay touched.
    #[error("{pages} pages of the file do not have their logged content, the first is page {first}")]
    Damaged {
        /// How many.
        pages: usize,
        /// The first.
        first: PageNo,
    },
    /// The file as a whole is not what the log says, and no table says which page.
    #[error("the pages of the file have checksum {found:016x}, expected {expected:016x}")]
    FileChecksum {
        /// As logged.
        expected: u64,
        /// XOR of the hashes of all pages of the file.
        found: u64,
    },
    /// SQLite refused.
    #[error(transparent)]
    DbPage(#[from] DbPageError),
    /// The record's payload is not a valid one.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

impl ReplayStop {
    /// What a person can do about it.
    pub fn hint(&self) -> &'static str {
        match self.problem {
            ReplayProblem::DbPage(_) => {
                "look at the file and its directory (space, permissions, other programs), then restart"
            }
            _ => {
                "take a new base backup of the cluster; reads of the database go on with its last good state"
            }
        }
    }
}

/// Replay as a whole cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedoError {
    /// The log cannot be read.
    #[error(transparent)]
    Wal(#[from] walship_wal::WalError),
    /// A record's payload is not a valid one.
    #[error("record at {lsn}: {source}")]
    Payload {
        /// Start of the record.
        lsn: Lsn,
        /// What is wrong.
        source: PayloadError,
    },
    /// A table of page hashes could not be kept.
    #[error(transparent)]
    HashFile(#[from] HashFileError),
    /// A file could not be made, removed or synced.
    #[error("could not {operation} \"{}\": {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A database could not be opened, or its file cannot be read.
    #[error(transparent)]
    DbPage(#[from] DbPageError),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] crate::EngineError),
    /// A database could not be compared with the log.
    #[error(transparent)]
    Unexpected(Box<ReplayProblem>),
    /// A record is about a database that was never created.
    #[error("record at {lsn} is about database {id}, which does not exist")]
    UnknownDatabase {
        /// Start of the record.
        lsn: Lsn,
        /// The id.
        id: DatabaseId,
    },
    /// There is no room to write; nothing is lost, and `retry_from` is where to go on.
    #[error("no space left to replay into database \"{database}\"")]
    NoSpace {
        /// The database.
        database: DatabaseName,
        /// Where to read the log again from once there is room.
        retry_from: Lsn,
    },
    /// The table of page hashes that recovery starts from does not fit the log.
    #[error(
        "commit at {lsn} leaves database \"{database}\" with checksum {expected:016x}, its page hashes give \
         {found:016x}"
    )]
    TableContradictsLog {
        /// The database.
        database: DatabaseName,
        /// Start of the commit record.
        lsn: Lsn,
        /// As logged.
        expected: u64,
        /// As computed.
        found: u64,
    },
    /// The files are not consistent before more of the log has been received.
    #[error("the log ends at {end}, the database files are consistent only from {consistent_at} on")]
    NotConsistent {
        /// End of the log.
        end: Lsn,
        /// Where replay has to come to.
        consistent_at: Lsn,
    },
    /// The wait for another program's lock was cancelled.
    #[error("replay was cancelled")]
    Cancelled,
    /// The log ends before the position up to which it was already replayed or durable.
    #[error("the log ends at {end}, before {expected}: {reason}")]
    LogEnds {
        /// Where it ends.
        end: Lsn,
        /// What was known to be there.
        expected: Lsn,
        /// How it ends.
        reason: String,
    },
}

impl ReplayProblem {
    /// Whether a write failed because the disk is full.
    pub(super) fn is_no_space(&self) -> bool {
        matches!(self, ReplayProblem::DbPage(error) if error.is_no_space())
    }

    /// Whether another program's write lock was in the way.
    pub(super) fn is_locked(&self) -> bool {
        matches!(self, ReplayProblem::DbPage(DbPageError::Locked { .. }))
    }
}
