//! Replay: records become pages of SQLite files, under readers who never notice.

mod apply;
mod catalog;
mod error;
mod fence;
mod files;

mod replica;
mod request;
mod restartpoint;
mod start;
mod worker;

pub use apply::{REPLAY_BYTES_MAX, Redo, RedoOptions};
pub use catalog::{RedoCatalog, ReplayedDatabase};
pub use error::{RedoError, ReplayProblem, ReplayStop};
pub(crate) use fence::{differing_pages, search};
pub(crate) use files::{frame_checksum, remove_database, sqlite_wal_position};
pub use request::{NoRestartpoint, RestartpointRequest};
pub use restartpoint::Restartpoint;
pub use start::RedoStart;
pub(crate) use start::finish_drops;
pub use worker::{PauseState, ReplayOptions, ReplayStatus, ReplayWorker, RestartpointSink, StoppedDatabase};
