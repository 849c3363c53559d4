use std::sync::Arc;
use std::time::Duration;

use walship_disk::SharedDisk;
use walship_engine::Databases;
use walship_engine::redo::{
    Redo, RedoOptions, RedoStart, ReplayOptions, ReplayWorker, Restartpoint, RestartpointSink,
};
use walship_node::{ControlDatabase, ControlFile, ControlState, DataDirectory, Slots};
use walship_settings::{Settings, Typed as _};
use walship_types::{Lsn, Timestamp};
use walship_wal::payload::Commit;
use walship_wal::{Next, RecordKind, WalConfig, WalSink, WalSource};

use super::checkpointer::release_log;
use super::leader::{engine_options, recover_log, wal_config};
use super::log::{FollowerLog, NodeLog, Replay};
use super::node::{Node, NodeParts};
use super::recovery_command::RecoveryCommand;
use super::replica_catalog::ReplicaCatalog;
use super::{Failure, StartOptions};

/// Opens a follower's log where its valid end is; its databases are opened by
/// [`start_replay`], once the log has what makes them consistent.
pub(crate) fn open_follower(
    options: StartOptions,
    directory: DataDirectory,
    disk: SharedDisk,
    settings: Settings,
    control: ControlFile,
) -> Result<(NodeParts, WalSink), Failure> {
    let config = wal_config(&disk, &directory, &settings, &control)?;
    let end = end_of_log(&config, &control)?;
    let sink = WalSink::open(config, end)?;
    let databases = Databases::new(engine_options(&directory, &settings, &control))?;
    databases.remove_unfinished()?;
    databases.follow();
    let slots = Arc::new(Slots::load(Arc::clone(&disk), directory.slots(), control.system_id)?);
    let log = NodeLog::Follower(FollowerLog {
        source: sink.source(),
        positions: Arc::clone(sink.positions()),
        recycler: sink.recycler(),
        replay: None,
    });
    Ok((NodeParts { options, directory, disk, settings, databases, log, control, slots }, sink))
}

/// The end of what was received before; after a base backup without log, the start of
/// the segment in which replay begins.
fn end_of_log(config: &WalConfig, control: &ControlFile) -> Result<Lsn, Failure> {
    let first = control.segment_size.segment_of(control.redo);
    if config.file_path(first).exists() {
        return Ok(recover_log(config, control)?.position);
    }
    if control.state != ControlState::InBackupRecovery {
        let path = config.file_path(first);
        return Err(Failure::new(format!("segment file \"{}\" does not exist", path.display())).hint(format!(
            "replay has to start at {}; bring the segment back from an archive, or take a new base backup",
            control.redo
        )));
    }
    Ok(control.segment_size.start_of(first))
}

/// Replays what the log has, which must reach the point where the databases are
/// consistent, lets readers in, and goes on replaying as more arrives.
pub(crate) fn start_replay(node: &Arc<Node>) -> Result<(), Failure> {
    let NodeLog::Follower(log) = node.log() else {
        return Err(Failure::new("replay was started on a leader").hint("this is a defect of walship"));
    };
    let control = node.control.get();
    let end = end_of_records(&log.source, control.redo)?;
    let delay = node.settings().duration("recovery_min_apply_delay");
    let due = if delay.is_zero() { end } else { end_of_due(&log.source, &control, delay)? };
    let mut redo = replay_to(node, &log.source, &control, due)?;
    if due < end && redo.stopped().next().is_some() {
        // the delay is longer than it was, or the clock was set back: readers have seen more than is due
        tracing::warn!(%due, %end, "replaying all of the log, although recovery_min_apply_delay would hold some of it back");
        drop(redo);
        redo = replay_to(node, &log.source, &control, end)?;
    }
    let end = redo.taken();
    tracing::info!(redo = %control.redo, replayed = %redo.visible(), "consistent recovery state reached");
    retire_label(&node.directory)?;
    node.control.update(|control| {
        control.state = ControlState::InRecovery;
        control.minimum_recovery = control.minimum_recovery.max(end);
    })?;
    replay_on(node, log, redo)
}

/// Brings the databases to `end`.
fn replay_to(node: &Arc<Node>, source: &WalSource, control: &ControlFile, end: Lsn) -> Result<Redo, Failure> {
    let options = RedoOptions::new(node.directory.base(), node.system_id);
    let catalog =
        ReplicaCatalog { databases: Arc::clone(&node.databases), backends: Arc::clone(&node.backends) };
    let start = RedoStart {
        redo: control.redo,
        end,
        states: control.databases.iter().map(ControlDatabase::state).collect(),
        consistent_at: control.minimum_recovery,
    };
    let phase = node.phase.subscribe();
    let cancel = Arc::new(move || *phase.borrow() != walship_replication::ServerPhase::Running);
    Redo::start(options, Arc::new(catalog), source, &start, cancel).map_err(Failure::new)
}

