//! SQLite under a log: what a leader commits becomes records, what a follower
//! receives becomes pages. The only crate that links SQLite.

mod capture;
mod checkpoint;
mod copy;
mod create;
mod database;
mod databases;
mod dbpage;
mod error;
mod export;
mod hand_over;
#[cfg(test)]
mod idle;
mod in_flight;
mod info;
mod integrity;
mod lead;
mod maintenance;
mod options;
pub mod page;
mod page_source;
mod pin;
mod published;
mod raw_file;
pub mod recovery;
pub mod redo;
mod replayed;
pub mod rewind;
mod scrub;
mod seal;
mod session;
mod shared;
mod signals;
pub mod sqlite;
pub mod sqlite_wal;
mod turn;

pub use checkpoint::CheckpointDone;
pub use copy::{ImportProgress, copy_foreign_database};
pub use create::UNFINISHED_SUFFIX;
pub use database::Database;
pub use databases::{Databases, DatabasesRole};
pub use dbpage::{Backfill, DbPage, DbPageError};
pub use error::{EngineError, EngineErrorKind, SqliteWalProblem};
pub use export::Exported;
pub use hand_over::HeldWriters;
pub use info::DatabaseInfo;
pub use integrity::integrity_check;
pub use lead::LeaderStart;
pub use options::EngineOptions;
pub use page_source::PageSource;
pub use raw_file::raw_file;
pub use scrub::{PageMismatch, SCRUB_SLICE_PAGES, ScrubReport, scrub};
pub use session::{Answers, Session, StatementEnd};
pub use turn::WaitLimits;
