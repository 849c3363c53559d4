use bytes::{Bytes, BytesMut};
use walship_types::{Lsn, SegmentNo, TimelineId};

use crate::end::{EndReason, WalEnd};
use crate::layout;
use crate::record::{RECORD_HEADER_LEN, Record, RecordHeader, padded_len};
use crate::segment_header::{SEGMENT_HEADER_LEN, SegmentHeader, SegmentHeaderError};
use crate::source::{Chunk, NoChunk, WalSource};
use crate::{RecordKind, WalError};

/// What [`WalReader::next`] found.
#[derive(Debug, Clone)]
pub enum Next {
    /// A record.
    Record(Record),
    /// No record, for now or for good.
    End(WalEnd),
}

/// Reads records one after the other, checking each. At the end of the log it can be
/// asked again once there is more.
#[derive(Debug)]
pub struct WalReader {
    source: WalSource,
    /// End of the last record; where the next one is looked for.
    position: Lsn,
    /// Whether `position` is a record's, not just a segment's start.
    aligned: bool,
    previous: Option<Lsn>,
    chunk: Option<Chunk>,
    /// The segment whose header was checked last, and the timeline of its file.
    checked: Option<(SegmentNo, TimelineId)>,
}

/// Why reading stopped.
enum Stop {
    End { reason: EndReason, looked_at: Lsn },
    Error(WalError),
}

impl From<WalError> for Stop {
    fn from(error: WalError) -> Stop {
        Stop::Error(error)
    }
}

/// The record that bytes are read for.
#[derive(Clone, Copy)]
struct Running {
    record: Lsn,
    /// Its bytes that are not read yet; unknown (`None`) while its header is read.
    left: Option<u64>,
}

impl WalReader {
    pub(crate) fn new(source: WalSource, start: Lsn) -> WalReader {
        let at_segment_start = source.config().segment_size.offset_of(start) == 0;
        WalReader {
            source,
            position: start,
            aligned: !at_segment_start,
            previous: None,
            chunk: None,
            checked: None,
        }
    }

    /// End of the last record, or where reading starts.
    pub fn position(&self) -> Lsn {
        self.position
    }

    /// LSN of the last record; `None` before the first.
    pub fn previous(&self) -> Option<Lsn> {
        self.previous
    }

    /// The next record, or where and why there is none.
    #[allow(clippy::should_implement_trait, reason = "it can go on after an end, which an iterator may not")]
    pub fn next(&mut self) -> Result<Next, WalError> {
        match self.read_record() {
            Ok(record) => Ok(Next::Record(record)),
            Err(Stop::Error(error)) => Err(error),
            Err(Stop::End { reason, looked_at }) => {
                // a mapping of what was not written then would hide what is now
                self.chunk = None;
                let config = self.source.config();
                // a header with records behind it stays what it is: whoever follows the end of
                // the log would map the segment for each record only to look at it again
                let (size, position) = (config.segment_size, self.position);
                let stays = |segment| size.segment_of(position) == segment && size.offset_of(position) > 0;
                let caught_up = reason == EndReason::NotFlushed;
                self.checked = self.checked.filter(|(segment, _)| caught_up && stays(*segment));
                let segment = config.segment_size.segment_of(looked_at);
                let (file, offset) = (config.file_name(segment), config.segment_size.offset_of(looked_at));
                Ok(Next::End(WalEnd { at: self.position, reason, file, offset }))
            }
        }
    }

    fn read_record(&mut self) -> Result<Record, Stop> {
        let config = self.source.config();
        let size = config.segment_size;
        self.align()?;
        let mut at = self.position;
        let start = layout::record_start(at, size);
        let seed = config.crc_seed(start);

        let mut raw = [0; RECORD_HEADER_LEN];
        let header_of = Running { record: start, left: None };
        self.copy(&mut at, &mut raw, header_of)?;
        let end_at_start = |reason| Stop::End { reason, looked_at: start };
        let header = RecordHeader::decode(&raw, start, seed).map_err(end_at_start)?;
        if let Some(expected) = self.previous.filter(|&p| p != header.previous) {
            return Err(end_at_start(EndReason::PreviousMismatch { expected, found: header.previous }));
        }
        self.check_crossed_header(start, at, &header)?;

        let padded = padded_len(header.payload_len);
        let mut bytes = self.take(&mut at, padded, Running { record: start, left: Some(padded as u64) })?;
        let expected = seed.of(&[&bytes]);
        if expected != header.payload_crc {
            return Err(end_at_start(EndReason::PayloadChecksum { expected, found: header.payload_crc }));
        }
        bytes.truncate(header.payload_len);
        let is_switch = header.kind == RecordKind::SegmentSwitch;
        let end = if is_switch { layout::segment_end(at, size) } else { at };
        self.position = end;
        self.previous = Some(start);
        Ok(Record {
            lsn: start,
            end,
            previous: header.previous,
            timeline: config.history.timeline_at(start),
            kind: header.kind,
            flags: header.flags,
            payload: bytes,
        })
    }

    /// From a segment's start to the first record that begins behind it: over what goes
    /// on from the segment before, as the header says.
    fn align(&mut self) -> Result<(), Stop> {
        let size = self.source.config().segment_size;
        while !self.aligned {
            let header = self.segment_header(self.position)?;
            let per_segment = size.bytes() - SEGMENT_HEADER_LEN as u64;
            let remaining = u64::from(header.remaining);
            if remaining > per_segment {
                self.position = Lsn(self.position.0 + size.bytes());
            } else if remaining == 0 {
                self.aligned = true;
            } else {
                self.position = Lsn(self.position.0 + SEGMENT_HEADER_LEN as u64 + remaining);
                // a record that ends with the segment leaves us at the next one's start
                self.aligned = true;
            }
        }
        Ok(())
    }

