//! Random work, cut by power losses at random moments: every flushed record survives,
//! nothing that was never appended appears, nothing comes back.

use crate::scene::{MIB, append, config, payload, read_all};
use proptest::prelude::*;
use walship_disk::{Disk, SimDisk, SimFaults};
use walship_types::{Lsn, SegmentNo};
use walship_wal::{
    CleanEnd, RecordKind, WalConfig, WalSink, WalSource, WalWriter, clean_tail, create_first_segment, recover,
};

#[derive(Debug, Clone)]
enum Step {
    /// Few sizes: an old record behind a lost one is only mistaken for a new one's
    /// successor if the new one is as long.
    Append(usize),
    Flush,
    Switch,
    Recycle,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => prop_oneof![Just(100usize), Just(600), Just(3000)].prop_map(Step::Append),
        1 => (1usize..1_500_000).prop_map(Step::Append),
        4 => Just(Step::Flush),
        1 => Just(Step::Switch),
        1 => Just(Step::Recycle),
    ]
}

/// What must be and what may be in the log.
struct Model {
    appended: Vec<(Lsn, Lsn, Vec<u8>)>,
    flushed: Lsn,
    /// Start of the oldest segment that was not given up.
    oldest: Lsn,
    seed: u64,
}

impl Model {
    /// Works until all steps are done or the power goes off.
    fn work(&mut self, writer: &WalWriter, steps: &[Step]) {
        for step in steps {
            let go_on = match step {
                Step::Append(len) => {
                    self.seed += 1;
                    let bytes = payload(self.seed, *len);
                    let appended = writer.append(RecordKind::Pages, &[&bytes]);
                    appended.map(|span| self.appended.push((span.start, span.end, bytes)))
                }
                Step::Flush => {
                    let upto = writer.positions().insert.get();
                    writer.flush(upto).map(|()| self.flushed = upto)
                }
                Step::Switch => writer.switch_segment().map(drop),
                Step::Recycle => {
                    // given up from the moment that it is asked for, and by what is flushed
                    // then, which may be more than was asked to be
                    let recycled = writer.recycle_before(self.flushed);
                    self.oldest = Lsn(writer.oldest_segment().0 * MIB);
                    self.appended.retain(|(lsn, ..)| *lsn >= self.oldest);
                    recycled.map(drop)
                }
            };
            if go_on.is_err() {
                return;
            }
        }
    }

