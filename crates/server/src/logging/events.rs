use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use walship_types::Timestamp;

use super::line::{Parts, severity};

/// How many of the last events are kept: an hour of a node on which much happens.
const EVENTS_MAX: usize = 200;
/// Kinds of events that are counted one by one. Their names are in our own code; no more than
/// these are ever kept, whatever becomes of it.
const KINDS_MAX: usize = 100;
/// Longest text that is kept of an event, in bytes.
const TEXT_BYTES_MAX: usize = 500;

/// Something that an operator wants to know of: a log line that has an `event` field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Counts events since the process started, from 1.
    pub number: u64,
    /// When it was.
    pub at: Timestamp,
    /// The word in the `event` field: `checkpoint`, `slot_lost`...
    pub kind: String,
    /// `LOG`, `WARNING` or `ERROR`.
    pub severity: &'static str,
    /// The log line's words.
    pub text: String,
}

/// The last events, and how many there were of each kind, since the process started.
#[derive(Debug, Default)]
pub struct EventLog {
    // protects the events and their counts; held for a copy
    kept: Mutex<Kept>,
    errors: AtomicU64,
    warnings: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    number: u64,
    last: VecDeque<LoggedEvent>,
    counts: BTreeMap<String, u64>,
}

impl EventLog {
    /// Those after a number, oldest first, as far as they are kept.
    pub fn after(&self, number: u64) -> Vec<LoggedEvent> {
        self.kept.lock().last.iter().filter(|event| event.number > number).cloned().collect()
    }

    /// How many there were of each kind.
    pub fn counts(&self) -> Vec<(String, u64)> {
        self.kept.lock().counts.iter().map(|(kind, count)| (kind.clone(), *count)).collect()
    }

    /// Log lines of the level `ERROR`, and of `WARNING`, whether they were written or not.
    pub fn complaints(&self) -> (u64, u64) {
        (self.errors.load(Ordering::Relaxed), self.warnings.load(Ordering::Relaxed))
    }

    fn add(&self, kind: &str, severity: &'static str, mut text: String) {
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        let mut kept = self.kept.lock();
        kept.number += 1;
        let number = kept.number;
        if kept.counts.len() < KINDS_MAX || kept.counts.contains_key(kind) {
            *kept.counts.entry(kind.to_owned()).or_default() += 1;
        }
        if kept.last.len() == EVENTS_MAX {
            kept.last.pop_front();
        }
        let at = Timestamp::now();
        kept.last.push_back(LoggedEvent { number, at, kind: kind.to_owned(), severity, text });
    }
}

/// Puts events into an [`EventLog`] while they are logged.
pub(super) struct Collect(pub(super) Arc<EventLog>);

impl<S: Subscriber> Layer<S> for Collect {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let level = *event.metadata().level();
        match level {
            Level::ERROR => self.0.errors.fetch_add(1, Ordering::Relaxed),
            Level::WARN => self.0.warnings.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        if event.metadata().fields().field("event").is_none() {
            return;
        }
        let mut parts = Parts::default();
        event.record(&mut parts);
        if let Some(kind) = &parts.event {
            self.0.add(kind, severity(level), parts.text());
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn the_last_events_stay_and_all_are_counted() {
        let log = Arc::new(EventLog::default());
        let subscriber = tracing_subscriber::registry().with(Collect(Arc::clone(&log)));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(event = "slot_lost", slot = "east", "replication slot lost its log");
            tracing::error!("not an event");
            for _ in 0..EVENTS_MAX {
                tracing::info!(
                    event = "checkpoint",
                    redo = "0/10",
                    "checkpoint complete {}",
                    "x".repeat(600)
                );
            }
        });
        assert_eq!(log.counts(), [("checkpoint".to_owned(), EVENTS_MAX as u64), ("slot_lost".to_owned(), 1)]);
        assert_eq!(log.complaints(), (1, 1));
        let kept = log.after(0);
        assert_eq!(kept.len(), EVENTS_MAX);
        assert!(kept.iter().all(|event| event.kind == "checkpoint" && event.text.len() == TEXT_BYTES_MAX));
        assert_eq!(log.after(EVENTS_MAX as u64).len(), 1);
    }
}
