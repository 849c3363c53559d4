//! A segment-file write-ahead log with PostgreSQL's positions, file names and timelines.
//!
//! A [`WalWriter`] appends records and makes them durable, many commits with one sync.
//! A [`WalSink`] takes another log's bytes as they are. A [`WalSource`] gives bytes to
//! senders and, through a [`WalReader`], checked records to whoever replays them. The
//! crate knows records, not what is replayed; [`payload`] has the formats of what they
//! carry. docs/wal-format.md specifies every byte.
//!
//! At start, [`recover`] finds the end of a log and [`clean_tail`] makes it safe to
//! append there.
//!
//! ```
//! use std::sync::Arc;
//! use walship_disk::RealDisk;
//! use walship_types::{SegmentSize, SystemId, TimelineHistory, TimelineId};
//! use walship_wal::{Next, RecordKind, WalConfig, WalWriter, create_first_segment};
//!
//! let dir = tempfile::tempdir().unwrap();
//! let history = TimelineHistory::root(TimelineId::FIRST);
//! let config = WalConfig::new(
//!     Arc::new(RealDisk::new()), dir.path(), SystemId(1), SegmentSize::MIN, history);
//! let end = create_first_segment(&config)?;
//! let writer = WalWriter::start(config, end)?;
//! let span = writer.append(RecordKind::Commit, &[b"payload"])?;
//! writer.flush(span.end)?;
//!
//! let mut reader = writer.source().reader(span.start);
//! let Next::Record(record) = reader.next()? else { panic!("no record") };
//! assert_eq!(&record.payload[..], b"payload");
//! # Ok::<(), walship_wal::WalError>(())
//! ```

mod abandon;
mod branch;
mod checked;
mod config;
mod core;
mod crc;
pub mod dump;
mod end;
mod error;
mod first;
mod flusher;
#[cfg(test)]
mod format_doc;
mod history;
mod insert;
mod kind;
mod layout;
pub mod payload;
mod reader;
mod record;
mod recover;
mod segment_header;
mod segments;
mod sink;
mod source;
mod statistics;
mod tail;
mod watch;
mod writer;

pub use abandon::{AbandonedStretch, cut_log};
pub use branch::{FIRST_SEGMENT, begin_timeline, create_first_segment, create_timeline_branch};
pub use checked::CheckedBytes;
pub use config::WalConfig;
pub use end::{EndReason, WalEnd};
pub use error::WalError;
pub use first::first_record;
pub use history::{check_ancestors, newest_timeline, read_history, write_history};
pub use kind::RecordKind;
pub use layout::record_start;
pub use reader::{Next, WalReader};
pub use record::{RECORD_ALIGNMENT, RECORD_HEADER_LEN, RECORD_PAYLOAD_MAX, Record, RecordSpan};
pub use recover::{CleanEnd, Recovered, clean_tail, recover};
pub use segment_header::{
    FORMAT_VERSION, SEGMENT_HEADER_LEN, SEGMENT_MAGIC, SegmentHeader, SegmentHeaderError,
};
pub use sink::{Recycler, WalSink};
pub use source::WalSource;
pub use statistics::WriterStatistics;
pub use watch::{PositionWatch, WaitOutcome, WalPositions};
pub use writer::{InsertGuard, Reservation, WalWriter};
