use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::reading::Reading;

/// From one sample to the next.
pub(super) const SAMPLE_INTERVAL: Duration = Duration::from_secs(2);
/// An hour of them.
const SAMPLES_MAX: usize = 1800;
/// Followers and slots of which the lag is kept. A page cannot show more; metrics have all.
const NAMES_MAX: usize = 16;

/// How the node was, for the page: what somebody who looks now has missed.
#[derive(Debug, Default)]
pub(super) struct History {
    // protects the samples; held for a copy
    samples: Mutex<Samples>,
}

#[derive(Debug, Default)]
struct Samples {
    number: u64,
    kept: VecDeque<Sample>,
}

/// The node at one moment, as far as it is plotted.
#[derive(Debug, Clone)]
struct Sample {
    number: u64,
    unix_ms: i64,
    /// End of the log, in bytes since 0/0.
    end: u64,
    lag_bytes: u64,
    lag_seconds: Option<f64>,
    commits: u64,
    flushes: u64,
    flush_seconds: f64,
    /// Of each follower: bytes that it has not replayed, and its replay lag.
    followers: Vec<(String, u64, f64)>,
    /// Of each slot: log that it keeps.
    slots: Vec<(String, u64)>,
}

impl History {
    pub(super) fn add(&self, reading: &Reading) {
        let mut sample = Sample::of(reading);
        let mut samples = self.samples.lock();
        samples.number += 1;
        sample.number = samples.number;
        if samples.kept.len() == SAMPLES_MAX {
            samples.kept.pop_front();
        }
        samples.kept.push_back(sample);
    }

    /// Those after a number, oldest first.
    pub(super) fn after(&self, number: u64) -> Vec<Value> {
        let kept: Vec<Sample> =
            self.samples.lock().kept.iter().filter(|sample| sample.number > number).cloned().collect();
        kept.iter().map(Sample::json).collect()
    }
}

impl Sample {
    fn of(reading: &Reading) -> Sample {
        let end = reading.end_of_log();
        let mut followers: Vec<(String, u64, f64)> = Vec::new();
        for row in reading.replication.iter().filter(|row| row.replay.is_some()).take(NAMES_MAX) {
            let behind = row.replay.map_or(0, |replay| end.saturating_distance_from(replay));
            let seconds = row.replay_lag.unwrap_or_default().as_secs_f64();
            // the worst of those that share a name, as in the metrics
            match followers.iter_mut().find(|(name, ..)| *name == row.application_name) {
                Some(known) => (known.1, known.2) = (known.1.max(behind), known.2.max(seconds)),
                None => followers.push((row.application_name.clone(), behind, seconds)),
            }
        }
        let slots = reading.slots.iter().take(NAMES_MAX);
        Sample {
            number: 0,
            unix_ms: reading.at.unix_micros() / 1000,
            end: end.0,
            lag_bytes: reading.replay_lag_bytes(),
            lag_seconds: reading.replay_lag_seconds(),
            commits: reading.databases.iter().map(|row| row.logged_commits).sum(),
            flushes: reading.wal.syncs.count(),
            flush_seconds: reading.wal.syncs.sum.as_secs_f64(),
            followers,
            slots: slots
                .filter_map(|slot| Some((slot.name.clone(), reading.retained_bytes(slot)?)))
                .collect(),
        }
    }

    fn json(&self) -> Value {
        let followers: Map<String, Value> =
            self.followers.iter().map(|(name, bytes, s)| (name.clone(), json!([bytes, s]))).collect();
        let slots: Map<String, Value> =
            self.slots.iter().map(|(name, bytes)| (name.clone(), json!(bytes))).collect();
        json!({
            "number": self.number,
            "unix_ms": self.unix_ms,
            "end": self.end,
            "lag_bytes": self.lag_bytes,
            "lag_seconds": self.lag_seconds,
            "commits": self.commits,
            "flushes": self.flushes,
            "flush_seconds": self.flush_seconds,
            "followers": followers,
            "slots": slots,
        })
    }
}
