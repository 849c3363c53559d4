use std::path::{Path, PathBuf};
use std::time::Duration;

use walship_disk::SharedDisk;
use walship_types::{Lsn, SegmentNo, SegmentSize, SystemId, TimelineHistory, TimelineId, segment_file_name};

use crate::crc::CrcSeed;
use crate::segment_header::SegmentHeader;

/// Which log, where, and how much of it to keep in memory and ahead.
#[derive(Debug, Clone)]
pub struct WalConfig {
    /// The file system.
    pub disk: SharedDisk,
    /// The directory of the segments, `pg_wal`.
    pub dir: PathBuf,
    /// The cluster.
    pub system_id: SystemId,
    /// Size of its segments.
    pub segment_size: SegmentSize,
    /// The timeline that is written or read, and those that lead to it.
    pub history: TimelineHistory,
    /// The latest bytes of the log that are kept in memory for readers, at most.
    pub hot_tail_bytes: usize,
    /// Bytes that may be appended and not yet flushed; then `append` waits.
    pub unflushed_bytes_max: u64,
    /// Longest time that appended bytes wait for a flush that nobody asks for.
    pub write_delay: Duration,
    /// Complete segments that are kept ready beyond the one that is written.
    pub segments_ahead: u64,
    /// Most segments that recycling keeps ready; more are removed.
    pub recycled_segments_max: u64,
}

impl WalConfig {
    /// A configuration with 4 MiB of hot tail, 8 MiB unflushed, 200 ms of write delay
    /// (PostgreSQL's `wal_writer_delay`), one segment ahead and up to five recycled
    /// (PostgreSQL's `min_wal_size`, 80 MB).
    pub fn new(
        disk: SharedDisk,
        dir: impl Into<PathBuf>,
        system_id: SystemId,
        segment_size: SegmentSize,
        history: TimelineHistory,
    ) -> WalConfig {
        WalConfig {
            disk,
            dir: dir.into(),
            system_id,
            segment_size,
            history,
            hot_tail_bytes: 4 << 20,
            unflushed_bytes_max: 8 << 20,
            write_delay: Duration::from_millis(200),
            segments_ahead: 1,
            recycled_segments_max: 5,
        }
    }

    /// The timeline of a segment file is that of the segment's last byte: the first file
    /// of a new timeline holds the old one's bytes before the switch as well.
    pub(crate) fn file_timeline(&self, segment: SegmentNo) -> TimelineId {
        let last = self.segment_size.start_of(segment.next()).0 - 1;
        self.history.timeline_at(Lsn(last))
    }

    /// Name of the file that holds `segment` on this history.
    pub fn file_name(&self, segment: SegmentNo) -> String {
        segment_file_name(self.file_timeline(segment), segment, self.segment_size)
    }

    /// Path of that file.
    pub fn file_path(&self, segment: SegmentNo) -> PathBuf {
        self.dir.join(self.file_name(segment))
    }

    pub(crate) fn disk(&self) -> &dyn walship_disk::Disk {
        &*self.disk
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn crc_seed(&self, lsn: Lsn) -> CrcSeed {
        CrcSeed::new(self.system_id, self.history.timeline_at(lsn))
    }

    /// The header of the segment that starts at `start`.
    pub(crate) fn segment_header(&self, start: Lsn, running_record: Lsn, remaining: u32) -> SegmentHeader {
        SegmentHeader {
            timeline: self.history.timeline_at(start),
            system_id: self.system_id,
            segment_size: self.segment_size.bytes(),
            start,
            running_record,
            remaining,
        }
    }
}
