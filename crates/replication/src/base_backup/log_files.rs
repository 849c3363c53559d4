use std::io;
use std::sync::Arc;

use walship_basebackup::{BackupFile, FileContent};
use walship_types::{Lsn, SegmentNo, SegmentSize, Timestamp, segment_file_name};

use crate::host::{BackupStart, LogSource, ReplicationHost};

/// The segments from `start` to `end`, each with the mark that PostgreSQL gives to what
/// need not be archived again.
pub(super) fn log_files(host: &dyn ReplicationHost, start: BackupStart, end: Lsn) -> Vec<BackupFile> {
    let (size, now) = (host.segment_size(), Timestamp::now());
    let log = host.log();
    let mut files = Vec::new();
    let last = last_segment(size, end);
    let mut segment = size.segment_of(start.redo);
    while segment <= last {
        let name = segment_file_name(start.timeline, segment, size);
        let content = Arc::new(Segment { log: Arc::clone(&log), start: size.start_of(segment), end });
        files.push(BackupFile { path: format!("pg_wal/{name}"), size: size.bytes(), modified: now, content });
        files.push(BackupFile::in_memory(format!("pg_wal/archive_status/{name}.done"), "", now));
        segment = SegmentNo(segment.0 + 1);
    }
    files
}

/// Sizes of the files that [`log_files`] would give if the backup ended at `end`.
pub(super) fn log_file_sizes(size: SegmentSize, start: BackupStart, end: Lsn) -> impl Iterator<Item = u64> {
    let segments = last_segment(size, end).0.saturating_sub(size.segment_of(start.redo).0) + 1;
    (0..segments).flat_map(move |_| [size.bytes(), 0])
}

fn last_segment(size: SegmentSize, end: Lsn) -> SegmentNo {
    size.segment_of(Lsn(end.0.saturating_sub(1)))
}

/// A segment of the log as a file; zeroes behind the end of the backup.
struct Segment {
    log: Arc<dyn LogSource>,
    start: Lsn,
    end: Lsn,
}

impl FileContent for Segment {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = Lsn(self.start.0.saturating_add(offset));
        let to = Lsn(from.0.saturating_add(buffer.len() as u64)).min(self.end);
        if from >= to {
            return Ok(0);
        }
        let bytes = self.log.read(from, to).map_err(|error| io::Error::other(error.message))?;
        let length = bytes.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), bytes.get(..length)) {
            to.copy_from_slice(from);
        }
        Ok(length)
    }
}
