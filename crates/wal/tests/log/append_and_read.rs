//! What was appended and flushed is read back: from memory, from files, from any start.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::scene::{MIB, append, config, payload, read_all, start};
use walship_disk::{Disk as _, SimDisk};
use walship_types::{Lsn, SegmentNo};
use walship_wal::{EndReason, Next, RecordKind, WalConfig, WalError, WalSource, WalWriter, recover};

/// Sizes around every boundary, and records over three segments.
fn sizes() -> Vec<usize> {
    let mut sizes = vec![0, 1, 7, 8, 9, 4096, 3 << 20, 17, 4 << 20];
    sizes.extend((0..200).map(|n| (n * 7919) % 30_000));
    sizes
}

#[test]
fn records_of_any_size_come_back_from_memory_and_from_files() {
    let (config, writer) = start(&SimDisk::new(1));
    let mut expected = Vec::new();
    for (n, len) in sizes().into_iter().enumerate() {
        let bytes = payload(n as u64, len);
        let (lsn, end) = append(&writer, &bytes);
        expected.push((lsn, end, bytes));
    }
    let last = expected.last().unwrap().1;
    writer.flush(last).unwrap();

    for source in [writer.source(), WalSource::offline(config.clone())] {
        let (records, end) = read_all(&mut source.reader(Lsn(MIB)));
        let found: Vec<_> = records.iter().map(|r| (r.lsn, r.end, r.payload.to_vec())).collect();
        assert!(found == expected);
        assert_eq!(end.at, last);
        let previous: Vec<_> = records.iter().map(|r| r.previous).collect();
        let lsns: Vec<_> = std::iter::once(Lsn(0)).chain(records.iter().map(|r| r.lsn)).collect();
        assert_eq!(previous, lsns[..lsns.len() - 1]);
    }
    // from each segment's start, the first record that begins in it or later
    for segment in 1..=last.0 / MIB {
        let (records, _) = read_all(&mut WalSource::offline(config.clone()).reader(Lsn(segment * MIB)));
        let first = expected.iter().map(|(lsn, ..)| *lsn).find(|lsn| lsn.0 >= segment * MIB);
        assert_eq!(records.first().map(|r| r.lsn), first, "segment {segment}");
    }
    // from each record's start
    for (lsn, _, bytes) in &expected {
        let Next::Record(record) = writer.source().reader(*lsn).next().unwrap() else { panic!("{lsn}") };
        assert!(record.payload == bytes);
    }
}

#[test]
fn the_bytes_of_the_source_are_the_bytes_of_the_files() {
    let disk = SimDisk::new(1);
    let (config, writer) = start(&disk);
    for n in 0..100 {
        append(&writer, &payload(n, 40_000));
        if n % 9 == 0 {
            writer.flush(writer.positions().insert.get()).unwrap();
        }
    }
    let end = writer.positions().insert.get();
    writer.flush(end).unwrap();
    let mut shipped = Vec::new();
    let mut at = Lsn(MIB);
    loop {
        let bytes = writer.source().read(at, 100_000, end).unwrap();
        if bytes.is_empty() {
            break;
        }
        shipped.extend_from_slice(&bytes);
        at = Lsn(at.0 + bytes.len() as u64);
    }
    let mut stored = Vec::new();
    for segment in 1..=config.segment_size.segment_of(end).0 {
        let path = config.file_path(SegmentNo(segment));
        stored.extend(config.disk.read(&path).unwrap());
    }
    assert_eq!(at, end);
    assert!(shipped == stored[..shipped.len()]);
}

