//! Full disks and failed syncs.

use crate::scene::{MIB, append, payload, start};
use walship_disk::{SimDisk, SimFaults};
use walship_types::Lsn;
use walship_wal::{WalError, recover};

#[test]
fn a_failed_sync_poisons_for_good_and_nothing_was_promised() {
    let disk = SimDisk::new(1);
    let (config, writer) = start(&disk);
    let (_, first) = append(&writer, b"durable");
    writer.flush(first).unwrap();
    // the preparer's sync of a segment must not be the one that fails
    writer.reserve(MIB).unwrap();
    disk.set_faults(SimFaults { syncs_before_failure: Some(0), ..Default::default() });
    let (_, lost) = append(&writer, b"lost");
    assert!(matches!(writer.flush(lost), Err(WalError::Poisoned { .. })));
    assert!(writer.failed().unwrap().starts_with("could not fdatasync"));
    // the next sync would "succeed": it must not be tried
    assert!(matches!(writer.flush(lost), Err(WalError::Poisoned { .. })));
    assert!(matches!(writer.append(walship_wal::RecordKind::Pages, &[]), Err(WalError::Poisoned { .. })));
    assert_eq!(writer.positions().flush.get(), first);
    assert!(writer.shutdown().is_err());
    disk.power_loss();
    assert_eq!(recover(&config, Lsn(MIB), first).unwrap().end.at, first);
}

#[test]
fn room_is_refused_before_anything_changes_and_comes_back() {
    let disk = SimDisk::new(1);
    let (config, writer) = start(&disk);
    writer.reserve(3 * MIB).unwrap();
    let before = writer.positions().insert.get();
    disk.set_faults(SimFaults { room_bytes: Some(MIB / 2), ..Default::default() });
    let kept = writer.reserve(2 * MIB).unwrap();
    let error = writer.reserve(2 * MIB).unwrap_err();
    assert!(error.is_no_space(), "{error}");
    assert!(error.to_string().starts_with("no room for 1048576 more bytes of the log: could not write"));
    assert_eq!(writer.positions().insert.get(), before);
    // what was reserved can be used
    let (_, end) = append(&writer, &payload(1, 2 << 20));
    drop(kept);
    writer.flush(end).unwrap();
    disk.set_faults(SimFaults::default());
    writer.reserve(4 * MIB).unwrap();
    drop(writer);
    recover(&config, Lsn(MIB), end).unwrap();
}

#[test]
fn a_log_that_could_not_grow_goes_on_by_itself_once_there_is_room() {
    let disk = SimDisk::new(1);
    let (config, writer) = start(&disk);
    writer.reserve(1).unwrap();
    disk.set_faults(SimFaults { room_bytes: Some(0), ..Default::default() });
    let mut end = Lsn(0);
    let refused = loop {
        match writer.append(walship_wal::RecordKind::Pages, &[&payload(2, 1 << 20)]) {
            Ok(span) => end = span.end,
            Err(error) => break error,
        }
    };
    assert!(refused.is_no_space(), "{refused}");
    assert_eq!(writer.failed(), None);
    disk.set_faults(SimFaults::default());
    writer.flush(end).unwrap();
    drop(writer);
    assert_eq!(recover(&config, Lsn(MIB), end).unwrap().end.at, end);
}
