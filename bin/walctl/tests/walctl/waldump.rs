use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use walship_disk::RealDisk;
use walship_types::{
    DatabaseId, DatabaseName, Lsn, PageNo, PageSize, SegmentSize, SqliteWalGeneration, SqliteWalPosition,
    SystemId, TimelineHistory, TimelineId, Timestamp,
};
use walship_wal::payload::{
    Checkpoint, Commit, CommitFlags, CreateDatabase, DatabaseState, PagesPart, RestorePoint, Seal,
    encode_plain_image,
};
use walship_wal::{RecordKind, RecordSpan, WalConfig, WalWriter, create_first_segment};

use crate::golden::assert_golden;
use crate::program::{Output, walctl};

const ID: DatabaseId = DatabaseId(1);
/// 2026-01-01 00:00:00 UTC.
const TIME: Timestamp = Timestamp(820_540_800_000_000);
const FIRST_FILE: &str = "000000010000000000000001";

/// A data directory with a log of every kind of record that a leader writes.
struct Lab {
    root: tempfile::TempDir,
    spans: Vec<RecordSpan>,
}

fn position(frame: u32) -> SqliteWalPosition {
    let generation = SqliteWalGeneration { checkpoint_sequence: 1, salt1: 0xA, salt2: 0xB };
    SqliteWalPosition { generation, frame, checksum: (0xC, frame) }
}

fn commit(pages: &[u32], flags: CommitFlags) -> Vec<u8> {
    let mut out = Vec::new();
    let header = Commit::new(ID, 5, flags, PageSize::DEFAULT, position(3), TIME, 0xFEED).unwrap();
    header.encode_header(&mut out);
    for page in pages {
        encode_plain_image(&mut out, PageNo(*page), 7, &[1; 4096]);
    }
    out
}