    /// Restarts after a power loss, checking what is there.
    fn restart(&mut self, config: &WalConfig) -> CleanEnd {
        let found = recover(config, self.oldest, self.flushed).expect("flushed records are there");
        let clean = clean_tail(config, &found).unwrap();
        let (records, end) = read_all(&mut WalSource::offline(config.clone()).reader(self.oldest));
        assert_eq!(end.at, clean.position);
        let pages = records.iter().filter(|r| r.kind == RecordKind::Pages);
        let there: Vec<_> = pages.map(|r| (r.lsn, r.end, r.payload.to_vec())).collect();
        assert!(there.len() <= self.appended.len(), "records that were never appended");
        self.appended.truncate(there.len());
        assert!(there == self.appended, "other records than were appended");
        self.flushed = clean.position;
        clean
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flushed_records_survive_and_nothing_else_appears(
        seed in any::<u64>(),
        lives in prop::collection::vec((prop::collection::vec(step(), 1..40), 0u64..60), 2..6),
    ) {
        let disk = SimDisk::new(seed);
        let config = config(&disk);
        let mut model = Model { appended: Vec::new(), flushed: Lsn(MIB), oldest: Lsn(MIB), seed: 0 };
        let mut end = create_first_segment(&config).unwrap();
        for (steps, changes) in lives {
            let faults = SimFaults { changes_before_power_off: Some(changes), ..Default::default() };
            let writer = WalWriter::start(config.clone(), end).unwrap();
            disk.set_faults(faults);
            model.work(&writer, &steps);
            // whatever is still going on happens without power
            disk.set_faults(SimFaults { changes_before_power_off: Some(0), ..Default::default() });
            drop(writer);
            disk.power_loss();
            end = model.restart(&config);
        }
    }
}

/// A record that was written but not flushed lies intact behind one that was lost; then
/// another one of the same length takes the lost one's place.
#[test]
fn an_old_record_behind_a_lost_one_does_not_come_back() {
    let mut cases = 0;
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let (config, writer) = crate::scene::start(&disk);
        // from here on each record is one sector: 64 + 32 + 416, then 32 + 480
        let (_, filler) = append(&writer, &payload(1, 416));
        writer.flush(filler).unwrap();
        writer.reserve(MIB).unwrap();
        disk.set_faults(SimFaults { changes_before_power_off: Some(1), ..Default::default() });
        let (lost, _) = append(&writer, &payload(2, 480));
        let (behind, end) = append(&writer, &payload(3, 480));
        assert!(writer.flush(end).is_err());
        drop(writer);
        disk.power_loss();

        let content = disk.read(&config.file_path(SegmentNo(1))).unwrap();
        let is_there = |lsn: Lsn| content[(lsn.0 - MIB) as usize..][..8] == lsn.0.to_le_bytes();
        if is_there(lost) || !is_there(behind) {
            continue;
        }
        cases += 1;
        let found = recover(&config, Lsn(MIB), filler).unwrap();
        let clean = clean_tail(&config, &found).unwrap();
        assert!(clean.zeroed_bytes > 0);
        let writer = WalWriter::start(config.clone(), clean).unwrap();
        let (lsn, end) = append(&writer, &payload(4, 480));
        assert_eq!(lsn, lost);
        writer.flush(end).unwrap();
        drop(writer);
        let again = recover(&config, Lsn(MIB), end).unwrap();
        assert_eq!((again.end.at, again.records), (end, 2), "the old record came back");
    }
    assert!(cases > 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// A follower that loses power again and again ends up with the leader's log.
    #[test]
    fn a_follower_keeps_what_it_flushed_and_catches_up(
        seed in any::<u64>(),
        lives in prop::collection::vec((0u64..80, 1usize..200_000), 1..6),
    ) {
        let (_, leader) = crate::scene::start(&SimDisk::new(seed));
        let ends: Vec<_> = (0..60).map(|n| append(&leader, &payload(n, 40_000)).1).collect();
        let end = ends[59];
        leader.flush(end).unwrap();
        let disk = SimDisk::new(seed);
        let config = config(&disk);
        let mut at = Lsn(MIB);
        for (changes, step) in lives {
            disk.set_faults(SimFaults { changes_before_power_off: Some(changes), ..Default::default() });
            let mut flushed = at;
            if let Ok(mut sink) = WalSink::open(config.clone(), at) {
                while sink.position() < end {
                    let bytes = leader.source().read(sink.position(), step, end).unwrap();
                    if sink.write(sink.position(), &bytes).and_then(|()| sink.flush()).is_err() {
                        break;
                    }
                    flushed = sink.position();
                }
            }
            disk.power_loss();
            // of the bytes that were flushed, the whole records
            let whole = ends.iter().copied().filter(|e| *e <= flushed).max().unwrap_or(Lsn(MIB));
            let found = recover(&config, Lsn(MIB), whole).unwrap();
            at = clean_tail(&config, &found).unwrap().position;
            prop_assert!(at >= whole && (at == Lsn(MIB) || ends.contains(&at)));
        }
        let mut sink = WalSink::open(config, at).unwrap();
        let rest = leader.source();
        while sink.position() < end {
            let bytes = rest.read(sink.position(), 1 << 20, end).unwrap();
            sink.write(sink.position(), &bytes).unwrap();
        }
        sink.flush().unwrap();
        let (ours, _) = read_all(&mut sink.source().reader(Lsn(MIB)));
        let (theirs, _) = read_all(&mut leader.source().reader(Lsn(MIB)));
        prop_assert_eq!(ours.len(), 60);
        prop_assert!(ours.iter().zip(&theirs).all(|(a, b)| a.payload == b.payload));
    }
}
