use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::MonitoringSource;
use super::history::{History, SAMPLE_INTERVAL};
use super::reading::Reading;
use crate::logging::EventLog;

/// What there is to see of a node: it exists before the node does, and says so.
pub struct Board {
    events: Arc<EventLog>,
    history: History,
    source: OnceLock<Arc<dyn MonitoringSource>>,
    // protects why nobody should come; held for a copy
    not_ready: Mutex<Option<&'static str>>,
}

impl Board {
    /// Of a node that starts.
    pub fn new(events: Arc<EventLog>) -> Arc<Board> {
        Arc::new(Board {
            events,
            history: History::default(),
            source: OnceLock::new(),
            not_ready: Mutex::new(Some("the node is starting up")),
        })
    }

    /// The node has recovered: there is something to see.
    pub fn show(&self, source: Arc<dyn MonitoringSource>) {
        // a node is made once in a process
        let _ = self.source.set(source);
    }

    /// It accepts connections from now on.
    pub fn ready(&self) {
        *self.not_ready.lock() = None;
    }

    /// It stops.
    pub fn stopping(&self) {
        *self.not_ready.lock() = Some("the node is shutting down");
    }

    pub(super) fn not_ready(&self) -> Option<&'static str> {
        *self.not_ready.lock()
    }

    pub(super) fn source(&self) -> Option<&Arc<dyn MonitoringSource>> {
        self.source.get()
    }

    pub(super) fn events(&self) -> &EventLog {
        &self.events
    }

    pub(super) fn history(&self) -> &History {
        &self.history
    }

    /// Notes how the node is, again and again.
    pub(super) async fn keep_history(self: Arc<Board>) {
        let mut times = tokio::time::interval(SAMPLE_INTERVAL);
        times.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            times.tick().await;
            if let Some(source) = self.source.get() {
                self.history.add(&Reading::take(source.as_ref()));
            }
        }
    }
}
