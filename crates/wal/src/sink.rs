use std::sync::Arc;

use bytes::Bytes;
use walship_disk::DiskFile;
use walship_types::{Lsn, SegmentNo, TimelineHistory};

use crate::branch::create_timeline_branch;
use crate::segment_header::{SEGMENT_HEADER_LEN, SegmentHeader};
use crate::segments::{SegmentFiles, no_space_or};
use crate::source::{Live, WalSource};
use crate::tail::HotTail;
use crate::{EndReason, Next, Recovered, WalConfig, WalEnd, WalError, WalPositions, clean_tail};

/// A follower's end of the log: takes the leader's bytes as they are and makes them
/// durable. One owner writes; the rest of the node reads through [`source`](Self::source).
#[derive(Debug)]
pub struct WalSink {
    config: WalConfig,
    position: Lsn,
    file: Option<(SegmentNo, Arc<dyn DiskFile>)>,
    /// Whether `file` has content that is not synced.
    dirty: bool,
    failure: Option<String>,
    live: Live,
    source: WalSource,
}

/// Gives up old segments of a log that somebody else writes.
#[derive(Debug, Clone)]
pub struct Recycler {
    live: Live,
}

impl Recycler {
    /// Gives up all segments that end at or before `lsn`; returns how many.
    pub fn recycle_before(&self, lsn: Lsn) -> Result<usize, WalError> {
        self.live.segments.recycle_before(lsn, self.live.positions.flush.get())
    }
}

impl WalSink {
    /// Goes on at `at`: the end of what is there, cleaned, or the start of a segment.
    pub fn open(config: WalConfig, at: Lsn) -> Result<WalSink, WalError> {
        let segments = Arc::new(SegmentFiles::open(&config, at)?);
        let segment = config.segment_size.segment_of(at);
        if config.segment_size.offset_of(at) != 0 && segments.ready_until() <= segment {
            return Err(WalError::StartsWithinMissingSegment { lsn: at, file: config.file_name(segment) });
        }
        let live = Live {
            positions: Arc::new(WalPositions::new(at)),
            tail: Arc::new(HotTail::new(config.hot_tail_bytes)),
            segments,
        };
        let source = WalSource::live(config.clone(), live.clone());
        Ok(WalSink { config, position: at, file: None, dirty: false, failure: None, live, source })
    }

    /// End of what was written.
    pub fn position(&self) -> Lsn {
        self.position
    }

