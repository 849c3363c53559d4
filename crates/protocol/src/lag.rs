use std::collections::VecDeque;
use std::time::{Duration, Instant};

use walship_types::Lsn;

use crate::PeerPositions;

/// Most positions whose time is remembered, as many as PostgreSQL's `LAG_TRACKER_BUFFER_SIZE`: 192 KiB for a receiver
/// that far behind.
const SAMPLES_MAX: usize = 8192;

/// How long after it was durable at the sender the log was written, durable and visible at the receiver; `None` where
/// nothing was measured lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lags {
    /// `pg_stat_replication.write_lag`.
    pub write: Option<Duration>,
    /// `pg_stat_replication.flush_lag`.
    pub flush: Option<Duration>,
    /// `pg_stat_replication.replay_lag`.
    pub replay: Option<Duration>,
}

/// Measures a receiver's lag as PostgreSQL's `LagTrackerWrite` and `LagTrackerRead` do: the sender notes when which
/// position was durable, and each report reads the time of the last position that it has passed. By a monotonic
/// clock, so that one that is set changes nothing.
#[derive(Debug, Default)]
pub struct LagTracker {
    /// Not passed by all of the three yet, in order.
    samples: VecDeque<Sample>,
    /// How many samples were let go of before the first in `samples`.
    forgotten: u64,
    /// The last position noted.
    noted: Lsn,
    write: Head,
    flush: Head,
    replay: Head,
    lags: Lags,
    fully_replayed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    lsn: Lsn,
    at: Instant,
}

/// One of the three that read the samples.
#[derive(Debug, Default)]
struct Head {
    /// How many samples it has passed, since the beginning.
    passed: u64,
    /// The last one, until the receiver has everything.
    last: Option<Sample>,
}

impl LagTracker {
    /// The log is durable up to `lsn`, as of now.
    pub fn note(&mut self, lsn: Lsn, now: Instant) {
        if lsn == self.noted {
            return;
        }
        self.noted = lsn;
        let sample = Sample { lsn, at: now };
        let full = self.samples.len() >= SAMPLES_MAX;
        match self.samples.back_mut().filter(|_| full) {
            // a coarser last step, rather than more memory
            Some(last) => *last = sample,
            None => self.samples.push_back(sample),
        }
    }

    /// A report came, of a receiver that was sent the log up to `sent`.
    ///
    /// The second report in a row that says that everything is visible comes because time has passed, not because
    /// something moved: what was measured before says nothing about now, and is taken back.
    pub fn reported(&mut self, peer: &PeerPositions, sent: Lsn, now: Instant) {
        let (samples, forgotten) = (&self.samples, self.forgotten);
        let write = self.write.read(samples, forgotten, peer.write, now);
        let flush = self.flush.read(samples, forgotten, peer.flush, now);
        let replay = self.replay.read(samples, forgotten, peer.apply, now);
        let idle = peer.apply == sent && self.fully_replayed;
        self.fully_replayed = peer.apply == sent;
        let lags = &mut self.lags;
        for (lag, read) in [(&mut lags.write, write), (&mut lags.flush, flush), (&mut lags.replay, replay)] {
            if read.is_some() || idle {
                *lag = read;
            }
        }
        let passed_by_all = self.write.passed.min(self.flush.passed).min(self.replay.passed);
        while self.forgotten < passed_by_all && self.samples.pop_front().is_some() {
            self.forgotten += 1;
        }
    }

    /// What was measured last.
    pub fn lags(&self) -> Lags {
        self.lags
    }
}

impl Head {
    /// The lag of a receiver that is at `lsn`; `None` if that cannot be told.
    fn read(
        &mut self,
        samples: &VecDeque<Sample>,
        forgotten: u64,
        lsn: Lsn,
        now: Instant,
    ) -> Option<Duration> {
        let mut crossed = None;
        let next = loop {
            let index = usize::try_from(self.passed.saturating_sub(forgotten)).ok()?;
            match samples.get(index).copied() {
                Some(sample) if sample.lsn <= lsn => {
                    (crossed, self.last) = (Some(sample.at), Some(sample));
                    self.passed += 1;
                }
                next => break next,
            }
        };
        if next.is_none() {
            self.last = None;
        }
        let durable_at = match (crossed, next, self.last) {
            (Some(at), ..) => at,
            (None, None, _) => return None,
            // one that stands still lags more and more, without crossing anything
            (None, Some(next), Some(last)) => between(last, next, lsn)?,
            // a burst after a rest, of which nothing has arrived
            (None, Some(next), None) => next.at,
        };
        Some(now.saturating_duration_since(durable_at))
    }
}

