use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use walship_disk::{Disk, OpenMode, SimDisk};
use walship_types::{
    DatabaseId, Lsn, PageNo, PageSize, SegmentNo, SegmentSize, SystemId, TimelineHistory, TimelineId,
};
use walship_wal::payload::{PagesPart, encode_plain_image};
use walship_wal::{RecordKind, RecordSpan, WalConfig, WalWriter, create_first_segment};

/// A damaged log.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    what: &'static str,
    known_flush: Lsn,
    disk: SimDisk,
}

/// Bytes per line of a hex file; a line that would be all zeroes is left out.
const LINE_BYTES: usize = 32;

impl Case {
    /// Names and contents of the folder's files.
    pub(crate) fn files(&self) -> Vec<(String, String)> {
        let manifest = format!(
            "what: {}\nsystem_id: {SYSTEM_ID}\nsegment_size: {}\ntimeline: 1\nstart: 0/100000\nknown_flush: {}\n",
            self.what,
            SegmentSize::MIN.bytes(),
            self.known_flush
        );
        let segments = self.disk.files().into_iter().map(|(path, _)| {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
            (format!("{name}.hex"), hex(&self.disk.read(&path).expect("simulated file")))
        });
        std::iter::once(("case.txt".to_owned(), manifest)).chain(segments).collect()
    }
}

fn hex(content: &[u8]) -> String {
    let mut out = format!("# {} bytes; lines of zeroes are left out\n", content.len());
    for (index, line) in content.chunks(LINE_BYTES).enumerate() {
        if line.iter().all(|&b| b == 0) {
            continue;
        }
        let digits: String = line.iter().map(|b| format!("{b:02x}")).collect();
        writeln!(out, "{:08x}: {digits}", index * LINE_BYTES).expect("writing to a string");
    }
    out
}

const SYSTEM_ID: SystemId = SystemId(7_000_000_000_000_000_001);
const MIB: u64 = 1 << 20;

struct Log {
    disk: SimDisk,
    writer: WalWriter,
}

impl Log {
    fn of(system_id: SystemId) -> Log {
        let disk = SimDisk::new(0);
        let history = TimelineHistory::root(TimelineId::FIRST);
        let config = WalConfig::new(Arc::new(disk.clone()), "/", system_id, SegmentSize::MIN, history);
        // nothing happens but what the case does
        let config = WalConfig { segments_ahead: 0, write_delay: Duration::from_secs(3600), ..config };
        let end = create_first_segment(&config).expect("first segment");
        Log { disk, writer: WalWriter::start(config, end).expect("writer") }
    }

    fn new() -> Log {
        Log::of(SYSTEM_ID)
    }

    /// A part of a commit with one page that is mostly zeroes.
    fn part(&self, first: bool, page: u32) -> RecordSpan {
        let mut content = [0; 4096];
        content[..64].fill(page as u8);
        let mut payload = Vec::new();
        PagesPart::encode_header(&mut payload, DatabaseId(1), first, PageSize::DEFAULT);
        encode_plain_image(&mut payload, PageNo(page), u64::from(page), &content);
        self.append(&payload)
    }

    fn append(&self, payload: &[u8]) -> RecordSpan {
        self.writer.append(RecordKind::Pages, &[payload]).expect("append")
    }

    fn flush(&self) {
        self.writer.flush(Lsn::MAX).expect("flush");
    }

    fn three(&self) -> [RecordSpan; 3] {
        let spans = [self.part(true, 1), self.part(false, 2), self.part(false, 3)];
        self.flush();
        spans
    }

    /// Changes what is on the disk behind the log's back, and makes a case of it.
    fn damaged(
        self,
        name: &'static str,
        what: &'static str,
        known_flush: Lsn,
        damage: impl FnOnce(&SimDisk),
    ) -> Case {
        self.writer.shutdown().expect("shutdown");
        damage(&self.disk);
        Case { name, what, known_flush, disk: self.disk }
    }
}

/// Path of the segment at `lsn`, and the offset in it.
fn place(lsn: Lsn) -> (PathBuf, u64) {
    let size = SegmentSize::MIN;
    let name = walship_types::segment_file_name(TimelineId::FIRST, size.segment_of(lsn), size);
    (Path::new("/").join(name), size.offset_of(lsn))
}