#[test]
fn checked_bytes_stop_before_a_damaged_record() {
    let disk = SimDisk::new(1);
    // nothing is kept in memory: what is sent comes from the files
    let config = WalConfig { hot_tail_bytes: 0, ..config(&disk) };
    let end = walship_wal::create_first_segment(&config).unwrap();
    let writer = WalWriter::start(config.clone(), end).unwrap();
    let spans: Vec<_> = (0..40).map(|n| append(&writer, &payload(n, 100_000))).collect();
    let (damaged, end) = (spans[30].0, spans[39].1);
    writer.flush(end).unwrap();
    let collect = |start: Lsn| {
        let mut bytes = writer.source().checked(start)?;
        while !bytes.next(70_000, end)?.is_empty() {}
        Ok::<_, WalError>(bytes.position())
    };
    // from everywhere, also within a record
    for start in [Lsn(MIB), Lsn(2 * MIB), Lsn(2 * MIB + 4711), spans[5].0] {
        assert_eq!(collect(start).unwrap(), end);
    }
    let offset = config.segment_size.offset_of(damaged) + 500;
    disk.flip_bit(&config.file_path(config.segment_size.segment_of(damaged)), offset, 0).unwrap();
    // a simulated mapping is a copy, so the damage shows once the log is opened anew
    drop(writer);
    let sink = walship_wal::WalSink::open(config, end).unwrap();
    let mut bytes = sink.source().checked(Lsn(2 * MIB)).unwrap();
    let error = loop {
        match bytes.next(70_000, end) {
            Ok(more) => assert!(!more.is_empty()),
            Err(error) => break error,
        }
    };
    assert!(bytes.position() <= damaged, "damaged bytes were given out");
    let WalError::CorruptBelowFlush { end, .. } = error else { panic!("{error}") };
    assert_eq!(end.at, damaged);
}

#[test]
fn who_keeps_up_reads_from_memory_alone() {
    let disk = SimDisk::new(1);
    // far less than a segment
    let config = WalConfig { hot_tail_bytes: 64 << 10, ..config(&disk) };
    let end = walship_wal::create_first_segment(&config).unwrap();
    let writer = WalWriter::start(config.clone(), end).unwrap();
    let mut reader = writer.source().reader(Lsn(MIB));
    for n in 0..40 {
        let (lsn, end) = append(&writer, &payload(n, 9_000));
        writer.flush(end).unwrap();
        let Next::Record(record) = reader.next().unwrap() else { panic!("no record at {lsn}") };
        assert_eq!(record.lsn, lsn);
        assert!(matches!(reader.next().unwrap(), Next::End(end) if end.reason == EndReason::NotFlushed));
        if n == 20 {
            // its start is no longer in memory
            disk.remove(&config.file_path(SegmentNo(1))).unwrap();
        }
    }
}

#[test]
fn a_reader_at_the_end_goes_on_when_there_is_more() {
    let (_, writer) = start(&SimDisk::new(1));
    let mut reader = writer.source().reader(Lsn(MIB));
    for n in 0..300 {
        let (lsn, end) = append(&writer, &payload(n, 9_000));
        let Next::End(before) = reader.next().unwrap() else { panic!("unflushed record was read") };
        assert!(before.reason == EndReason::NotFlushed, "{before}");
        writer.flush(end).unwrap();
        let Next::Record(record) = reader.next().unwrap() else { panic!("no record at {lsn}") };
        assert_eq!((record.lsn, record.end), (lsn, end));
    }
}

#[test]
fn a_reader_without_hot_tail_sees_what_is_written_into_a_segment_that_it_read_before() {
    let config = WalConfig { hot_tail_bytes: 0, ..config(&SimDisk::new(1)) };
    let end = walship_wal::create_first_segment(&config).unwrap();
    let writer = WalWriter::start(config, end).unwrap();
    let mut reader = writer.source().reader(Lsn(MIB));
    for n in 0..50 {
        let (lsn, end) = append(&writer, &payload(n, 30_000));
        writer.flush(end).unwrap();
        let raw = writer.source().read(lsn, 8, end).unwrap();
        assert_eq!(&raw[..], lsn.0.to_le_bytes());
        let Next::Record(record) = reader.next().unwrap() else { panic!("no record at {lsn}") };
        assert_eq!(record.lsn, lsn);
    }
}

#[test]
fn a_segment_that_is_not_there_is_named() {
    let source = WalSource::offline(config(&SimDisk::new(1)));
    let error = source.read(Lsn(5 * MIB), 10, Lsn::MAX).unwrap_err();
    assert_eq!(error.to_string(), "segment file \"/000000010000000000000005\" does not exist");
}

#[test]
fn a_segment_switch_ends_the_segment() {
    let (config, writer) = start(&SimDisk::new(1));
    assert_eq!(writer.switch_segment().unwrap(), Lsn(MIB));
    append(&writer, b"one");
    assert_eq!(writer.switch_segment().unwrap(), Lsn(2 * MIB));
    assert_eq!(writer.switch_segment().unwrap(), Lsn(2 * MIB));
    let (lsn, end) = append(&writer, b"two");
    assert_eq!(lsn, Lsn(2 * MIB + 64));
    writer.flush(end).unwrap();
    let (records, _) = read_all(&mut WalSource::offline(config).reader(Lsn(MIB)));
    let kinds: Vec<_> = records.iter().map(|r| r.kind).collect();
    assert_eq!(kinds, [RecordKind::Pages, RecordKind::SegmentSwitch, RecordKind::Pages]);
    assert_eq!(records[1].end, Lsn(2 * MIB));
}

