use bytes::Bytes;
use walship_disk::{DiskFile, OpenMode};
use walship_types::{Lsn, SegmentNo, segment_file_name};

use crate::layout;
use crate::reader::Next;
use crate::segments::{list_segments, zero_range};
use crate::source::WalSource;
use crate::{WalConfig, WalEnd, WalError};

/// What recovery found. Nothing was changed by finding it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Where it began to read.
    pub start: Lsn,
    /// Where the log ends, and why.
    pub end: WalEnd,
    /// The last record before the end; `0/0` if there is none.
    pub previous: Lsn,
    /// Records from `start` to the end.
    pub records: u64,
}

/// Reads from `start` (where a record begins, or a segment) to the end of the log.
///
/// Everything before `known_flush`, the end of some record that is known to be durable
/// (`0/0` if none is), has to be there: an end before it is [`WalError::CorruptBelowFlush`].
pub fn recover(config: &WalConfig, start: Lsn, known_flush: Lsn) -> Result<Recovered, WalError> {
    let source = WalSource::offline(config.clone());
    let mut reader = source.reader(start);
    let mut records = 0;
    let end = loop {
        match reader.next()? {
            Next::Record(_) => records += 1,
            Next::End(end) => break end,
        }
    };
    let size = config.segment_size;
    if layout::record_start(end.at, size) < layout::record_start(known_flush, size) {
        return Err(WalError::CorruptBelowFlush { end, known_flush });
    }
    let previous = match reader.previous() {
        Some(previous) => previous,
        None => record_before(&source, end.at)?,
    };
    Ok(Recovered { start, end, previous, records })
}

/// The record that ends at `position`; `0/0` if the segment before it cannot tell.
fn record_before(source: &WalSource, position: Lsn) -> Result<Lsn, WalError> {
    let size = source.config().segment_size;
    let target = layout::record_start(position, size);
    let first_of_segment = target == layout::record_start(size.start_of(size.segment_of(target)), size);
    let segment = size.segment_of(target).0 - u64::from(first_of_segment);
    let mut reader = source.reader(size.start_of(SegmentNo(segment)));
    while layout::record_start(reader.position(), size) < target {
        if let Next::End(_) = reader.next()? {
            break;
        }
    }
    let found = layout::record_start(reader.position(), size) == target;
    Ok(reader.previous().filter(|_| found).unwrap_or(Lsn::INVALID))
}

/// An end of log behind which there is nothing: safe to append at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleanEnd {
    /// End of the last record, or the start of a segment.
    pub position: Lsn,
    /// The last record; `0/0` if there is none.
    pub previous: Lsn,
    /// Bytes that were not zero behind the end in its segment, and are now.
    pub zeroed_bytes: u64,
    /// Names of later segment files that were removed.
    pub removed: Vec<String>,
}

/// Zeroes the rest of the segment in which the log ends, durably, and removes later
/// segments of the same timeline, and what was left under temporary names.
///
/// Without it a record that was written but not flushed before a crash could lie intact
/// behind one that was lost, and come back once something of the lost one's length is
/// appended in its place. It may be interrupted and run again.
pub fn clean_tail(config: &WalConfig, found: &Recovered) -> Result<CleanEnd, WalError> {
    let size = config.segment_size;
    let position = found.end.at;
    let segment = size.segment_of(position);
    let offset = size.offset_of(position);
    let mut zeroed_bytes = 0;
    if offset != 0 {
        let file = config.disk().open(&config.file_path(segment), OpenMode::ReadWrite)?;
        zeroed_bytes = nonzero_bytes(&file.map()?, offset);
        if zeroed_bytes > 0 {
            zero_from(config, &*file, offset)?;
        }
    }
    let first_removed = if offset == 0 { segment } else { segment.next() };
    let removed = remove_later(config, first_removed)?;
    Ok(CleanEnd { position, previous: found.previous, zeroed_bytes, removed })
}

fn nonzero_bytes(content: &Bytes, from: u64) -> u64 {
    let tail = usize::try_from(from).ok().and_then(|from| content.get(from..)).unwrap_or_default();
    tail.iter().filter(|&&b| b != 0).count() as u64
}

fn zero_from(config: &WalConfig, file: &dyn DiskFile, offset: u64) -> Result<(), WalError> {
    zero_range(file, offset, config.segment_size)?;
    Ok(file.sync_data()?)
}

fn remove_later(config: &WalConfig, from: SegmentNo) -> Result<Vec<String>, WalError> {
    let timeline = config.history.timeline;
    let later = list_segments(config)?.into_iter().filter(|&(t, n)| t == timeline && n >= from);
    let removed: Vec<String> = later.map(|(t, n)| segment_file_name(t, n, config.segment_size)).collect();
    let temporary = config.disk().list(config.dir())?.into_iter().filter(|name| name.ends_with(".tmp"));
    let all: Vec<String> = removed.iter().cloned().chain(temporary).collect();
    // from the last one down: after a crash in between there is no gap
    for name in all.iter().rev() {
        config.disk().remove(&config.dir().join(name))?;
    }
    if !all.is_empty() {
        config.disk().sync_dir(config.dir())?;
    }
    Ok(removed)
}
