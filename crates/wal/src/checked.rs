use bytes::Bytes;
use walship_types::Lsn;

use crate::end::EndReason;
use crate::reader::Next;
use crate::segment_header::SegmentHeader;
use crate::source::WalSource;
use crate::{SEGMENT_HEADER_LEN, WalEnd, WalError, WalReader};

/// The log's bytes for somebody else's log, each record checked before a byte of it is
/// given out: what rotted on this disk is not passed on.
#[derive(Debug)]
pub struct CheckedBytes {
    source: WalSource,
    reader: WalReader,
    position: Lsn,
}

impl CheckedBytes {
    /// From `start` on, which may be anywhere: checking begins with the record that runs
    /// over the start of its segment, or right there if that one is gone.
    pub(crate) fn new(source: WalSource, start: Lsn) -> Result<CheckedBytes, WalError> {
        source.check_not_removed(start)?;
        let size = source.config().segment_size;
        let segment_start = size.start_of(size.segment_of(start));
        let from = match running_record(&source, segment_start)? {
            Some(record) if source.check_not_removed(record).is_ok() => record,
            _ => segment_start,
        };
        let reader = source.reader(from);
        Ok(CheckedBytes { source, reader, position: start })
    }

    /// Where the next bytes come from.
    pub fn position(&self) -> Lsn {
        self.position
    }

    /// Up to `max` bytes from [`position`](Self::position) on, none at or behind `upto`
    /// nor what is not flushed yet; empty if there are none.
    /// [`WalError::CorruptBelowFlush`] if the record there is damaged.
    pub fn next(&mut self, max: usize, upto: Lsn) -> Result<Bytes, WalError> {
        let flushed = self.source.flushed();
        let wanted = Lsn(self.position.0.saturating_add(max as u64)).min(upto).min(flushed);
        while self.reader.position() < wanted {
            match self.reader.next()? {
                Next::Record(_) => {}
                Next::End(WalEnd { reason: EndReason::NotFlushed, .. }) => break,
                Next::End(end) => return Err(WalError::CorruptBelowFlush { end, known_flush: flushed }),
            }
        }
        let bytes = self.source.read(self.position, max, upto.min(self.reader.position()))?;
        self.position.0 += bytes.len() as u64;
        Ok(bytes)
    }
}

/// The record that goes on from the segment before, by the segment's header.
fn running_record(source: &WalSource, segment_start: Lsn) -> Result<Option<Lsn>, WalError> {
    let raw = source.read(segment_start, SEGMENT_HEADER_LEN, Lsn::MAX)?;
    let header = raw.first_chunk::<SEGMENT_HEADER_LEN>().and_then(|raw| SegmentHeader::decode(raw).ok());
    Ok(header.map(|header| header.running_record).filter(|record| record.is_valid()))
}
