use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use walship_engine::redo::NoRestartpoint;
use walship_engine::{CheckpointDone, EngineError};
use walship_node::{ControlDatabase, ControlState, NodeError, RetentionInput, retention};
use walship_settings::Typed as _;
use walship_types::{Lsn, Timestamp};

use super::archiver::{SegmentAge, forget_removed, oldest_unarchived, tell_if_behind};
use super::log::{FollowerLog, NodeLog};
use super::node::Node;

/// How often the checkpointer looks at the log's size.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// The longest pause of a checkpoint that is spread over time, as PostgreSQL's.
const NAP_MAX: Duration = Duration::from_millis(100);

/// How long a restartpoint is waited for: replay may wait for another program's lock.
const RESTARTPOINT_WAIT: Duration = Duration::from_secs(60);

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
    /// The last request that is in a hurry.
    hurried: u64,
    /// Why the last one failed, if it did.
    error: Option<String>,
    stop: bool,
}

impl CheckpointRequests {
    /// Asks for a checkpoint that begins after this call, and waits for it. Unless it is
    /// `fast`, it is spread over time, until somebody is in a hurry.
    pub(crate) fn request_and_wait(&self, fast: bool) -> Result<(), String> {
        let mut state = self.state.lock();
        state.requested += 1;
        let wanted = state.requested;
        if fast {
            state.hurried = wanted;
        }
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

    /// Lets time pass until `due`, a nap at most, or until somebody is in a hurry.
    fn nap(&self, due: Instant) {
        let mut state = self.state.lock();
        if !state.stop && state.hurried <= state.completed {
            let until = due.min(Instant::now() + NAP_MAX);
            self.changed.wait_until(&mut state, until);
        }
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
    #[error(transparent)]
    Disk(#[from] walship_disk::DiskError),
    #[error(transparent)]
    Restartpoint(#[from] NoRestartpoint),
}

/// Starts the thread that makes a leader's checkpoints: every `checkpoint_timeout`
/// if something was written, earlier when half of `max_wal_size` was, and on
/// request. On a follower replay makes restartpoints; this only lets go of log.
pub(crate) fn start_checkpointer(node: Arc<Node>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("checkpointer".to_owned()).spawn(move || {
        let mut last = Instant::now();
        let mut segment_age = SegmentAge::default();
        while let Some((number, requested)) = node.checkpoints.wait(LOOK_INTERVAL) {
            segment_age.switch_if_due(&node);
            let due = if requested { None } else { why_due(&node, last) };
            if !requested && due.is_none() {
                continue;
            }
            let counter =
                if requested { &node.checkpoint_counts.requested } else { &node.checkpoint_counts.timed };
            counter.fetch_add(1, Ordering::Relaxed);
            let begun = Instant::now();
            let made = match node.log() {
                NodeLog::Leader(_) => spread(&node, due.as_ref()),
                NodeLog::Follower(log) => restartpoint(&node, &log, requested),
            };
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

/// What replay does by itself when it is due, if it was `requested`; and lets go of log.
fn restartpoint(node: &Node, log: &FollowerLog, requested: bool) -> Result<(), CheckpointError> {
    let replay = log.replay.as_ref().filter(|_| requested);
    if let Some(request) = replay.and_then(|replay| replay.request_restartpoint()) {
        request.wait(RESTARTPOINT_WAIT)?;
    }
    release_log(node).map(|_| ())
}

/// Why a checkpoint is made that nobody asked for.
enum Due {
    Time,
    Volume,
}

fn why_due(node: &Node, last: Instant) -> Option<Due> {
    let settings = node.settings();
    let redo = node.control.get().redo;
    let log = node.log();
    let written = log.positions().insert.get().saturating_distance_from(redo);
    let timeout = settings.duration("checkpoint_timeout");
    // a checkpoint's own record is no reason for the next one
    let something_new = log.positions().insert.get() > node.control.get().known_flush;
    if written >= settings.bytes("max_wal_size") / 2 {
        Some(Due::Volume)
    } else if last.elapsed() >= timeout && something_new {
        Some(Due::Time)
    } else {
        None
    }
}

/// Makes a checkpoint, spread over time unless the log is too large already or somebody
/// is in a hurry.
fn spread(node: &Node, due: Option<&Due>) -> Result<(), CheckpointError> {
    if matches!(due, Some(Due::Volume)) {
        return checkpoint(node, false);
    }
    let settings = node.settings();
    let share = settings.float("checkpoint_completion_target").clamp(0.0, 1.0);
    let (begun, whole) = (Instant::now(), settings.duration("checkpoint_timeout").mul_f64(share));
    let pace = |done: u64, total: u64| {
        let due = begun + whole.mul_f64(done as f64 / total.max(1) as f64);
        if due > Instant::now() {
            node.checkpoints.nap(due);
        }
    };
    finish(node, false, begun, node.databases.checkpoint_at_pace(false, &pace)?)
}

/// Makes a checkpoint on a leader, and lets go of log that nobody needs.
pub(crate) fn checkpoint(node: &Node, shutdown: bool) -> Result<(), CheckpointError> {
    let begun = Instant::now();
    finish(node, shutdown, begun, node.databases.checkpoint(shutdown)?)
}

/// What is to be done when the record is written: the control file, and letting go of log.
fn finish(node: &Node, shutdown: bool, begun: Instant, done: CheckpointDone) -> Result<(), CheckpointError> {
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
        control.databases = done.databases.iter().map(ControlDatabase::of).collect();
    })?;
    let removed = release_log(node)?;
    let millis = begun.elapsed().as_millis();
    tracing::info!(event = "checkpoint", redo = %done.redo, lsn = %done.checkpoint, removed, millis, "checkpoint complete");
    Ok(())
}

/// Removes or recycles segments that nobody needs; how many.
pub(crate) fn release_log(node: &Node) -> Result<usize, CheckpointError> {
    let log = node.log();
    let archive = oldest_unarchived(node)?;
    let keep = retention(&RetentionInput { archive, ..retention_input(node) });
    if let Some(before) = keep.slots_lost_before {
        for slot in node.slots.invalidate_before(before)? {
            tracing::warn!(
                event = "slot_lost", slot = %slot.name, restart_lsn = %slot.restart_lsn, kept_from = %before,
                "replication slot lost the log that it needs: it would have kept more than max_slot_wal_keep_size"
            );
        }
    }
    let from = node.segment_size.start_of(keep.keep_from);
    let removed = log.recycle_before(from).map_err(NodeError::from)?;
    forget_removed(node, keep.keep_from)?;
    tell_if_behind(node, archive);
    Ok(removed)
}

/// What decides now which segments stay, apart from what is not archived yet.
pub(crate) fn retention_input(node: &Node) -> RetentionInput {
    let settings = node.settings();
    RetentionInput {
        redo: node.control.get().redo,
        current: node.log().positions().insert.get(),
        slots: node.slots.oldest_restart_lsn(),
        connections: node.senders.oldest_needed(),
        archive: None,
        keep_bytes: settings.bytes("wal_keep_size"),
        slot_keep_bytes_max: settings.bytes_limit("max_slot_wal_keep_size"),
        segment_size: node.segment_size,
    }
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
        if state == ControlState::InRecovery {
            // whoever follows has accepted that another node leads
            control.fence = None;
        }
        if !control.checkpoint.is_valid() {
            control.checkpoint_time = Timestamp::now();
        }
    })
}
