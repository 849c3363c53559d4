use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::ffi;
use walship_types::{DatabaseId, DatabaseName};
use walship_wal::WalError;
use walship_wal::payload::PayloadError;

use crate::page::HashFileError;

/// What went wrong in the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The linked SQLite is too old.
    #[error("SQLite {found} is too old: {required} or later is required")]
    SqliteTooOld {
        /// The version linked into this process.
        found: &'static str,
        /// The oldest version that would do.
        required: &'static str,
    },
    /// The linked SQLite was compiled without something that is needed.
    #[error("SQLite was compiled without {option}")]
    SqliteLacksOption {
        /// Name of the compile-time option.
        option: &'static str,
    },
    /// A database file of the cluster is not in WAL mode.
    #[error("database file \"{}\" is in journal mode \"{found}\", not \"wal\"", path.display())]
    NotWalMode {
        /// The database file.
        path: PathBuf,
        /// Its journal mode.
        found: String,
    },
    /// No database has this name.
    #[error("database \"{name}\" does not exist")]
    DatabaseDoesNotExist {
        /// The name asked for.
        name: String,
        /// The names that there are.
        existing: Vec<DatabaseName>,
    },
    /// A database has this name already.
    #[error("database \"{name}\" already exists")]
    DatabaseExists {
        /// The name asked for.
        name: DatabaseName,
    },
    /// The database cannot be dropped while sessions use it.
    #[error("database \"{name}\" is being accessed by {sessions} other session(s)")]
    DatabaseInUse {
        /// The database.
        name: DatabaseName,
        /// How many sessions use it.
        sessions: usize,
    },
    /// The name is being worked on.
    #[error("database \"{name}\" is being created or dropped by another session")]
    DatabaseInWork {
        /// The name asked for.
        name: DatabaseName,
    },
    /// This node does not accept writes.
    #[error("cannot execute a writing statement on a node that is {role}")]
    ReadOnly {
        /// What the node is instead of a leader.
        role: &'static str,
    },
    /// The turn to write, or SQLite's write lock, was not had in time.
    #[error("gave up after waiting {} ms for the turn to write to database \"{database}\"", waited.as_millis())]
    LockTimeout {
        /// The database.
        database: DatabaseName,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The wait was cancelled.
    #[error("cancelled while waiting for the turn to write to database \"{database}\"")]
    Cancelled {
        /// The database.
        database: DatabaseName,
    },
    /// There is no room in the log for what the statement would write. Nothing changed.
    #[error(
        "no space left for {bytes} bytes of log; the transaction on database \"{database}\" was rolled back"
    )]
    NoSpace {
        /// The database.
        database: DatabaseName,
        /// How much was asked for, at most, in bytes.
        bytes: u64,
    },
    /// A node began to lead without knowing where one of its databases stands.
    #[error("where database \"{database}\" stands in the log is not known")]
    NoStart {
        /// The database.
        database: DatabaseName,
    },
    /// A thread could not be started.
    #[error("could not start a thread: {source}")]
    Thread {
        /// The operating system's answer.
        source: io::Error,
    },
    /// A session committed without having had the turn; the commit was rolled back.
    #[error("a commit on database \"{database}\" without the turn to write was rolled back")]
    NoTurn {
        /// The database.
        database: DatabaseName,
    },
    /// A database is closed, because what SQLite committed could not be logged.
    #[error("database \"{database}\" is closed: {reason}")]
    DatabaseClosed {
        /// The database.
        database: DatabaseName,
        /// Why.
        reason: String,
    },
    /// The whole engine is shutting down.
    #[error("the databases are closed: {reason}")]
    Closed {
        /// Why.
        reason: &'static str,
    },
    /// A -wal does not hold what SQLite says it holds.
    #[error("\"{}\", frame {frame}: {problem}", path.display())]
    DamagedSqliteWal {
        /// The -wal.
        path: PathBuf,
        /// The frame, from 1; 0 is the file header.
        frame: u32,
        /// What is wrong with it.
        problem: SqliteWalProblem,
    },
    /// The -wal restarted although not all of it was in the log.
    #[error(
        "the -wal of database {database} restarted at {found} while frames after {captured} were not yet logged"
    )]
    MissedRestart {
        /// The database.
        database: DatabaseId,
        /// The last position that is in the log.
        captured: Box<walship_types::SqliteWalPosition>,
        /// The position found now.
        found: Box<walship_types::SqliteWalPosition>,
    },
    /// A file to import is not a sound SQLite database.
    #[error("\"{}\" cannot be imported: {problem}", path.display())]
    NotImportable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The file system refused.
    #[error("could not {operation} \"{}\": {source}", path.display())]
    Io {
        /// What was attempted, as a verb.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The page hashes of a database could not be written.
    #[error("could not write page hashes to \"{}\": {source}", path.display())]
    HashFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<HashFileError>,
    },
    /// The log refused.
    #[error(transparent)]
    Wal(#[from] WalError),
    /// A record could not be made or understood.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// SQLite refused.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// What is wrong with a frame or header of a -wal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteWalProblem {
    /// The file ends before it.
    #[error("the file ends within it")]
    TooShort,
    /// The file does not begin as a -wal does.
    #[error("magic number {0:#010x} is not that of a -wal")]
    Magic(u32),
    /// The format version is unknown.
    #[error("format version is {0}, expected 3007000")]
    Version(u32),
    /// The page size is not that of the database.
    #[error("page size {found}, expected {expected}")]
    PageSize {
        /// In the file.
        found: u32,
        /// Of the database.
        expected: u32,
    },
    /// The frame belongs to another life of the -wal.
    #[error("salts {:08x}{:08x}, expected {:08x}{:08x}", found.0, found.1, expected.0, expected.1)]
    Salts {
        /// In the file.
        found: (u32, u32),
        /// Of the generation that is being read.
        expected: (u32, u32),
    },
    /// The frame is for page 0 or beyond all pages.
    #[error("invalid page number {0}")]
    PageNumber(u32),
    /// SQLite counts the frame as the end of a commit and it is none.
    #[error("is not the end of a commit")]
    NoCommit,
    /// The cumulative checksum is another than SQLite published.
    #[error("checksum {:08x}{:08x}, expected {:08x}{:08x}", found.0, found.1, expected.0, expected.1)]
    Checksum {
        /// In the file.
        found: (u32, u32),
        /// In the wal-index.
        expected: (u32, u32),
    },
}

