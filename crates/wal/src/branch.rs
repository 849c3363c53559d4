use walship_disk::OpenMode;
use walship_types::{Lsn, SegmentNo, TimelineHistory, Timestamp};

use crate::payload::{DatabaseState, EndOfRecovery};
use crate::record::RecordSpan;
use crate::segments::write_segment;
use crate::{CleanEnd, RecordKind, WalConfig, WalError, WalWriter};

/// Number of a new cluster's first segment: 0 stays free, so that `0/0` is no position.
pub const FIRST_SEGMENT: SegmentNo = SegmentNo(1);

/// Makes the first segment of a new cluster; its log is empty and begins there.
pub fn create_first_segment(config: &WalConfig) -> Result<CleanEnd, WalError> {
    write_segment(config, &config.file_path(FIRST_SEGMENT), &[])?;
    let position = config.segment_size.start_of(FIRST_SEGMENT);
    Ok(CleanEnd { position, previous: Lsn::INVALID, zeroed_bytes: 0, removed: Vec::new() })
}

/// Makes the first segment of the timeline of `history`, which leaves the configured one
/// at `switch_lsn`: what lies before that in its segment is copied as it is, the rest is
/// zeroes. At a segment's start there is nothing to copy, and no file is made.
///
/// The history file has to be durable before, so that no segment is ever found whose
/// timeline nobody knows.
pub fn create_timeline_branch(
    config: &WalConfig,
    history: &TimelineHistory,
    switch_lsn: Lsn,
) -> Result<(), WalError> {
    let size = config.segment_size;
    let offset = size.offset_of(switch_lsn);
    if offset == 0 {
        return Ok(());
    }
    let segment = size.segment_of(switch_lsn);
    let content = config.disk().open(&config.file_path(segment), OpenMode::Read)?.map()?;
    let inherited = usize::try_from(offset).ok().and_then(|n| content.get(..n)).unwrap_or(&content);
    let branch = WalConfig { history: history.clone(), ..config.clone() };
    write_segment(&branch, &branch.file_path(segment), inherited)
}

/// Writes the first record of a timeline, durably: what the databases are, with -wal
/// positions of this node.
pub fn begin_timeline(
    writer: &WalWriter,
    time: Timestamp,
    databases: Vec<DatabaseState>,
) -> Result<RecordSpan, WalError> {
    let history = writer.source().history();
    let timeline = history.timeline;
    let previous_timeline = history.entries.last().map_or(timeline, |entry| entry.timeline);
    let record = EndOfRecovery { timeline, previous_timeline, time, databases };
    let mut payload = Vec::new();
    record.encode(&mut payload);
    let span = writer.append(RecordKind::EndOfRecovery, &[&payload])?;
    writer.flush(span.end)?;
    Ok(span)
}