    /// Writes the bytes that come at `lsn`, which has to be [`position`](Self::position).
    /// Not durable before [`flush`](Self::flush). After [`WalError::NoSpace`] the same
    /// bytes may be given again; the position says from where on.
    pub fn write(&mut self, lsn: Lsn, bytes: &[u8]) -> Result<(), WalError> {
        self.check_open()?;
        if lsn != self.position {
            return Err(WalError::NotContiguous { expected: self.position, found: lsn });
        }
        let size = self.config.segment_size;
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = size.bytes() - size.offset_of(self.position);
            let (now, later) = rest.split_at(rest.len().min(room as usize));
            self.check_segment_header(now)?;
            self.write_within_segment(now)?;
            rest = later;
        }
        Ok(())
    }

    /// A segment of another cluster or timeline is refused before a byte of it is kept.
    fn check_segment_header(&self, bytes: &[u8]) -> Result<(), WalError> {
        let size = self.config.segment_size;
        let Some(raw) = bytes.first_chunk::<SEGMENT_HEADER_LEN>() else { return Ok(()) };
        if size.offset_of(self.position) != 0 {
            return Ok(());
        }
        let expected = self.config.segment_header(self.position, Lsn::INVALID, 0);
        let checked = SegmentHeader::decode(raw).and_then(|found| found.check_place(&expected));
        checked.map_err(|source| {
            let path = self.config.file_path(size.segment_of(self.position));
            WalError::SegmentHeader { path, source }
        })
    }

    fn write_within_segment(&mut self, bytes: &[u8]) -> Result<(), WalError> {
        let size = self.config.segment_size;
        let file = self.segment(size.segment_of(self.position))?;
        if let Err(error) = file.write_all_at(bytes, size.offset_of(self.position)) {
            let error = no_space_or(error, bytes.len() as u64);
            return Err(if error.is_no_space() { error } else { self.poison(error) });
        }
        self.dirty = true;
        let start = self.position;
        self.position.0 += bytes.len() as u64;
        self.live.tail.push(start, Bytes::copy_from_slice(bytes));
        self.live.positions.insert.advance(self.position);
        self.live.positions.write.advance(self.position);
        Ok(())
    }

    fn segment(&mut self, segment: SegmentNo) -> Result<Arc<dyn DiskFile>, WalError> {
        if let Some((open, file)) = &self.file
            && *open == segment
        {
            return Ok(file.clone());
        }
        let file = self.live.segments.open_for_write(segment)?;
        // the segment that is left: durable before anything behind it is written
        self.flush()?;
        self.file = Some((segment, file.clone()));
        Ok(file)
    }

    /// Makes everything that was written durable.
    pub fn flush(&mut self) -> Result<(), WalError> {
        self.check_open()?;
        if let Some((_, file)) = &self.file
            && self.dirty
        {
            if let Err(error) = file.sync_data() {
                return Err(self.poison(error.into()));
            }
            self.dirty = false;
        }
        self.live.positions.flush.advance(self.position);
        Ok(())
    }

    /// Goes over to a timeline that leaves the current one at exactly this position,
    /// which is made durable first. The history file is the caller's to write, before.
    pub fn switch_timeline(&mut self, history: TimelineHistory) -> Result<(), WalError> {
        self.flush()?;
        let timeline = self.config.history.timeline;
        let switch_lsn = history.switch_point(timeline).unwrap_or(Lsn::INVALID);
        if switch_lsn != self.position {
            return Err(WalError::SwitchElsewhere { timeline, switch_lsn, end: self.position });
        }
        create_timeline_branch(&self.config, &history, self.position)?;
        self.config.history = history;
        self.file = None;
        self.live.segments.switch_history(&self.config, self.position)?;
        self.source.switch_history(self.config.clone());
        Ok(())
    }

    /// Ends the log at `to`, where its last whole record ends: what lies behind is part of
    /// a record that the leader never completed for anybody, so nobody was shown it.
    /// Needed where the cluster went on without that record. Nothing is cut, and the
    /// error is [`WalError::CutsRecords`], if a whole record lies behind `to`.
    pub fn cut_back(&mut self, to: Lsn) -> Result<(), WalError> {
        self.flush()?;
        let size = self.config.segment_size;
        let mut reader = self.source.reader(size.start_of(size.segment_of(to)));
        let records_end = loop {
            match reader.next() {
                Ok(Next::Record(_)) => {}
                Ok(Next::End(end)) => break end.at,
                // what is behind a segment that is gone is more than a part of a record
                Err(WalError::Removed { .. }) => break self.position,
                Err(error) => return Err(error),
            }
        };
        if records_end != to || to > self.position {
            return Err(WalError::CutsRecords { to, records_end });
        }
        self.file = None;
        let positions = &self.live.positions;
        // readers first: none may take up what is about to go
        for position in [&positions.flush, &positions.write, &positions.insert] {
            position.take_back(to);
        }
        self.live.tail.cut(to);
        self.position = to;
        let found = Recovered {
            start: to,
            end: WalEnd { at: to, reason: EndReason::Zeroes, file: String::new(), offset: 0 },
            previous: reader.previous().unwrap_or(Lsn::INVALID),
            records: 0,
        };
        let cleaned = clean_tail(&self.config, &found);
        if let Err(error) = cleaned {
            return Err(self.poison(error));
        }
        self.live.segments.switch_history(&self.config, to)?;
        self.source.switch_history(self.config.clone());
        Ok(())
    }

    /// The timeline that is written, and those that lead to it.
    pub fn history(&self) -> &TimelineHistory {
        &self.config.history
    }

    /// How far the log is; `insert` and `write` are the same here.
    pub fn positions(&self) -> &Arc<WalPositions> {
        &self.live.positions
    }

    /// Where to read what is flushed.
    pub fn source(&self) -> WalSource {
        self.source.clone()
    }

    /// Gives up all segments that end at or before `lsn`; returns how many.
    pub fn recycle_before(&self, lsn: Lsn) -> Result<usize, WalError> {
        self.recycler().recycle_before(lsn)
    }

    /// The same, for another thread.
    pub fn recycler(&self) -> Recycler {
        Recycler { live: self.live.clone() }
    }

    /// Flushes and ends all waits.
    pub fn close(mut self) -> Result<Lsn, WalError> {
        self.flush()?;
        self.live.positions.close("the log is shut down");
        Ok(self.position)
    }

    fn check_open(&self) -> Result<(), WalError> {
        match &self.failure {
            None => Ok(()),
            Some(reason) => Err(WalError::Poisoned { reason: reason.clone() }),
        }
    }

    /// After a failed write or sync nothing here can say what is durable.
    fn poison(&mut self, error: WalError) -> WalError {
        let reason = error.to_string();
        self.live.positions.close(&reason);
        self.failure = Some(reason);
        error
    }
}
