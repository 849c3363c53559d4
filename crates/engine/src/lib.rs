//! SQLite under a log: what a leader commits becomes records, what a follower
//! receives becomes pages. The only crate that links SQLite.

mod dbpage;
mod error;
mod options;
pub mod page;
mod raw_file;
pub mod recovery;
pub mod redo;
pub mod sqlite;

pub use dbpage::{Backfill, DbPage, DbPageError};
pub use error::{EngineError, EngineErrorKind, SqliteWalProblem};
pub use options::EngineOptions;
pub use raw_file::raw_file;