/// When `lsn` was durable, if the log grew evenly between two samples. `None` for a position that went back, as one
/// may at a change of timelines.
fn between(last: Sample, next: Sample, lsn: Lsn) -> Option<Instant> {
    if lsn < last.lsn {
        return None;
    }
    let (done, all) =
        (lsn.saturating_distance_from(last.lsn), next.lsn.saturating_distance_from(last.lsn).max(1));
    let time = next.at.saturating_duration_since(last.at);
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let fraction = done as f64 / all as f64;
    Some(last.at + time.mul_f64(fraction.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(lsn: u64) -> PeerPositions {
        PeerPositions { write: Lsn(lsn + 2), flush: Lsn(lsn + 1), apply: Lsn(lsn) }
    }

    fn all(lsn: u64) -> PeerPositions {
        PeerPositions { write: Lsn(lsn), flush: Lsn(lsn), apply: Lsn(lsn) }
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn each_position_has_the_lag_of_what_it_has_passed() {
        let start = Instant::now();
        let mut tracker = LagTracker::default();
        tracker.note(Lsn(100), start);
        tracker.note(Lsn(101), start + ms(10));
        tracker.note(Lsn(102), start + ms(20));
        tracker.reported(&at(100), Lsn(102), start + ms(50));
        let lags = tracker.lags();
        assert_eq!((lags.write, lags.flush, lags.replay), (Some(ms(30)), Some(ms(40)), Some(ms(50))));
    }

    #[test]
    fn an_idle_receiver_has_none() {
        let start = Instant::now();
        let mut tracker = LagTracker::default();
        tracker.reported(&all(50), Lsn(50), start);
        assert_eq!(tracker.lags(), Lags::default());
        tracker.note(Lsn(100), start);
        tracker.reported(&all(100), Lsn(100), start + ms(1));
        assert_eq!(tracker.lags().replay, Some(ms(1)));
        // the same again: it has had nothing to do
        tracker.reported(&all(100), Lsn(100), start + ms(10_000));
        assert_eq!(tracker.lags(), Lags::default());
        assert_eq!(tracker.samples.len(), 0);
    }

    #[test]
    fn one_that_stands_still_lags_more_and_more() {
        let start = Instant::now();
        let mut tracker = LagTracker::default();
        tracker.note(Lsn(100), start);
        tracker.reported(&all(100), Lsn(200), start + ms(1));
        tracker.note(Lsn(200), start + ms(100));
        // nothing of the new burst has arrived: as if it did just now
        tracker.reported(&all(100), Lsn(200), start + ms(150));
        assert_eq!(tracker.lags().replay, Some(ms(50)));
        tracker.note(Lsn(300), start + ms(200));
        tracker.reported(&all(200), Lsn(300), start + ms(250));
        assert_eq!(tracker.lags().replay, Some(ms(150)));
        // half of the way between two samples
        tracker.reported(&all(250), Lsn(300), start + ms(1150));
        assert_eq!(tracker.lags().replay, Some(ms(1000)));
        tracker.reported(&all(250), Lsn(300), start + ms(2150));
        assert_eq!(tracker.lags().replay, Some(ms(2000)));
        // a position that goes back says nothing
        tracker.reported(&all(150), Lsn(300), start + ms(3150));
        assert_eq!(tracker.lags().replay, Some(ms(2000)));
    }

    #[test]
    fn memory_is_bounded_and_the_end_stays_right() {
        let start = Instant::now();
        let mut tracker = LagTracker::default();
        for lsn in 1..=20_000 {
            tracker.note(Lsn(lsn), start + ms(lsn));
        }
        assert_eq!(tracker.samples.len(), SAMPLES_MAX);
        tracker.reported(&all(20_000), Lsn(20_000), start + ms(20_005));
        assert_eq!(tracker.lags().flush, Some(ms(5)));
        assert_eq!(tracker.samples.len(), 0);
    }
}
