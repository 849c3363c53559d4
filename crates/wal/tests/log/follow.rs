//! A follower's log is the leader's, byte for byte, across restarts and timelines.

use crate::scene::{MIB, append, config, payload, read_all, start};
use walship_disk::SimDisk;
use walship_types::{Lsn, SystemId, TimelineId};
use walship_wal::{
    CleanEnd, WalConfig, WalError, WalSink, WalSource, WalWriter, clean_tail, create_timeline_branch,
    recover, write_history,
};

fn ship(source: &WalSource, sink: &mut WalSink, upto: Lsn, step: usize) {
    while sink.position() < upto {
        let bytes = source.read(sink.position(), step, upto).unwrap();
        assert!(!bytes.is_empty());
        sink.write(sink.position(), &bytes).unwrap();
    }
    sink.flush().unwrap();
}

#[test]
fn bytes_arrive_as_they_are_and_a_restart_goes_on_from_the_last_record() {
    let (_, leader) = start(&SimDisk::new(1));
    for n in 0..20 {
        append(&leader, &payload(n, 150_000));
    }
    let end = leader.positions().insert.get();
    leader.flush(end).unwrap();

    let disk = SimDisk::new(2);
    let follower = config(&disk);
    let mut sink = WalSink::open(follower.clone(), Lsn(MIB)).unwrap();
    // stops within a record
    ship(&leader.source(), &mut sink, Lsn(2 * MIB + 12_345), 1000);
    let unflushed = leader.source().read(sink.position(), 5000, end).unwrap();
    sink.write(sink.position(), &unflushed).unwrap();
    drop(sink);
    disk.power_loss();

    let found = recover(&follower, Lsn(MIB), Lsn::INVALID).unwrap();
    let clean = clean_tail(&follower, &found).unwrap();
    assert!(clean.position <= Lsn(2 * MIB + 12_345) && clean.position > Lsn(2 * MIB - 200_000));
    let mut sink = WalSink::open(follower.clone(), clean.position).unwrap();
    ship(&leader.source(), &mut sink, end, 128 << 10);
    assert!(matches!(sink.write(Lsn(5), b"x"), Err(WalError::NotContiguous { .. })));
    let (theirs, _) = read_all(&mut leader.source().reader(Lsn(MIB)));
    let (ours, at) = read_all(&mut sink.source().reader(Lsn(MIB)));
    assert_eq!(theirs.len(), ours.len());
    assert!(theirs.iter().zip(&ours).all(|(a, b)| a.payload == b.payload && a.lsn == b.lsn));
    assert_eq!(at.at, end);
}

#[test]
fn another_clusters_bytes_are_refused_with_both_identifiers() {
    let (_, leader) = start(&SimDisk::new(1));
    let (_, end) = append(&leader, b"theirs");
    leader.flush(end).unwrap();
    let own = WalConfig { system_id: SystemId(8), ..config(&SimDisk::new(2)) };
    let mut sink = WalSink::open(own, Lsn(MIB)).unwrap();
    let bytes = leader.source().read(Lsn(MIB), 1000, end).unwrap();
    let error = sink.write(Lsn(MIB), &bytes).unwrap_err();
    assert!(error.to_string().ends_with("segment belongs to system identifier 7, expected 8"), "{error}");
    assert_eq!(sink.position(), Lsn(MIB));
}

#[test]
fn a_follower_does_not_begin_within_a_segment_that_it_does_not_have() {
    let error = WalSink::open(config(&SimDisk::new(1)), Lsn(MIB + 64)).unwrap_err();
    assert!(matches!(error, WalError::StartsWithinMissingSegment { .. }), "{error}");
}

fn clean(config: &WalConfig, flushed: Lsn) -> CleanEnd {
    let found = recover(config, Lsn(MIB), flushed).unwrap();
    clean_tail(config, &found).unwrap()
}

#[test]
fn a_promotion_branches_off_and_another_follower_goes_along() {
    let (_, leader) = start(&SimDisk::new(1));
    for n in 0..10 {
        append(&leader, &payload(n, 150_000));
    }
    let end = leader.positions().insert.get();
    leader.flush(end).unwrap();
    let (promoted, other) = (config(&SimDisk::new(2)), config(&SimDisk::new(3)));
    let mut sink = WalSink::open(promoted.clone(), Lsn(MIB)).unwrap();
    let mut second = WalSink::open(other.clone(), Lsn(MIB)).unwrap();
    ship(&leader.source(), &mut sink, end, 4096);
    ship(&leader.source(), &mut second, end, 4096);
    sink.close().unwrap();

    let history = promoted.history.branch(TimelineId(2), end, "test");
    let at = clean(&promoted, end);
    write_history(&*promoted.disk, &promoted.dir, &history).unwrap();
    create_timeline_branch(&promoted, &history, end).unwrap();
    let promoted = WalConfig { history: history.clone(), ..promoted };
    let writer = WalWriter::start(promoted.clone(), at).unwrap();
    for n in 100..110 {
        append(&writer, &payload(n, 150_000));
    }
    let new_end = writer.positions().insert.get();
    writer.flush(new_end).unwrap();

    second.switch_timeline(history.clone()).unwrap();
    ship(&writer.source(), &mut second, new_end, 4096);
    drop(writer);
    let other = WalConfig { history, ..other };
    for config in [&promoted, &other] {
        let (records, at) = read_all(&mut WalSource::offline(config.clone()).reader(Lsn(MIB)));
        assert_eq!(at.at, new_end);
        let timelines: Vec<_> = records.iter().map(|r| r.timeline.0).collect();
        assert_eq!(timelines, [[1; 10], [2; 10]].concat());
        assert!(records[10].payload == payload(100, 150_000));
        assert_eq!(recover(config, Lsn(2 * MIB), new_end).unwrap().end.at, new_end);
    }
}

#[test]
fn a_switch_elsewhere_is_refused() {
    let (_, leader) = start(&SimDisk::new(1));
    let (_, end) = append(&leader, b"one");
    leader.flush(end).unwrap();
    let own = config(&SimDisk::new(2));
    let mut sink = WalSink::open(own.clone(), Lsn(MIB)).unwrap();
    ship(&leader.source(), &mut sink, end, 4096);
    let history = own.history.branch(TimelineId(2), Lsn(end.0 - 8), "test");
    let error = sink.switch_timeline(history).unwrap_err();
    assert!(matches!(error, WalError::SwitchElsewhere { .. }), "{error}");
}
