//! Holds docs/wal-format.md to the code: its tables leave no gap, end where the code's
//! layouts end, and name the offsets at which encoded values are found.

use std::collections::BTreeMap;

use walship_types::{
    DatabaseId, Lsn, PageNo, PageSize, SqliteWalGeneration, SqliteWalPosition, SystemId, TimelineId,
    Timestamp,
};

use crate::crc::CrcSeed;
use crate::payload::*;
use crate::record::{self, RecordHeader};
use crate::segment_header;
use crate::*;

const DOC: &str = include_str!("../../../docs/wal-format.md");

/// Offset and size by field; a size of `None` is "rest".
type Table = BTreeMap<String, (usize, Option<usize>)>;

fn rows(heading: &str) -> Vec<Vec<String>> {
    let section = DOC.split("\n## ").find(|s| s.lines().next() == Some(heading));
    let section = section.unwrap_or_else(|| panic!("no section {heading}"));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect();
    section.lines().filter(|l| l.starts_with('|')).skip(2).map(cells).collect()
}

/// The table of a section; its rows follow each other without gaps.
fn table(heading: &str) -> (Table, usize) {
    let mut table = Table::new();
    let mut end = 0;
    for row in rows(heading) {
        let offset: usize = row[0].parse().unwrap();
        let size: Option<usize> = row[1].parse().ok();
        assert!(size.is_some() || row[1] == "rest", "{heading}: {row:?}");
        assert_eq!(offset, end, "{heading}: {row:?} does not follow the row before");
        end += size.unwrap_or(0);
        table.insert(row[2].clone(), (offset, size));
    }
    (table, end)
}

/// That the fields of `bytes` have these values, and that no other field is anything but
/// reserved and zero.
fn check(heading: &str, bytes: &[u8], values: &[(&str, u64)]) {
    let (table, _) = table(heading);
    let mut left: BTreeMap<_, _> = values.iter().copied().collect();
    for (field, (offset, size)) in &table {
        let Some(size @ 1..=8) = *size else { continue };
        let mut raw = [0; 8];
        raw[..size].copy_from_slice(&bytes[*offset..offset + size]);
        let found = u64::from_le_bytes(raw);
        let expected = if field == "reserved" { Some(0) } else { left.remove(field.as_str()) };
        assert_eq!(Some(found), expected, "{heading}: {field}");
    }
    assert!(left.is_empty(), "{heading}: not in the table: {left:?}");
}

fn position() -> SqliteWalPosition {
    let generation = SqliteWalGeneration { checkpoint_sequence: 1, salt1: 2, salt2: 3 };
    SqliteWalPosition { generation, frame: 4, checksum: (5, 6) }
}

fn check_position(heading: &str, bytes: &[u8]) {
    let (offset, size) = table(heading).0["position"];
    assert_eq!(size, Some(24), "{heading}");
    let words = bytes[offset..offset + 24].chunks(4).map(|w| record::u32_at(w, 0));
    assert_eq!(words.collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6], "{heading}");
}

#[test]
fn segment_header_table() {
    let header = SegmentHeader {
        timeline: TimelineId(11),
        system_id: SystemId(12),
        segment_size: 13,
        start: Lsn(14),
        running_record: Lsn(15),
        remaining: 16,
    };
    let raw = header.encode();
    let (fields, end) = table("Segment header");
    assert_eq!(end, SEGMENT_HEADER_LEN);
    let crc = u64::from(crc32fast::hash(&raw[..fields["crc"].0]));
    check(
        "Segment header",
        &raw,
        &[
            ("magic", u64::from_le_bytes(SEGMENT_MAGIC)),
            ("version", u64::from(FORMAT_VERSION)),
            ("timeline", 11),
            ("system id", 12),
            ("segment size", 13),
            ("start", 14),
            ("running record", 15),
            ("remaining", 16),
            ("crc", crc),
        ],
    );
    assert_eq!(fields["crc"].0, segment_header::field::CRC);
    let magic: String = SEGMENT_MAGIC.iter().map(|b| format!(" {b:02x}")).collect();
    assert!(DOC.contains(&format!("a line feed:{magic} |")));
    assert!(DOC.contains(&format!("Format version: `{FORMAT_VERSION}`.")));
}

#[test]
fn record_header_table() {
    let seed = CrcSeed::new(SystemId(1), TimelineId(2));
    let header = RecordHeader {
        lsn: Lsn(21),
        previous: Lsn(22),
        payload_len: 23,
        kind: RecordKind::Seal,
        flags: 0,
        payload_crc: 24,
    };
    let raw = header.encode(seed);
    let (fields, end) = table("Record");
    assert_eq!(end, RECORD_HEADER_LEN);
    // the seed as the text describes it
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&1u64.to_le_bytes());
    hasher.update(&2u32.to_le_bytes());
    hasher.update(&raw[..fields["header crc"].0]);
    check(
        "Record",
        &raw,
        &[
            ("lsn", 21),
            ("previous", 22),
            ("payload length", 23),
            ("kind", 3),
            ("flags", 0),
            ("payload crc", 24),
            ("header crc", u64::from(hasher.finalize())),
        ],
    );
    assert!(DOC.contains(&format!("without padding, at most {RECORD_PAYLOAD_MAX} |")));
}

