use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use walship_types::{DurationHistogram, Durations};

/// What a writer did since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriterStatistics {
    /// Records appended.
    pub records: u64,
    /// Writes to segment files.
    pub writes: u64,
    /// Time in them.
    pub write_time: Duration,
    /// Syncs of segment files, by the time that each took.
    pub syncs: Durations,
    /// Times that an append waited because too much was unflushed.
    pub buffers_full: u64,
    /// Whether the disk is full, and the log waits for room.
    pub stalled: bool,
}

/// The same while it is counted.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records: AtomicU64,
    pub(crate) writes: AtomicU64,
    pub(crate) write_nanos: AtomicU64,
    pub(crate) syncs: DurationHistogram,
    pub(crate) buffers_full: AtomicU64,
}

impl Counters {
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_time(nanos: &AtomicU64, took: Duration) {
        nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> WriterStatistics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WriterStatistics {
            records: get(&self.records),
            writes: get(&self.writes),
            write_time: Duration::from_nanos(get(&self.write_nanos)),
            syncs: self.syncs.get(),
            buffers_full: get(&self.buffers_full),
            stalled: false,
        }
    }
}