/// Up to where a delayed follower replays before it lets readers in: what they saw before was old enough then, and
/// is now.
fn end_of_due(source: &WalSource, control: &ControlFile, delay: Duration) -> Result<Lsn, Failure> {
    let now = Timestamp::now();
    let mut reader = source.reader(control.redo);
    let mut end = control.redo;
    loop {
        let record = match reader.next()? {
            Next::Record(record) => record,
            Next::End(end) => return Ok(end.at),
        };
        if record.kind == RecordKind::Commit && end >= control.minimum_recovery {
            let commit = Commit::decode(&record.payload)
                .map_err(|error| Failure::new(format!("invalid commit record at {}: {error}", record.lsn)))?;
            if now.since(commit.time) < delay {
                return Ok(end);
            }
        }
        end = record.end;
    }
}

impl Node {
    /// Puts `recovery_min_apply_delay` in force. What readers have seen until now stays the least that a restart
    /// shows, however much longer the delay is from here on.
    pub(crate) fn delay_by_settings(&self) {
        let NodeLog::Follower(FollowerLog { replay: Some(replay), .. }) = self.log() else { return };
        let delay = self.settings().duration("recovery_min_apply_delay");
        if delay == replay.min_apply_delay() {
            return;
        }
        replay.set_min_apply_delay(delay);
        let seen = replay.visible().get();
        let noted =
            self.control.update(|control| control.minimum_recovery = control.minimum_recovery.max(seen));
        if let Err(error) = noted {
            tracing::error!(%error, "could not note how far readers have seen");
        }
    }
}

/// Starts the replay thread, which goes on where `redo` is.
pub(crate) fn replay_on(node: &Arc<Node>, mut log: FollowerLog, redo: Redo) -> Result<(), Failure> {
    let settings = node.settings();
    let replay_options = ReplayOptions {
        restartpoint_interval: settings.duration("checkpoint_timeout"),
        restartpoint_bytes: settings.bytes("max_wal_size") / 2,
        min_apply_delay: settings.duration("recovery_min_apply_delay"),
        on_restartpoint: restartpoint_sink(node),
    };
    let worker = ReplayWorker::start(redo, log.source.clone(), replay_options)
        .map_err(|e| Failure::new(format!("could not start the replay thread: {e}")))?;
    log.replay = Some(Arc::new(Replay::new(worker)));
    node.set_log(NodeLog::Follower(log));
    Ok(())
}

/// The label has said where replay of a base backup starts; from now on the control
/// file does.
fn retire_label(directory: &DataDirectory) -> Result<(), Failure> {
    let label = directory.backup_label();
    match std::fs::rename(&label, label.with_extension("old")) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(walship_node::NodeError::io("rename file", &label, error).into())
        }
        _ => Ok(()),
    }
}

/// End of the last whole record of a log that may still grow.
pub(crate) fn end_of_records(source: &WalSource, redo: Lsn) -> Result<Lsn, Failure> {
    let mut reader = source.reader(redo);
    loop {
        match reader.next()? {
            Next::Record(_) => {}
            Next::End(end) => return Ok(end.at),
        }
    }
}

fn restartpoint_sink(node: &Arc<Node>) -> RestartpointSink {
    // the replay thread must not keep the node alive
    let node = Arc::downgrade(node);
    Box::new(move |point| {
        let Some(node) = node.upgrade() else { return Ok(()) };
        note_restartpoint(&node, point)?;
        let removed = release_log(&node)?;
        RecoveryCommand::start(&node, |node| &node.archive_cleanup);
        tracing::info!(event = "restartpoint", redo = %point.redo, lsn = %point.checkpoint_lsn, removed, "restartpoint complete");
        Ok(())
    })
}

/// Writes a restartpoint to the control file.
pub(crate) fn note_restartpoint(node: &Node, point: &Restartpoint) -> Result<(), walship_node::NodeError> {
    node.slots.save_all()?;
    node.control.update(|control| apply_restartpoint(control, point))
}

/// What a restartpoint changes in the control file.
pub(crate) fn apply_restartpoint(control: &mut ControlFile, point: &Restartpoint) {
    // the checkpoint may be one of an earlier timeline than the log's
    control.timeline = control.timeline.max(point.timeline);
    control.redo = point.redo;
    control.checkpoint = point.checkpoint_lsn;
    control.checkpoint_time = Timestamp::now();
    control.minimum_recovery = point.as_of;
    control.known_flush = point.as_of;
    control.next_database_id = point.next_database_id;
    control.databases = point.states.iter().map(ControlDatabase::of).collect();
}
