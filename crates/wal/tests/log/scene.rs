//! A log on a simulated disk, for the tests in this directory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use walship_disk::{SharedDisk, SimDisk};
use walship_types::{Lsn, SegmentSize, SystemId, TimelineHistory, TimelineId};
use walship_wal::{Next, Record, RecordKind, WalConfig, WalEnd, WalReader, WalWriter, create_first_segment};

pub(crate) const MIB: u64 = 1 << 20;

pub(crate) fn config(disk: &SimDisk) -> WalConfig {
    let disk: SharedDisk = Arc::new(disk.clone());
    let history = TimelineHistory::root(TimelineId::FIRST);
    let config = WalConfig::new(disk, PathBuf::from("/"), SystemId(7), SegmentSize::MIN, history);
    // only what a test asks for is flushed
    WalConfig { write_delay: Duration::from_secs(3600), ..config }
}

/// A new log and its writer.
pub(crate) fn start(disk: &SimDisk) -> (WalConfig, WalWriter) {
    let config = config(disk);
    let end = create_first_segment(&config).unwrap();
    let writer = WalWriter::start(config.clone(), end).unwrap();
    (config, writer)
}

/// Bytes that differ from one record to the next.
pub(crate) fn payload(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

pub(crate) fn append(writer: &WalWriter, bytes: &[u8]) -> (Lsn, Lsn) {
    let span = writer.append(RecordKind::Pages, &[bytes]).unwrap();
    (span.start, span.end)
}

pub(crate) fn read_all(reader: &mut WalReader) -> (Vec<Record>, WalEnd) {
    let mut records = Vec::new();
    loop {
        match reader.next().unwrap() {
            Next::Record(record) => records.push(record),
            Next::End(end) => return (records, end),
        }
    }
}
