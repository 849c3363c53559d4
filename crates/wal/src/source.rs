use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, RwLock};
use walship_disk::OpenMode;
use walship_types::{Lsn, SegmentNo, TimelineHistory, TimelineId};

use crate::segment_header::SegmentHeaderError;
use crate::segments::SegmentFiles;
use crate::tail::HotTail;
use crate::{CheckedBytes, WalConfig, WalError, WalPositions, WalReader};

/// Mapped segments that are kept for the next reader.
const MAPPINGS_MAX: usize = 4;

/// Where the log can be read, by any number of threads: the latest bytes from memory,
/// older ones from mapped segment files. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct WalSource {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Protects the history, which changes when a follower's leader was promoted.
    config: RwLock<Arc<WalConfig>>,
    live: Option<Live>,
    /// Protects the list of mappings.
    mappings: Mutex<VecDeque<(TimelineId, SegmentNo, Bytes)>>,
}

/// What a log that is being written adds.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) positions: Arc<WalPositions>,
    pub(crate) tail: Arc<HotTail>,
    pub(crate) segments: Arc<SegmentFiles>,
}

/// Consecutive bytes of the log.
#[derive(Debug, Clone)]
pub(crate) struct Chunk {
    pub(crate) start: Lsn,
    pub(crate) bytes: Bytes,
    /// Whether it is a file's mapping: then it may change, and has to be copied before
    /// it is checked.
    pub(crate) mapped: bool,
}

/// Why there are no bytes at a position.
#[derive(Debug)]
pub(crate) enum NoChunk {
    NotFlushed,
    MissingSegment,
    Error(WalError),
}

impl From<WalError> for NoChunk {
    fn from(error: WalError) -> NoChunk {
        NoChunk::Error(error)
    }
}

impl WalSource {
    /// The segments of a directory that nobody writes to.
    pub fn offline(config: WalConfig) -> WalSource {
        WalSource::new(config, None)
    }

    pub(crate) fn live(config: WalConfig, live: Live) -> WalSource {
        WalSource::new(config, Some(live))
    }

    fn new(config: WalConfig, live: Option<Live>) -> WalSource {
        let config = RwLock::new(Arc::new(config));
        WalSource { shared: Arc::new(Shared { config, live, mappings: Mutex::new(VecDeque::new()) }) }
    }

    pub(crate) fn config(&self) -> Arc<WalConfig> {
        self.shared.config.read().clone()
    }

    pub(crate) fn switch_history(&self, config: WalConfig) {
        *self.shared.config.write() = Arc::new(config);
        self.shared.mappings.lock().clear();
    }

    /// The timeline that is written, and those that lead to it.
    pub fn history(&self) -> TimelineHistory {
        self.config().history.clone()
    }

    /// How far the log is; `None` for a directory that nobody writes to.
    pub fn positions(&self) -> Option<&Arc<WalPositions>> {
        self.shared.live.as_ref().map(|live| &live.positions)
    }

    /// The oldest segment that may still be read; `None` for a directory that nobody
    /// writes to.
    pub fn oldest_segment(&self) -> Option<SegmentNo> {
        self.shared.live.as_ref().map(|live| live.segments.oldest())
    }

    /// Where the log that leads to `lsn` without a gap begins: the start of the oldest segment that is still there.
    pub fn kept_from(&self, lsn: Lsn) -> Lsn {
        let config = self.config();
        let size = config.segment_size;
        let is_there = |segment| {
            let path = config.file_path(segment);
            self.oldest_segment().is_none_or(|oldest| segment >= oldest)
                && config.disk().open(&path, OpenMode::Read).is_ok()
        };
        let mut first = size.segment_of(lsn);
        while let Some(before) = first.0.checked_sub(1).map(SegmentNo).filter(|before| is_there(*before)) {
            first = before;
        }
        size.start_of(first)
    }

    /// The start of the segment behind the one that has `lsn`.
    pub fn segment_after(&self, lsn: Lsn) -> Lsn {
        let size = self.config().segment_size;
        size.start_of(size.segment_of(lsn).next())
    }

    /// Up to `max` bytes from `lsn` on, none at or behind `upto` nor what is not flushed
    /// yet; empty if there are none. May return fewer than there are.
    pub fn read(&self, lsn: Lsn, max: usize, upto: Lsn) -> Result<Bytes, WalError> {
        let limit = self.flushed().min(upto);
        let wanted = limit.saturating_distance_from(lsn).min(max as u64) as usize;
        if wanted == 0 {
            return Ok(Bytes::new());
        }
        let first = self.bytes_at(lsn)?;
        if !first.mapped && first.bytes.len() >= wanted {
            return Ok(first.bytes.slice(..wanted));
        }
        let mut out = BytesMut::with_capacity(wanted);
        let mut chunk = first;
        loop {
            let n = chunk.bytes.len().min(wanted - out.len());
            out.extend_from_slice(&chunk.bytes[..n]);
            if out.len() == wanted || chunk.mapped {
                break;
            }
            chunk = self.bytes_at(Lsn(lsn.0 + out.len() as u64))?;
        }
        // the file may have become another segment while it was copied from
        self.check_not_removed(lsn)?;
        Ok(out.freeze())
    }

