//! Each damaged log in fixtures/wal is read as exactly what it is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use walship_disk::{Disk, SimDisk};
use walship_types::{Lsn, SegmentSize, SystemId, TimelineHistory, TimelineId};
use walship_wal::payload::Payload;
use walship_wal::{
    EndReason, RecordKind, SegmentHeaderError, WalConfig, WalError, WalSource, WalWriter, clean_tail, recover,
};

use crate::cases;
use crate::scene::{MIB, read_all};

struct Fixture {
    config: WalConfig,
    start: Lsn,
    known_flush: Lsn,
}

fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wal").join(case)
}

/// The bytes that a hex file stands for.
fn unhex(text: &str) -> Vec<u8> {
    let mut lines = text.lines();
    let len = lines.next().and_then(|first| first.split(' ').nth(1)).unwrap().parse().unwrap();
    let mut content = vec![0; len];
    for line in lines {
        let (offset, digits) = line.split_once(": ").unwrap();
        let offset = usize::from_str_radix(offset, 16).unwrap();
        for (index, pair) in digits.as_bytes().chunks(2).enumerate() {
            let pair = std::str::from_utf8(pair).unwrap();
            content[offset + index] = u8::from_str_radix(pair, 16).unwrap();
        }
    }
    content
}

fn open(case: &str) -> Fixture {
    let disk = SimDisk::new(0);
    for entry in std::fs::read_dir(folder(case)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "hex") {
            let name = path.file_stem().unwrap();
            let file = disk.create_new(&Path::new("/").join(name)).unwrap();
            file.write_all_at(&unhex(&std::fs::read_to_string(&path).unwrap()), 0).unwrap();
        }
    }
    let manifest = std::fs::read_to_string(folder(case).join("case.txt")).unwrap();
    let field = |name: &str| {
        let line = manifest.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("{case}: no {name}")).to_owned()
    };
    let system_id: SystemId = field("system_id").parse().unwrap();
    let segment_size = SegmentSize::new(field("segment_size").parse().unwrap()).unwrap();
    let history = TimelineHistory::root(TimelineId(field("timeline").parse().unwrap()));
    let config = WalConfig::new(Arc::new(disk), "/", system_id, segment_size, history);
    Fixture {
        config,
        start: field("start").parse().unwrap(),
        known_flush: field("known_flush").parse().unwrap(),
    }
}

impl Fixture {
    fn recover(&self) -> Result<walship_wal::Recovered, WalError> {
        recover(&self.config, self.start, self.known_flush)
    }
}

#[test]
fn torn_tail() {
    let found = open("torn_tail").recover().unwrap();
    assert_eq!((found.end.at, found.records), (Lsn(0x100130), 2));
    assert_eq!(found.end.offset, 0x130);
    assert!(matches!(found.end.reason, EndReason::PayloadChecksum { .. }), "{}", found.end);
}

#[test]
fn zero_tail() {
    let fixture = open("zero_tail");
    let found = fixture.recover().unwrap();
    assert_eq!((found.end.at, found.records), (fixture.known_flush, 3));
    assert_eq!(
        found.end.to_string(),
        "log ends at 0/1001A8: zeroes (file \"000000010000000000000001\", offset 424)"
    );
    let clean = clean_tail(&fixture.config, &found).unwrap();
    assert_eq!((clean.zeroed_bytes, clean.previous), (0, Lsn(0x100130)));
    assert_eq!(clean.removed, ["000000010000000000000002"]);
}

#[test]
fn stale_tail_of_a_recycled_segment() {
    let mut fixture = open("stale_tail_of_a_recycled_segment");
    // the first segment is gone: it is the third one now
    fixture.start = Lsn(2 * MIB);
    let found = fixture.recover().unwrap();
    assert_eq!((found.end.at, found.records), (fixture.known_flush, 3));
    assert_eq!(found.end.reason, EndReason::StaleRecord { found: Lsn(0x1000B8) });
    let clean = clean_tail(&fixture.config, &found).unwrap();
    assert!(clean.zeroed_bytes > 0);
    assert_eq!(fixture.recover().unwrap().end.reason, EndReason::Zeroes);
}