fn payload(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

fn records() -> Vec<(RecordKind, Vec<u8>)> {
    let name = DatabaseName::postgres;
    let state = DatabaseState {
        id: ID,
        name: name(),
        page_size: PageSize::DEFAULT,
        pages: 5,
        checksum: 0xFEED,
        position: position(3),
    };
    let checkpoint = Checkpoint {
        redo: Lsn(0x10_0040),
        timeline: TimelineId::FIRST,
        shutdown: true,
        time: TIME,
        next_database_id: DatabaseId(2),
        databases: vec![state],
    };
    let seal = Seal { database: ID, pages: 5, position: position(3), checksum: 0xFEED };
    let part = payload(|out| {
        PagesPart::encode_header(out, ID, true, PageSize::DEFAULT);
        (1..=20).for_each(|page| encode_plain_image(out, PageNo(page), 7, &[1; 4096]));
    });
    let single = CommitFlags { single: true, ..CommitFlags::default() };
    let foreign = CommitFlags { foreign: true, ..single };
    vec![
        (RecordKind::CreateDatabase, payload(|out| CreateDatabase { id: ID, name: name() }.encode(out))),
        (RecordKind::Commit, commit(&[1, 2], single)),
        (RecordKind::Pages, part),
        (RecordKind::Commit, commit(&[], CommitFlags::default())),
        (RecordKind::Commit, commit(&[3], foreign)),
        (RecordKind::Seal, payload(|out| seal.encode(out))),
        (
            RecordKind::RestorePoint,
            payload(|out| RestorePoint { time: TIME, name: "noon".into() }.encode(out)),
        ),
        (RecordKind::Checkpoint, payload(|out| checkpoint.encode(out))),
    ]
}

impl Lab {
    fn new(records: &[(RecordKind, Vec<u8>)]) -> Lab {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("cluster/pg_wal");
        std::fs::create_dir_all(&dir).unwrap();
        let history = TimelineHistory::root(TimelineId::FIRST);
        let disk = Arc::new(RealDisk::new());
        let config = WalConfig::new(disk, &dir, SystemId(7), SegmentSize::MIN, history);
        let end = create_first_segment(&config).unwrap();
        let writer = WalWriter::start(config, end).unwrap();
        let spans: Vec<RecordSpan> =
            records.iter().map(|(kind, payload)| writer.append(*kind, &[payload]).unwrap()).collect();
        writer.flush(spans.last().unwrap().end).unwrap();
        writer.shutdown().unwrap();
        Lab { root, spans }
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    fn dump(&self, arguments: &[&str]) -> Output {
        walctl(self.path(), &[&["waldump"], arguments].concat())
    }

    fn lines(&self, arguments: &[&str]) -> Vec<String> {
        let output = self.dump(arguments);
        assert_eq!(output.status, Some(0), "{}", output.transcript());
        output.stdout.lines().map(str::to_owned).collect()
    }

    fn overwrite(&self, file: &str, offset: u64, bytes: &[u8]) {
        let path = self.path().join("cluster/pg_wal").join(file);
        OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, offset).unwrap();
    }
}

/// Three records of which each crosses into another segment of 1 MiB.
fn long_records() -> Vec<(RecordKind, Vec<u8>)> {
    let part = payload(|out| {
        PagesPart::encode_header(out, ID, true, PageSize::DEFAULT);
        (1..=250).for_each(|page| encode_plain_image(out, PageNo(page), 7, &[1; 4096]));
    });
    vec![(RecordKind::Pages, part.clone()), (RecordKind::Pages, part.clone()), (RecordKind::Pages, part)]
}

#[test]
fn every_record_has_its_line() {
    let lab = Lab::new(&records());
    let output = lab.dump(&["cluster"]);
    assert_golden("waldump", &output.transcript());
    assert_eq!(output.stdout.lines().count(), records().len());
    for same in [&["cluster/pg_wal"][..], &["-D", "cluster"], &[&format!("cluster/pg_wal/{FIRST_FILE}")]] {
        assert_eq!(lab.dump(same).stdout, output.stdout, "{same:?}");
    }
}

#[test]
fn statistics_add_up() {
    let lab = Lab::new(&records());
    assert_golden("waldump_stats", &lab.dump(&["--stats", "cluster"]).stdout);
}

#[test]
fn ranges_limits_and_filters() {
    let lab = Lab::new(&records());
    let all = lab.lines(&["cluster"]);
    let (third, fifth) = (lab.spans[2].start.to_string(), lab.spans[4].start.to_string());
    assert_eq!(lab.lines(&["cluster", "-s", &third, "-e", &fifth]), all[2..4]);
    assert_eq!(lab.lines(&["cluster", "-n", "2"]), all[..2]);
    assert_eq!(lab.lines(&["cluster", "-r", "seal", "--kind", "restore-point"]), all[5..7]);
    // the checkpoint and the restore point are about no one database
    assert_eq!(lab.lines(&["cluster", "--database", "postgres"]), all[..6]);
    assert_eq!(lab.lines(&["cluster", "--database", "1"]), all[..6]);

    let within = Lsn(lab.spans[2].start.0 + 8).to_string();
    let output = lab.dump(&["cluster", "-s", &within]);
    assert!(output.stderr.starts_with("walctl: first record is after "), "{}", output.stderr);
    assert_eq!(output.stdout.lines().collect::<Vec<_>>(), all[3..]);

    let unknown = lab.dump(&["cluster", "--database", "shop"]);
    assert_eq!(unknown.status, Some(1));
    assert_eq!(unknown.stderr, "walctl: error: no record names a database \"shop\"\n");

    // how many segments are ready ahead depends on how long the writer ran
    let outside = lab.dump(&["cluster", "-s", "5/0"]);
    assert_eq!(outside.status, Some(1));
    let message = outside.stderr.lines().next().unwrap();
    assert_eq!(
        message,
        "walctl: error: could not find segment file 000000010000000500000000 for 5/0 in \"cluster/pg_wal\""
    );
}

#[test]
fn files_are_read_alone_or_up_to_another() {
    let lab = Lab::new(&long_records());
    let file = |number: u32| format!("cluster/pg_wal/00000001000000000000000{number}");
    assert_eq!(lab.lines(&["cluster"]).len(), 3);
    assert_eq!(lab.lines(&[&file(1)]).len(), 2);
    assert_eq!(lab.lines(&[&file(2)]).len(), 1);
    assert_eq!(lab.lines(&[&file(1), &file(2)]).len(), 3);
}

#[test]
fn damage_is_named_with_its_place() {
    let lab = Lab::new(&records());
    let offset = lab.spans[3].start.0 % SegmentSize::MIN.bytes();
    lab.overwrite(FIRST_FILE, offset + 40, &[0xFF; 4]);
    let output = lab.dump(&["cluster"]);
    assert_eq!(output.stdout.lines().count(), 3);
    assert_golden("waldump_damaged_record", &output.stderr);
    assert_eq!(output.status, Some(1));
}

#[test]
fn zeroes_and_holes_before_written_segments_are_damage() {
    let lab = Lab::new(&long_records());
    lab.overwrite(FIRST_FILE, lab.spans[1].start.0 % SegmentSize::MIN.bytes(), &[0; 64]);
    let output = lab.dump(&["cluster"]);
    assert_eq!(output.status, Some(1));
    assert_golden("waldump_hole", &output.stderr);

    let lab = Lab::new(&long_records());
    std::fs::remove_file(lab.path().join("cluster/pg_wal/000000010000000000000002")).unwrap();
    let output = lab.dump(&["cluster"]);
    assert_eq!(output.status, Some(1));
    assert_golden("waldump_missing_segment", &output.stderr);
}

#[test]
fn a_closed_pipe_is_no_error() {
    use std::process::{Command, Stdio};
    let lab = Lab::new(&records());
    let mut command = Command::new(env!("CARGO_BIN_EXE_walctl"));
    command.args(["waldump", "cluster"]).current_dir(lab.path());
    // closed before the program starts: otherwise it may have written everything by then
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(output.status.success());
}

#[test]
fn what_is_no_log_is_refused() {
    let lab = tempfile::tempdir().unwrap();
    std::fs::create_dir(lab.path().join("empty")).unwrap();
    std::fs::write(lab.path().join("notes.txt"), "nothing").unwrap();
    std::fs::write(lab.path().join(FIRST_FILE), "not a segment".repeat(10)).unwrap();
    for (name, place) in [("no_segments", "empty"), ("no_segment_file", "notes.txt"), ("bad_segment", ".")] {
        let output = walctl(lab.path(), &["waldump", place]);
        assert_eq!(output.status, Some(1));
        assert_golden(&format!("waldump_{name}"), &output.transcript());
    }
}