fn overwrite(disk: &SimDisk, lsn: Lsn, bytes: &[u8]) {
    let (path, offset) = place(lsn);
    let file = disk.open(&path, OpenMode::ReadWrite).expect("segment");
    file.write_all_at(bytes, offset).expect("write");
}

fn zero(disk: &SimDisk, from: Lsn, to: Lsn) {
    overwrite(disk, from, &vec![0; (to.0 - from.0) as usize]);
}

/// All cases, in the order of their names.
pub(crate) fn all() -> Vec<Case> {
    vec![
        bad_header(),
        commit_without_closing_record(),
        flipped_bit_below_flush(),
        old_record_behind_a_lost_one(),
        record_across_three_segments(),
        stale_tail_of_a_recycled_segment(),
        torn_tail(),
        wrong_system_identifier(),
        zero_tail(),
    ]
}

fn bad_header() -> Case {
    let log = Log::new();
    let [.., last] = log.three();
    log.damaged("bad_header", "the segment does not begin with the magic", last.end, |disk| {
        overwrite(disk, Lsn(MIB), b"notours\n");
    })
}

fn commit_without_closing_record() -> Case {
    let log = Log::new();
    let [.., last] = log.three();
    let what = "three parts of a commit whose commit record was never written";
    log.damaged("commit_without_closing_record", what, last.end, |_| {})
}

fn flipped_bit_below_flush() -> Case {
    let log = Log::new();
    let [_, second, last] = log.three();
    let what = "one bit of the second record's payload is flipped, and the third was flushed";
    log.damaged("flipped_bit_below_flush", what, last.end, |disk| {
        let (path, offset) = place(second.start);
        disk.flip_bit(&path, offset + 50, 3).expect("flip");
    })
}

fn old_record_behind_a_lost_one() -> Case {
    let log = Log::new();
    let [first, second, _] = log.three();
    let what = "the second record was lost in a power cut, the third, as little flushed, was not";
    log.damaged("old_record_behind_a_lost_one", what, first.end, |disk| {
        zero(disk, second.start, second.end);
    })
}

fn record_across_three_segments() -> Case {
    let log = Log::new();
    let mut payload = vec![0; (2 * MIB) as usize];
    for at in [0, MIB as usize / 2, payload.len() - 100] {
        payload[at..at + 20].fill(0xAB);
    }
    log.append(&payload);
    let last = log.part(true, 1);
    log.flush();
    let what = "the first record begins in the first segment and ends in the third";
    log.damaged("record_across_three_segments", what, last.end, |_| {})
}

fn stale_tail_of_a_recycled_segment() -> Case {
    let log = Log::new();
    log.three();
    log.writer.switch_segment().expect("switch");
    log.part(true, 4);
    log.flush();
    log.writer.recycle_before(Lsn(2 * MIB)).expect("recycle");
    log.writer.switch_segment().expect("switch");
    let last = log.part(true, 5);
    log.flush();
    let what = "the third segment was the first before; behind its one record lie records of then";
    log.damaged("stale_tail_of_a_recycled_segment", what, last.end, |_| {})
}

fn torn_tail() -> Case {
    let log = Log::new();
    let [_, second, last] = log.three();
    log.damaged("torn_tail", "the last record was written in part", second.end, |disk| {
        zero(disk, Lsn(last.start.0 + 64), last.end);
    })
}

fn wrong_system_identifier() -> Case {
    let log = Log::of(SystemId(SYSTEM_ID.0 + 1));
    let [.., last] = log.three();
    log.damaged("wrong_system_identifier", "an intact log of another cluster", last.end, |_| {})
}

fn zero_tail() -> Case {
    let log = Log::new();
    let [.., last] = log.three();
    log.damaged("zero_tail", "nothing is wrong: the log ends where it was stopped", last.end, |disk| {
        // the segment behind the last one was made and never written
        let (path, _) = place(SegmentSize::MIN.start_of(SegmentNo(2)));
        let file = disk.create_new(&path).expect("segment");
        file.set_len(MIB).expect("length");
    })
}
