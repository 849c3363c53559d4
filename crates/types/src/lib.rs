//! The positions and identifiers that every part of walship speaks in.
//!
//! Pure values: no I/O, and nothing of walship's is imported here.
//!
//! ```
//! use walship_types::{Lsn, SegmentSize, TimelineId};
//! let lsn: Lsn = "0/16B3740".parse().unwrap();
//! let size = SegmentSize::DEFAULT;
//! let name = walship_types::segment_file_name(TimelineId::FIRST, size.segment_of(lsn), size);
//! assert_eq!(name, "000000010000000000000001");
//! ```

mod database;
mod durations;
mod history;
mod lsn;
mod page;
mod segment;
mod sqlite_wal;
mod system;
mod time;

pub use database::{DatabaseId, DatabaseName, InvalidDatabaseName};
pub use durations::{DurationHistogram, Durations};
pub use history::{HistoryEntry, HistoryError, TimelineHistory, history_file_name, parse_history_file_name};
pub use lsn::{Lsn, ParseLsnError};
pub use page::{InvalidPageSize, PageNo, PageSize};
pub use segment::{InvalidSegmentSize, SegmentNo, SegmentSize, parse_segment_file_name, segment_file_name};
pub use sqlite_wal::{SqliteWalGeneration, SqliteWalPosition};
pub use system::{ParseSystemIdError, SystemId, TimelineId};
pub use time::Timestamp;