/// What a caller has to tell apart: one kind for each answer that a client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EngineErrorKind {
    /// No such database (3D000).
    DoesNotExist,
    /// The name is taken (42P04).
    AlreadyExists,
    /// Sessions are in the way (55006).
    InUse,
    /// Not a leader (25006).
    ReadOnly,
    /// A lock was not had in time (55P03).
    LockTimeout,
    /// Cancelled by request (57014).
    Cancelled,
    /// The transaction's snapshot is too old to write from (40001).
    Serialization,
    /// The disk is full; nothing changed (53100).
    NoSpace,
    /// A file does not hold what it has to (XX001).
    Corrupt,
    /// The database is not available now (57P03).
    Closed,
    /// An error of a statement; the SQLite error says which.
    Sqlite,
    /// Anything else (58030, XX000).
    Internal,
}

impl EngineError {
    /// Which answer a client gets.
    pub fn kind(&self) -> EngineErrorKind {
        use EngineErrorKind as Kind;
        match self {
            EngineError::DatabaseDoesNotExist { .. } => Kind::DoesNotExist,
            EngineError::DatabaseExists { .. } => Kind::AlreadyExists,
            EngineError::DatabaseInUse { .. } | EngineError::DatabaseInWork { .. } => Kind::InUse,
            EngineError::ReadOnly { .. } => Kind::ReadOnly,
            EngineError::LockTimeout { .. } => Kind::LockTimeout,
            EngineError::Cancelled { .. } => Kind::Cancelled,
            EngineError::NoSpace { .. } => Kind::NoSpace,
            EngineError::DatabaseClosed { .. } | EngineError::Closed { .. } => Kind::Closed,
            EngineError::DamagedSqliteWal { .. }
            | EngineError::MissedRestart { .. }
            | EngineError::NotWalMode { .. } => Kind::Corrupt,
            EngineError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => Kind::NoSpace,
            EngineError::Sqlite(error) => sqlite_kind(error),
            EngineError::Wal(error) if error.is_no_space() => Kind::NoSpace,
            EngineError::SqliteTooOld { .. }
            | EngineError::SqliteLacksOption { .. }
            | EngineError::NoTurn { .. }
            | EngineError::NoStart { .. }
            | EngineError::Thread { .. }
            | EngineError::NotImportable { .. }
            | EngineError::HashFile { .. }
            | EngineError::Wal(_)
            | EngineError::Payload(_)
            | EngineError::Io { .. } => Kind::Internal,
        }
    }

    /// Advice that goes with the message, if there is any.
    pub fn hint(&self) -> Option<String> {
        match self {
            EngineError::DatabaseDoesNotExist { existing, .. } => {
                let names: Vec<&str> = existing.iter().map(DatabaseName::as_str).collect();
                Some(format!("existing databases: {}", names.join(", ")))
            }
            EngineError::NoSpace { .. } => Some("free space on the disk that holds pg_wal".to_owned()),
            EngineError::SqliteLacksOption { option } => {
                Some(format!("build with LIBSQLITE3_FLAGS=\"-D{option}=1\""))
            }
            _ => None,
        }
    }
}

fn sqlite_kind(error: &rusqlite::Error) -> EngineErrorKind {
    let Some(error) = error.sqlite_error() else { return EngineErrorKind::Sqlite };
    match (error.extended_code, error.extended_code & 0xff) {
        (ffi::SQLITE_BUSY_SNAPSHOT, _) => EngineErrorKind::Serialization,
        (_, ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED) => EngineErrorKind::LockTimeout,
        (_, ffi::SQLITE_INTERRUPT) => EngineErrorKind::Cancelled,
        (_, ffi::SQLITE_FULL) => EngineErrorKind::NoSpace,
        (_, ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB) => EngineErrorKind::Corrupt,
        (_, ffi::SQLITE_READONLY) => EngineErrorKind::ReadOnly,
        _ => EngineErrorKind::Sqlite,
    }
}
