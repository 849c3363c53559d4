use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in microseconds, included: from a flush that a disk's cache
/// answers to one that hangs. What is longer goes into a bucket of its own.
const BOUNDS_MICROS: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000, 30_000_000,
];
const BUCKETS: usize = BOUNDS_MICROS.len() + 1;

/// How long something took, each time: counted in buckets while it goes on, from any thread.
#[derive(Debug, Default)]
pub struct DurationHistogram {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

/// What a [`DurationHistogram`] had counted at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Durations {
    buckets: [u64; BUCKETS],
    /// All of them together.
    pub sum: Duration,
}

impl DurationHistogram {
    /// Counts one. Two additions, no lock.
    pub fn observe(&self, took: Duration) {
        let bucket = BOUNDS_MICROS.partition_point(|&bound| Duration::from_micros(bound) < took);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What has been counted so far.
    pub fn get(&self) -> Durations {
        Durations {
            buckets: std::array::from_fn(|i| {
                self.buckets.get(i).map_or(0, |bucket| bucket.load(Ordering::Relaxed))
            }),
            sum: Duration::from_nanos(self.nanos.load(Ordering::Relaxed)),
        }
    }
}

impl Durations {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// For each bound, in increasing order, how many took no longer.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        let bounds = BOUNDS_MICROS.iter().map(|&micros| Duration::from_micros(micros));
        bounds.zip(self.buckets.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_once_at_its_bound() {
        let histogram = DurationHistogram::default();
        for micros in [0, 50, 51, 1_000, 31_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let counted = histogram.get();
        assert_eq!(counted.count(), 5);
        assert_eq!(counted.sum, Duration::from_micros(31_001_101));
        let at = |micros| counted.cumulative().find(|(bound, _)| *bound == Duration::from_micros(micros));
        assert_eq!(at(50).map(|(_, count)| count), Some(2));
        assert_eq!(at(100).map(|(_, count)| count), Some(3));
        assert_eq!(at(1_000).map(|(_, count)| count), Some(4));
        // the last is beyond every bound
        assert_eq!(counted.cumulative().last().map(|(_, count)| count), Some(4));
    }
}