#[test]
fn old_record_behind_a_lost_one() {
    let fixture = open("old_record_behind_a_lost_one");
    let found = fixture.recover().unwrap();
    assert_eq!((found.end.at, &found.end.reason), (fixture.known_flush, &EndReason::Zeroes));
    let (records, _) = read_all(&mut WalSource::offline(fixture.config.clone()).reader(Lsn(0x100130)));
    assert_eq!(records.len(), 1, "the old record is intact, which is the danger");
    let lost_len = 0x130 - 0xB8 - 32;
    let clean = clean_tail(&fixture.config, &found).unwrap();
    assert!(clean.zeroed_bytes > 0);
    let writer = WalWriter::start(fixture.config.clone(), clean).unwrap();
    let span = writer.append(RecordKind::Pages, &[&vec![1; lost_len]]).unwrap();
    assert_eq!(span.end, Lsn(0x100130));
    writer.shutdown().unwrap();
    let again = fixture.recover().unwrap();
    assert_eq!((again.end.at, again.records, again.end.reason), (span.end, 2, EndReason::Zeroes));
}

#[test]
fn flipped_bit_below_flush() {
    let error = open("flipped_bit_below_flush").recover().unwrap_err();
    assert!(matches!(error, WalError::CorruptBelowFlush { .. }));
    let text = error.to_string();
    let start = "corrupt log: log ends at 0/1000B8: record payload checksum is ";
    let end = " (file \"000000010000000000000001\", offset 184), but it was flushed up to 0/1001A8";
    assert!(text.starts_with(start) && text.ends_with(end), "{text}");
}

#[test]
fn bad_header() {
    let error = open("bad_header").recover().unwrap_err();
    let WalError::CorruptBelowFlush { end, .. } = &error else { panic!("{error}") };
    let magic = SegmentHeaderError::Magic { found: *b"notours\n" };
    assert_eq!((end.at, &end.reason), (Lsn(MIB), &EndReason::SegmentHeader(magic)));
    assert!(
        error.to_string().contains("segment magic is [6e, 6f, 74, 6f, 75, 72, 73, 0a], expected [77, 61")
    );
}

#[test]
fn wrong_system_identifier() {
    let error = open("wrong_system_identifier").recover().unwrap_err();
    assert_eq!(
        error.to_string(),
        "segment file \"/000000010000000000000001\": segment belongs to system identifier \
         7000000000000000002, expected 7000000000000000001"
    );
}

#[test]
fn record_across_three_segments() {
    let fixture = open("record_across_three_segments");
    let found = fixture.recover().unwrap();
    assert_eq!((found.end.at, found.records), (fixture.known_flush, 2));
    let source = WalSource::offline(fixture.config);
    let (all, _) = read_all(&mut source.reader(Lsn(MIB)));
    assert_eq!((all[0].lsn, all[0].payload.len()), (Lsn(MIB + 64), 2 << 20));
    assert_eq!(all[0].payload.iter().filter(|&&b| b == 0xAB).count(), 60);
    // both later segments lead to the same first record of their own
    for start in [2 * MIB, 3 * MIB] {
        let (records, _) = read_all(&mut source.reader(Lsn(start)));
        assert_eq!(records.iter().map(|r| r.lsn).collect::<Vec<_>>(), [all[1].lsn]);
    }
}

#[test]
fn commit_without_closing_record() {
    let fixture = open("commit_without_closing_record");
    let found = fixture.recover().unwrap();
    assert_eq!((found.records, found.end.reason), (3, EndReason::Zeroes));
    let (records, _) = read_all(&mut WalSource::offline(fixture.config).reader(fixture.start));
    let firsts: Vec<_> = records
        .iter()
        .map(|record| match record.decode().unwrap() {
            Payload::Pages(part) => part.first,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(firsts, [true, false, false]);
}

#[test]
fn the_generator_makes_what_is_there() {
    for case in cases::all() {
        let mut there: Vec<_> = std::fs::read_dir(folder(case.name))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        there.sort();
        let mut made: Vec<_> = case.files();
        made.sort();
        assert_eq!(there, made.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), "{}", case.name);
        for (name, content) in made {
            let found = std::fs::read_to_string(folder(case.name).join(&name)).unwrap();
            assert!(found == content, "{}/{name}", case.name);
        }
    }
}