    /// A reader of records from `start`: a record's start, or a segment's start, from
    /// which it goes to the first record that begins in it.
    pub fn reader(&self, start: Lsn) -> WalReader {
        WalReader::new(self.clone(), start)
    }

    /// The bytes from `start` on, checked record by record, for a sender.
    pub fn checked(&self, start: Lsn) -> Result<CheckedBytes, WalError> {
        CheckedBytes::new(self.clone(), start)
    }

    fn bytes_at(&self, lsn: Lsn) -> Result<Chunk, WalError> {
        match self.chunk_at(lsn) {
            Ok(chunk) => Ok(chunk),
            Err(NoChunk::Error(error)) => Err(error),
            Err(NoChunk::NotFlushed) => Ok(Chunk { start: lsn, bytes: Bytes::new(), mapped: true }),
            Err(NoChunk::MissingSegment) => {
                // it may have been removed since this was looked at
                self.check_not_removed(lsn)?;
                let config = self.config();
                Err(WalError::MissingSegment { path: config.file_path(config.segment_size.segment_of(lsn)) })
            }
        }
    }

    fn removed(&self, lsn: Lsn) -> WalError {
        let config = self.config();
        let file = config.file_name(config.segment_size.segment_of(lsn));
        let oldest = self.oldest_segment().map_or(Lsn::INVALID, |n| config.segment_size.start_of(n));
        WalError::Removed { lsn, file, oldest }
    }

    /// What may be read: never what a power loss could take back.
    pub(crate) fn flushed(&self) -> Lsn {
        self.positions().map_or(Lsn::MAX, |p| p.flush.get())
    }

    pub(crate) fn check_not_removed(&self, lsn: Lsn) -> Result<(), WalError> {
        let segment = self.config().segment_size.segment_of(lsn);
        match self.oldest_segment() {
            Some(oldest) if segment < oldest => Err(self.removed(lsn)),
            _ => Ok(()),
        }
    }

    /// The bytes at `lsn`, as many as are at hand in one piece and may be read.
    pub(crate) fn chunk_at(&self, lsn: Lsn) -> Result<Chunk, NoChunk> {
        let limit = self.flushed();
        let readable = usize::try_from(limit.saturating_distance_from(lsn)).unwrap_or(usize::MAX);
        if readable == 0 {
            return Err(NoChunk::NotFlushed);
        }
        let hot = self.shared.live.as_ref().and_then(|live| live.tail.get(lsn));
        let (mut bytes, mapped) = match hot {
            Some(bytes) => (bytes, false),
            None => (self.cold(lsn)?, true),
        };
        bytes.truncate(readable);
        Ok(Chunk { start: lsn, bytes, mapped })
    }

    /// From the segment file, to its end.
    fn cold(&self, lsn: Lsn) -> Result<Bytes, NoChunk> {
        self.check_not_removed(lsn)?;
        let config = self.config();
        let segment = config.segment_size.segment_of(lsn);
        let timeline = config.file_timeline(segment);
        let offset = config.segment_size.offset_of(lsn) as usize;
        let known = {
            let mappings = self.shared.mappings.lock();
            mappings.iter().find(|(t, s, _)| (*t, *s) == (timeline, segment)).map(|(_, _, b)| b.clone())
        };
        if let Some(bytes) = known {
            return Ok(bytes.slice(offset..));
        }
        let bytes = map_segment(&config, segment)?;
        // one that is still written to is not kept: not every disk's mapping shows what
        // is written later
        if self.flushed() < config.segment_size.start_of(segment.next()) {
            return Ok(bytes.slice(offset..));
        }
        let oldest = self.oldest_segment().unwrap_or(SegmentNo(0));
        let mut mappings = self.shared.mappings.lock();
        mappings.retain(|(_, s, _)| *s >= oldest);
        if mappings.len() >= MAPPINGS_MAX {
            mappings.pop_front();
        }
        mappings.push_back((timeline, segment, bytes.clone()));
        Ok(bytes.slice(offset..))
    }
}

fn map_segment(config: &WalConfig, segment: SegmentNo) -> Result<Bytes, NoChunk> {
    let path = config.file_path(segment);
    let file = match config.disk().open(&path, OpenMode::Read) {
        Err(error) if error.is_not_found() => return Err(NoChunk::MissingSegment),
        other => other.map_err(WalError::from)?,
    };
    let (expected, found) = (config.segment_size.bytes(), file.len().map_err(WalError::from)?);
    if found != expected {
        let source = SegmentHeaderError::SegmentSize { expected, found };
        return Err(WalError::SegmentHeader { path, source }.into());
    }
    Ok(file.map().map_err(WalError::from)?)
}