#[test]
fn flushing_a_position_at_a_segments_start_does_not_wait_for_bytes_that_never_come() {
    let (_, writer) = start(&SimDisk::new(1));
    append(&writer, b"one");
    writer.switch_segment().unwrap();
    let redo = writer.lock_insert().unwrap().position();
    assert_eq!(redo, Lsn(2 * MIB + 64));
    writer.flush(redo).unwrap();
    assert_eq!(writer.positions().flush.get(), Lsn(2 * MIB));
}

#[test]
fn concurrent_commits_share_syncs_and_all_survive() {
    let disk = SimDisk::new(1);
    let (config, writer) = start(&disk);
    let writer = Arc::new(writer);
    let threads: Vec<_> = (0..8u64)
        .map(|thread| {
            let writer = writer.clone();
            std::thread::spawn(move || {
                for n in 0..200 {
                    let (_, end) = append(&writer, &payload(thread << 32 | n, 100));
                    writer.flush(end).unwrap();
                    assert!(writer.positions().flush.get() >= end);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    let end = writer.positions().flush.get();
    disk.power_loss();
    let recovered = recover(&config, Lsn(MIB), end).unwrap();
    assert_eq!(recovered.records, 1600);
}

#[test]
fn old_segments_are_recycled_and_say_so_to_readers() {
    let disk = SimDisk::new(1);
    let (config, writer) = start(&disk);
    for n in 0..12 {
        append(&writer, &payload(n, 900_000));
    }
    let end = writer.positions().insert.get();
    writer.flush(end).unwrap();
    let gone = writer.recycle_before(Lsn(6 * MIB + 5)).unwrap();
    assert_eq!((gone, writer.oldest_segment()), (5, SegmentNo(6)));
    let error = writer.source().read(Lsn(2 * MIB), 10, Lsn::MAX).unwrap_err();
    assert!(matches!(error, WalError::Removed { .. }));
    let text = error.to_string();
    assert!(text.starts_with("requested WAL segment 000000010000000000000002 has already been removed"));
    // what recycled segments held before does not come back
    let (_, last) = append(&writer, &payload(99, 2 << 20));
    writer.flush(last).unwrap();
    drop(writer);
    let recovered = recover(&config, Lsn(6 * MIB), last).unwrap();
    assert_eq!(recovered.end.at, last);
    assert!(matches!(recovered.end.reason, EndReason::StaleRecord { .. } | EndReason::Zeroes));
}

#[test]
fn appending_waits_while_too_much_is_unflushed() {
    let disk = SimDisk::new(1);
    let config = WalConfig { unflushed_bytes_max: 100_000, ..config(&disk) };
    let end = walship_wal::create_first_segment(&config).unwrap();
    let writer = WalWriter::start(config, end).unwrap();
    for n in 0..500 {
        let (_, end) = append(&writer, &payload(n, 5_000));
        let unflushed = end.0 - writer.positions().flush.get().0;
        assert!(unflushed <= 100_000 + 6_000, "{unflushed}");
    }
}

#[test]
fn what_nobody_flushes_is_flushed_soon() {
    let config = WalConfig { write_delay: Duration::from_millis(1), ..config(&SimDisk::new(1)) };
    let end = walship_wal::create_first_segment(&config).unwrap();
    let writer = WalWriter::start(config, end).unwrap();
    let (_, end) = append(&writer, b"commit with synchronous_commit = off");
    let deadline = Instant::now() + Duration::from_secs(20);
    let outcome = writer.positions().flush.wait_blocking(end, Some(deadline), || false);
    assert_eq!(outcome, walship_wal::WaitOutcome::Reached);
}

#[test]
fn too_long_a_payload_is_refused() {
    let (_, writer) = start(&SimDisk::new(1));
    let error = writer.append(RecordKind::Pages, &[&payload(1, 4 << 20), b"x"]).unwrap_err();
    assert!(matches!(error, WalError::PayloadTooLong { len: 4_194_305, max: 4_194_304 }));
}
