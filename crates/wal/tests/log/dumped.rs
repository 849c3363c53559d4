//! The dump prints records as pg_waldump does.

use walship_disk::SimDisk;
use walship_types::{DatabaseId, Lsn, PageNo, PageSize, SqliteWalPosition, TimelineId, Timestamp};
use walship_wal::payload::{Commit, CommitFlags, CreateDatabase, encode_plain_image};
use walship_wal::{RecordKind, dump};

use crate::scene::{MIB, read_all, start};

#[test]
fn a_line_per_record_and_sums() {
    let (config, writer) = start(&SimDisk::new(1));
    let mut create = Vec::new();
    CreateDatabase { id: DatabaseId(1), name: "postgres".parse().unwrap() }.encode(&mut create);
    writer.append(RecordKind::CreateDatabase, &[&create]).unwrap();
    let flags = CommitFlags { single: true, ..CommitFlags::default() };
    let position = SqliteWalPosition { frame: 2, ..SqliteWalPosition::default() };
    let commit =
        Commit::new(DatabaseId(1), 2, flags, PageSize::DEFAULT, position, Timestamp(0), 0xFEED).unwrap();
    let (mut header, mut entries) = (Vec::new(), Vec::new());
    commit.encode_header(&mut header);
    encode_plain_image(&mut entries, PageNo(2), 1, &[7; 4096]);
    writer.append(RecordKind::Commit, &[&header, &entries]).unwrap();
    writer.append(RecordKind::Seal, &[b"nonsense"]).unwrap();
    writer.flush(Lsn::MAX).unwrap();

    let (records, _) = read_all(&mut writer.source().reader(Lsn(MIB)));
    let lines: Vec<_> = records.iter().map(dump::line).collect();
    assert_eq!(
        lines,
        [
            "rmgr: Catalog     len (rec/tot):     16/    48, tx:          0, lsn: 0/00100040, prev 0/00000000, desc: CREATE_DATABASE db 1 name \"postgres\"",
            "rmgr: Database    len (rec/tot):   4161/  4200, tx:          0, lsn: 0/00100070, prev 0/00100040, desc: COMMIT 2000-01-01 00:00:00.000000 UTC; db 1 size 2 checksum 000000000000feed; -wal 0:0000000000000000 frame 2 checksum 0000000000000000; images 1 deltas 0 bytes 4099 single",
            "rmgr: Database    len (rec/tot):      8/    40, tx:          0, lsn: 0/001010D8, prev 0/00100070, desc: SEAL invalid payload: -wal position at offset 8 needs 4 bytes, 0 are left",
        ]
    );
    let mut stats = dump::Stats::new();
    records.iter().for_each(|record| stats.add(record));
    let table = stats.to_string();
    assert!(table.starts_with("WAL statistics between 0/100040 and 0/101100:\nType  "), "{table}");
    let commit = table.lines().find(|line| line.starts_with("COMMIT")).unwrap();
    assert!(
        commit.contains("1 ( 33.33)                  101 ( 53.44)                 4099 (100.00)"),
        "{commit}"
    );
    assert!(table.lines().last().unwrap().starts_with("Total                                          3"));

    let path = config.file_path(config.segment_size.segment_of(Lsn(MIB)));
    let found = dump::config_of(config.disk.clone(), &path).unwrap();
    assert_eq!((found.system_id, found.history.timeline), (config.system_id, TimelineId(1)));
}
