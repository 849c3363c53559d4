use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use walship_engine::EngineError;
use walship_node::{ControlState, NodeError, RetentionInput, retention};
use walship_settings::Typed as _;
use walship_types::{Lsn, Timestamp};

use super::log::NodeLog;
use super::node::{Node, control_database};

/// How often the checkpointer looks at the log's size.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Requests to the checkpointer, and how far it is.
#[derive(Debug, Default)]
pub(crate) struct CheckpointRequests {
    // protects the counters below; held to change them
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    requested: u64,
    completed: u64,
    /// Why the last one failed, if it did.
    error: Option<String>,
    stop: bool,
}

impl CheckpointRequests {
    /// Asks for a checkpoint that begins after this call, and waits for it.
    pub(crate) fn request_and_wait(&self) -> Result<(), String> {
        let mut state = self.state.lock();
        state.requested += 1;
        let wanted = state.requested;
        self.changed.notify_all();
        while state.completed < wanted && !state.stop {
            self.changed.wait(&mut state);
        }
        match (&state.error, state.completed >= wanted) {
            (Some(error), true) => Err(error.clone()),
            (None, true) => Ok(()),
            (_, false) => Err("the server is shutting down".to_owned()),
        }
    }

    /// Ends the checkpointer.
    pub(crate) fn stop(&self) {
        self.state.lock().stop = true;
        self.changed.notify_all();
    }

    /// Waits for a request, the end of `timeout`, or the stop. `None` is the stop,
    /// else the number of the last request and whether it is new.
    fn wait(&self, timeout: Duration) -> Option<(u64, bool)> {
        let mut state = self.state.lock();
        if !state.stop && state.completed >= state.requested {
            self.changed.wait_for(&mut state, timeout);
        }
        (!state.stop).then_some((state.requested, state.requested > state.completed))
    }

    fn complete(&self, number: u64, error: Option<String>) {
        let mut state = self.state.lock();
        state.completed = state.completed.max(number);
        state.error = error;
        self.changed.notify_all();
    }
}

/// Why a checkpoint did not come about; the redo point before it stays in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckpointError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// Starts the thread that makes a leader's checkpoints: every `checkpoint_timeout`
/// if something was written, earlier when half of `max_wal_size` was, and on
/// request. On a follower replay makes restartpoints; this only lets go of log.
pub(crate) fn start_checkpointer(node: Arc<Node>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("checkpointer".to_owned()).spawn(move || {
        let mut last = Instant::now();
        while let Some((number, requested)) = node.checkpoints.wait(LOOK_INTERVAL) {
            if !requested && !is_due(&node, last) {
                continue;
            }
            let counter =
                if requested { &node.checkpoint_counts.requested } else { &node.checkpoint_counts.timed };
            counter.fetch_add(1, Ordering::Relaxed);
            let begun = Instant::now();
            let made =
                if node.is_follower() { release_log(&node).map(|_| ()) } else { checkpoint(&node, false) };
            if let Err(error) = &made {
                tracing::error!(%error, "checkpoint failed; the redo point before it stays in force");
            }
            let micros = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
            node.checkpoint_counts.micros.fetch_add(micros, Ordering::Relaxed);
            last = Instant::now();
            node.checkpoints.complete(number, made.err().map(|error| error.to_string()));
        }
    })
}

fn is_due(node: &Node, last: Instant) -> bool {
    let settings = node.settings();
    let redo = node.control.get().redo;
    let log = node.log();
    let written = log.positions().insert.get().saturating_distance_from(redo);
    let timeout = settings.duration("checkpoint_timeout");
    // a checkpoint's own record is no reason for the next one
    let something_new = log.positions().insert.get() > node.control.get().known_flush;
    (last.elapsed() >= timeout && something_new) || written >= settings.bytes("max_wal_size") / 2
}

/// Makes a checkpoint on a leader, and lets go of log that nobody needs.
pub(crate) fn checkpoint(node: &Node, shutdown: bool) -> Result<(), CheckpointError> {
    let begun = Instant::now();
    let done = node.databases.checkpoint(shutdown)?;
    node.slots.save_all()?;
    let timeline = node.log().history().timeline;
    node.control.update(|control| {
        control.state = if shutdown { ControlState::ShutDown } else { ControlState::InProduction };
        control.timeline = timeline;
        control.redo = done.redo;
        control.checkpoint = done.checkpoint;
        control.checkpoint_time = done.time;
        control.minimum_recovery = Lsn::INVALID;
        control.known_flush = done.end;
        control.next_database_id = done.next_database_id;
        control.databases = done.databases.iter().map(control_database).collect();
    })?;
    let removed = release_log(node)?;
    let millis = begun.elapsed().as_millis();
    tracing::info!(event = "checkpoint", redo = %done.redo, lsn = %done.checkpoint, removed, millis, "checkpoint complete");
    Ok(())
}

/// Removes or recycles segments that nobody needs; how many.
pub(crate) fn release_log(node: &Node) -> Result<usize, CheckpointError> {
    let settings = node.settings();
    let log = node.log();
    let keep = retention(&RetentionInput {
        redo: node.control.get().redo,
        current: log.positions().insert.get(),
        slots: node.slots.oldest_restart_lsn(),
        connections: node.senders.oldest_needed(),
        keep_bytes: settings.bytes("wal_keep_size"),
        slot_keep_bytes_max: settings.bytes_limit("max_slot_wal_keep_size"),
        segment_size: node.segment_size,
    });
    if let Some(before) = keep.slots_lost_before {
        for slot in node.slots.invalidate_before(before)? {
            tracing::warn!(
                event = "slot_lost", slot = %slot.name, restart_lsn = %slot.restart_lsn, kept_from = %before,
                "replication slot lost the log that it needs: it would have kept more than max_slot_wal_keep_size"
            );
        }
    }
    let from = node.segment_size.start_of(keep.keep_from);
    Ok(log.recycle_before(from).map_err(NodeError::from)?)
}

/// Tells the control file that the node runs in its role; replay after a crash
/// starts from the same place as before.
pub(crate) fn note_running(node: &Node) -> Result<(), NodeError> {
    let state = match node.log() {
        NodeLog::Leader(_) => ControlState::InProduction,
        NodeLog::Follower(_) => ControlState::InRecovery,
    };
    node.control.update(|control| {
        control.state = state;
        if !control.checkpoint.is_valid() {
            control.checkpoint_time = Timestamp::now();
        }
    })
}