    /// The header of the segment that starts at `start`, checked but for what goes on.
    fn segment_header(&mut self, start: Lsn) -> Result<SegmentHeader, Stop> {
        let config = self.source.config();
        let mut raw = [0; SEGMENT_HEADER_LEN];
        self.copy_within_segment(start, &mut raw)?;
        let found = SegmentHeader::decode(&raw).and_then(|header| {
            header.check_place(&config.segment_header(start, Lsn::INVALID, 0))?;
            Ok(header)
        });
        found.map_err(|error| self.header_stop(start, error))
    }

    fn header_stop(&self, start: Lsn, error: SegmentHeaderError) -> Stop {
        if error.is_foreign() {
            let config = self.source.config();
            let path = config.file_path(config.segment_size.segment_of(start));
            return Stop::Error(WalError::SegmentHeader { path, source: error });
        }
        Stop::End { reason: EndReason::SegmentHeader(error), looked_at: start }
    }

    /// A boundary within the record's own header could not be checked while its length
    /// was not known.
    fn check_crossed_header(&mut self, start: Lsn, at: Lsn, header: &RecordHeader) -> Result<(), Stop> {
        let size = self.source.config().segment_size;
        let boundary = size.start_of(size.segment_of(at));
        // exactly at it, nothing of the next segment was needed yet
        if boundary <= start || at == boundary {
            return Ok(());
        }
        let remaining = header.record_len() - (boundary.0 - start.0);
        let found = self.segment_header(boundary)?;
        found.check_continuation(start, remaining).map_err(|e| self.header_stop(boundary, e))
    }

    /// Copies record bytes from `at`, moving it on, over segment headers.
    fn copy(&mut self, at: &mut Lsn, mut out: &mut [u8], mut running: Running) -> Result<(), Stop> {
        while !out.is_empty() {
            let n = self.enter(at, out.len(), running)?;
            let (now, later) = out.split_at_mut(n);
            self.copy_within_segment(*at, now)?;
            *at = Lsn(at.0 + n as u64);
            running.left = running.left.map(|left| left - n as u64);
            out = later;
        }
        Ok(())
    }

    /// Takes `len` record bytes from `at`: without copying if they are in memory in one piece.
    fn take(&mut self, at: &mut Lsn, len: usize, running: Running) -> Result<Bytes, Stop> {
        if len == 0 {
            return Ok(Bytes::new());
        }
        let here = self.enter(at, len, running)?;
        if here == len {
            let chunk = self.chunk(*at)?;
            let skip = (at.0 - chunk.start.0) as usize;
            if !chunk.mapped && chunk.bytes.len() - skip >= len {
                let taken = chunk.bytes.slice(skip..skip + len);
                *at = Lsn(at.0 + len as u64);
                return Ok(taken);
            }
        }
        // the length was checked with the record's header, and is bounded
        let mut out = BytesMut::zeroed(len);
        self.copy(at, &mut out, running)?;
        Ok(out.freeze())
    }

    /// Makes sure that `at` is behind a checked segment header, and says how many of
    /// `len` bytes lie in that segment.
    fn enter(&mut self, at: &mut Lsn, len: usize, running: Running) -> Result<usize, Stop> {
        let config = self.source.config();
        let size = config.segment_size;
        let segment = size.segment_of(*at);
        let start = size.start_of(segment);
        let file = (segment, config.file_timeline(segment));
        if self.checked != Some(file) {
            let header = self.segment_header(start)?;
            if *at == start {
                let begins = layout::record_start(start, size) == running.record;
                let expected = match running.left {
                    _ if begins => Some((Lsn::INVALID, 0)),
                    Some(left) => Some((running.record, left)),
                    None => None,
                };
                if let Some((record, left)) = expected {
                    header.check_continuation(record, left).map_err(|e| self.header_stop(start, e))?;
                }
            }
            self.checked = Some(file);
        }
        *at = layout::record_start(*at, size);
        let room = size.bytes() - size.offset_of(*at);
        Ok(len.min(usize::try_from(room).unwrap_or(usize::MAX)))
    }

    fn copy_within_segment(&mut self, from: Lsn, mut out: &mut [u8]) -> Result<(), Stop> {
        let mut at = from;
        while !out.is_empty() {
            let chunk = self.chunk(at)?;
            let available = &chunk.bytes[(at.0 - chunk.start.0) as usize..];
            let n = available.len().min(out.len());
            let (now, later) = out.split_at_mut(n);
            now.copy_from_slice(&available[..n]);
            at = Lsn(at.0 + n as u64);
            out = later;
        }
        // asked after copying: a recycled file would have shown another segment's bytes
        Ok(self.source.check_not_removed(from)?)
    }

    /// The chunk that holds `at`.
    fn chunk(&mut self, at: Lsn) -> Result<&Chunk, Stop> {
        let holds = |c: &Chunk| c.start <= at && at.0 - c.start.0 < c.bytes.len() as u64;
        if !self.chunk.as_ref().is_some_and(holds) {
            let end = |reason| Stop::End { reason, looked_at: at };
            self.chunk = Some(self.source.chunk_at(at).map_err(|none| match none {
                NoChunk::NotFlushed => end(EndReason::NotFlushed),
                NoChunk::MissingSegment => end(EndReason::MissingSegment),
                NoChunk::Error(error) => Stop::Error(error),
            })?);
        }
        self.chunk.as_ref().ok_or(Stop::End { reason: EndReason::MissingSegment, looked_at: at })
    }
}
