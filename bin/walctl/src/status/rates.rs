use std::collections::HashMap;
use std::time::Instant;

use serde_json::Value;
use walship_types::Lsn;

use super::query::{lsn, text};

/// What nodes said the time before, from which rates are made.
#[derive(Debug, Default)]
pub(super) struct Rates {
    last: HashMap<String, Sample>,
    now: HashMap<String, Rate>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    log: Lsn,
    replay: Option<Lsn>,
    commits: u64,
}

/// How fast a node goes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rate {
    /// Log written or received, bytes in each second.
    pub(super) log: f64,
    /// Log replayed, on a follower.
    pub(super) replay: Option<f64>,
    /// Commits logged, in each second.
    pub(super) commits: f64,
}

impl Rates {
    /// Takes in what the nodes say now.
    pub(super) fn take_in(&mut self, nodes: &[Value], at: Instant) {
        self.now.clear();
        for node in nodes {
            let (Some(server), Some(sample)) = (text(node, "server"), sample(node, at)) else { continue };
            if let Some(before) = self.last.insert(server.to_owned(), sample) {
                self.now.insert(server.to_owned(), between(&before, &sample));
            }
        }
    }

    /// Of a node; `None` after its first answer.
    pub(super) fn of(&self, server: &str) -> Option<Rate> {
        self.now.get(server).copied()
    }
}

fn sample(node: &Value, at: Instant) -> Option<Sample> {
    let positions = node.get("positions");
    let log = lsn(positions, "flush_lsn").or_else(|| lsn(positions, "receive_lsn"))?;
    let databases = node.get("databases").and_then(Value::as_array).into_iter().flatten();
    let commits = databases.filter_map(|database| text(database, "commits")?.parse::<u64>().ok()).sum();
    Some(Sample { at, log, replay: lsn(positions, "replay_lsn"), commits })
}

fn between(before: &Sample, now: &Sample) -> Rate {
    let seconds = now.at.saturating_duration_since(before.at).as_secs_f64();
    let per_second = |amount: u64| if seconds > 0.0 { amount as f64 / seconds } else { 0.0 };
    let replay = now.replay.zip(before.replay);
    Rate {
        log: per_second(now.log.saturating_distance_from(before.log)),
        replay: replay.map(|(now, before)| per_second(now.saturating_distance_from(before))),
        commits: per_second(now.commits.saturating_sub(before.commits)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn rates_are_between_two_answers() {
        let node = |flush: &str, commits: &str| {
            [json!({"server": "a:1", "positions": {"flush_lsn": flush}, "databases": [{"commits": commits}]})]
        };
        let (mut rates, start) = (Rates::default(), Instant::now());
        rates.take_in(&node("0/1000", "5"), start);
        assert_eq!(rates.of("a:1"), None);
        rates.take_in(&node("0/3000", "9"), start + Duration::from_secs(2));
        assert_eq!(rates.of("a:1"), Some(Rate { log: 4096.0, replay: None, commits: 2.0 }));
        // a node that was restarted counts anew
        rates.take_in(&node("0/3000", "1"), start + Duration::from_secs(3));
        assert_eq!(rates.of("a:1").unwrap().commits, 0.0);
    }
}