#[test]
fn kinds_table() {
    let listed: Vec<_> = rows("Kinds").into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let known: Vec<_> =
        RecordKind::ALL.iter().map(|&kind| ((kind as u8).to_string(), kind.name().to_owned())).collect();
    assert_eq!(listed, known);
}

#[test]
fn commit_and_pages_tables() {
    let mut raw = Vec::new();
    PagesPart::encode_header(&mut raw, DatabaseId(31), true, PageSize::DEFAULT);
    assert_eq!(table("Pages").1, PAGES_PART_HEADER_LEN);
    check("Pages", &raw, &[("database", 31), ("flags", 1), ("page size", 12)]);

    let flags = CommitFlags { foreign: true, single: true, base_backup: true };
    let commit =
        Commit::new(DatabaseId(41), 42, flags, PageSize::DEFAULT, position(), Timestamp(43), 44).unwrap();
    let mut raw = Vec::new();
    commit.encode_header(&mut raw);
    assert_eq!(table("Commit").1, COMMIT_HEADER_LEN);
    let fields =
        [("database", 41), ("pages", 42), ("flags", 7), ("page size", 12), ("time", 43), ("checksum", 44)];
    check("Commit", &raw, &fields);
    check_position("Commit", &raw);
}

#[test]
fn page_entry_text() {
    let mut content = [0; 512];
    content[200..203].copy_from_slice(&[7, 8, 9]);
    let mut raw = Vec::new();
    encode_entry(
        &mut raw,
        PageNo(300),
        0x0102_0304_0506_0708,
        Base::Previous,
        &content,
        &[200..203, 205..206],
    );
    let page = [0xAC, 0x02];
    let hash = [8, 7, 6, 5, 4, 3, 2, 1];
    let ranges = [0xC8, 0x01, 3, 7, 8, 9, 2, 1, 0];
    assert_eq!(raw, [&page[..], &hash, &[2 << 2 | 1], &ranges].concat());
    let mut raw = Vec::new();
    encode_image(&mut raw, PageNo(300), 0x0102_0304_0506_0708, &[7; 512]);
    let block = lz4_flex::block::compress(&[7; 512]);
    let count = u8::try_from(block.len() << 2).unwrap() | 2;
    assert_eq!(raw, [&page[..], &hash, &[count], &block].concat());
}

#[test]
fn state_tables() {
    let state = DatabaseState {
        id: DatabaseId(51),
        name: "ab".parse().unwrap(),
        page_size: PageSize::DEFAULT,
        pages: 52,
        checksum: 53,
        position: position(),
    };
    let end_of_recovery = EndOfRecovery {
        timeline: TimelineId(54),
        previous_timeline: TimelineId(55),
        time: Timestamp(56),
        databases: vec![state.clone()],
    };
    let mut raw = Vec::new();
    end_of_recovery.encode(&mut raw);
    let fields = [("timeline", 54), ("previous timeline", 55), ("time", 56), ("database count", 1)];
    check("End of recovery", &raw, &fields);
    let state_raw = &raw[table("End of recovery").1..];
    assert_eq!(table("Database state").1, DATABASE_STATE_LEN_MIN);
    let fields = [("database", 51), ("pages", 52), ("page size", 12), ("name length", 2), ("checksum", 53)];
    check("Database state", state_raw, &fields);
    check_position("Database state", state_raw);
    assert_eq!(&state_raw[table("Database state").0["name"].0..], b"ab");

    let checkpoint = Checkpoint {
        redo: Lsn(61),
        timeline: TimelineId(62),
        shutdown: true,
        time: Timestamp(63),
        next_database_id: DatabaseId(64),
        databases: vec![state],
    };
    let mut raw = Vec::new();
    checkpoint.encode(&mut raw);
    let fields = [
        ("redo", 61),
        ("timeline", 62),
        ("flags", 1),
        ("time", 63),
        ("next database id", 64),
        ("database count", 1),
    ];
    check("Checkpoint", &raw, &fields);
    assert_eq!(&raw[table("Checkpoint").1..], state_raw);
}

#[test]
fn marker_tables() {
    let mut raw = Vec::new();
    Seal { database: DatabaseId(71), pages: 72, position: position(), checksum: 73 }.encode(&mut raw);
    assert_eq!(table("Seal").1, raw.len());
    check("Seal", &raw, &[("database", 71), ("pages", 72), ("checksum", 73)]);
    check_position("Seal", &raw);

    let mut raw = Vec::new();
    CreateDatabase { id: DatabaseId(81), name: "xyz".parse().unwrap() }.encode(&mut raw);
    check("Database name", &raw, &[("database", 81), ("name length", 3)]);
    assert_eq!(&raw[table("Database name").1..], b"xyz");

    let mut raw = Vec::new();
    RestorePoint { time: Timestamp(91), name: "here".to_owned() }.encode(&mut raw);
    check("Restore point", &raw, &[("time", 91), ("name length", 4)]);
    assert_eq!(&raw[table("Restore point").1..], b"here");
}
