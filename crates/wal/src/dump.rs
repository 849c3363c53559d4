//! The log as people read it: a line per record in pg_waldump's layout, and its
//! `--stats` table.

mod describe;
mod stats;

use std::path::Path;

use walship_disk::{OpenMode, SharedDisk};
use walship_types::{Lsn, SegmentSize};

use crate::payload::Payload;
use crate::segment_header::SegmentHeaderError;
use crate::{Record, RecordKind, SEGMENT_HEADER_LEN, SegmentHeader, WalConfig, WalError, read_history};

pub use stats::Stats;

/// One line about a record, without a line end, as pg_waldump lays it out. Transactions
/// have no numbers here, so `tx` is always 0.
pub fn line(record: &Record) -> String {
    let manager = match record.kind {
        RecordKind::Pages | RecordKind::Commit | RecordKind::Seal => "Database",
        RecordKind::CreateDatabase | RecordKind::DropDatabase => "Catalog",
        RecordKind::Checkpoint
        | RecordKind::EndOfRecovery
        | RecordKind::SegmentSwitch
        | RecordKind::RestorePoint => "XLOG",
    };
    let description = match Payload::decode(record.kind, &record.payload) {
        Ok(payload) => describe::describe(&payload),
        Err(error) => format!("invalid payload: {error}"),
    };
    let (len, total) = (record.payload.len(), record.len());
    let (lsn, previous) = (padded(record.lsn), padded(record.previous));
    let line = format!(
        "rmgr: {manager:<11} len (rec/tot): {len:>6}/{total:>6}, tx: {:>10}, lsn: {lsn}, prev {previous}, desc: {} {description}",
        0, record.kind
    );
    line.trim_end().to_owned()
}

/// An LSN in the dump's own spelling: the low half has all of its digits.
fn padded(lsn: Lsn) -> String {
    format!("{:X}/{:08X}", lsn.0 >> 32, lsn.0 & 0xFFFF_FFFF)
}

/// What a segment file says about itself.
pub fn segment_header(disk: &SharedDisk, path: &Path) -> Result<SegmentHeader, WalError> {
    let mut raw = [0; SEGMENT_HEADER_LEN];
    let read = disk.open(path, OpenMode::Read)?.read_at(&mut raw, 0)?;
    let header = if read < SEGMENT_HEADER_LEN {
        let expected = SEGMENT_HEADER_LEN as u64;
        Err(SegmentHeaderError::SegmentSize { expected, found: read as u64 })
    } else {
        SegmentHeader::decode(&raw)
    };
    header.map_err(|source| WalError::SegmentHeader { path: path.to_owned(), source })
}

/// The log that a segment file belongs to, for reading it where nothing else is known:
/// identifier, timeline and segment size from its header, the history from its directory.
pub fn config_of(disk: SharedDisk, path: &Path) -> Result<WalConfig, WalError> {
    let header = segment_header(&disk, path)?;
    let dir = path.parent().unwrap_or(Path::new(".")).to_owned();
    let segment_size = SegmentSize::new(header.segment_size).map_err(|_| WalError::SegmentHeader {
        path: path.to_owned(),
        source: SegmentHeaderError::SegmentSize {
            expected: SegmentSize::DEFAULT.bytes(),
            found: header.segment_size,
        },
    })?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let named = walship_types::parse_segment_file_name(name, segment_size);
    // the first file of a timeline begins with bytes of the one before
    let timeline = named.map_or(header.timeline, |(timeline, _)| timeline);
    let history = read_history(&*disk, &dir, timeline)?;
    Ok(WalConfig::new(disk, dir, header.system_id, segment_size, history))
}
