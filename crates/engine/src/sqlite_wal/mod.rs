//! SQLite's own -wal, read through a descriptor of ours.
//!
//! Opening and closing a -wal is harmless (SQLite has no locks on it); where it
//! ends is for the wal-index to say, never for its size.

mod file;
mod format;

pub use file::SqliteWalFile;
pub(crate) use file::sqlite_wal_path;
pub use format::{FRAME_HEADER_BYTES, FrameHeader, HEADER_BYTES, WalHeader, frame_offset};
