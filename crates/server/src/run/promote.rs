use std::fs;
use std::sync::Arc;

use tokio::runtime::Runtime;
use walship_disk::SharedDisk;
use walship_engine::redo::Redo;
use walship_engine::{EngineError, LeaderStart};
use walship_node::{ControlState, DataDirectory};
use walship_settings::Typed as _;
use walship_types::{Lsn, TimelineHistory, TimelineId, Timestamp};
use walship_wal::payload::DatabaseState;
use walship_wal::{
    Recovered, WalConfig, WalSink, WalWriter, begin_timeline, clean_tail, create_timeline_branch,
    newest_timeline, recover, write_history,
};

use super::Failure;
use super::failover::{OldLeader, Promotion};
use super::faults::survives_crash;
use super::follower::replay_on;
use super::leader::wal_config;
use super::log::{FollowerLog, NodeLog};
use super::node::Node;
use super::old_leader::Fencing;
use super::promotion::Wanted;
use super::receiving::Receiving;

/// Why a promotion did not come about.
pub(crate) enum NotPromoted {
    /// The node is a follower as before.
    StillFollower(Failure),
    /// It is neither follower nor leader: the process has to stop, and the next start
    /// undoes the promotion or finishes it.
    Halfway(Failure),
}

impl From<Failure> for NotPromoted {
    fn from(failure: Failure) -> NotPromoted {
        NotPromoted::Halfway(failure)
    }
}

/// Makes the leader of a follower. Every step is durable before the next:
///
/// 1. nothing is received any more, and everything that was is replayed;
/// 2. the history file of the next timeline, then its first segment. Until here a
///    crash leaves a follower of the old timeline, which ignores both;
/// 3. the control file says that a promotion is under way, on which timeline. From here
///    on a restart comes up as its leader;
/// 4. `standby.signal` is removed;
/// 5. readers of the log are given the new one, and only then is it written: first
///    the end-of-recovery record with this node's own -wal positions;
/// 6. databases are led, and sessions write.
///
/// From 3 on the old leader is told, beside the rest. The checkpoint that ends the promotion
/// for the control file too is the caller's.
pub(crate) fn promote(
    node: &Arc<Node>,
    runtime: &Runtime,
    receiving: &mut Option<Receiving>,
) -> Result<(), NotPromoted> {
    let (wanted, begun) = node.promotions.wanted();
    let log = promotable(node).map_err(NotPromoted::StillFollower)?;
    tracing::info!(event = "promoting", received = %log.positions.flush.get(), "promotion was asked for");
    let sink = match receiving.take() {
        Some(receiving) => runtime.block_on(receiving.take_log())?,
        None => return Err(Failure::new("the receiver has ended").into()),
    };
    let (mut redo, found, config) = replay_everything(node, &log, &sink)?;
    let branched = is_wanted(wanted, &config, &found).and_then(|()| branch(node, &config, &found));
    let history = match branched {
        Ok(history) => history,
        Err(error) => {
            replay_on(node, log, redo)?;
            *receiving = Some(Receiving::start(node, *sink)?);
            return Err(NotPromoted::StillFollower(error));
        }
    };
    survives_crash("promote: control file");
    // of the time when this node led before
    node.failover.clear_fence();
    let mut fencing = (wanted == Wanted::Failover).then(|| Fencing::start(runtime, node, &history));
    remove_standby_signal(&node.disk, &node.directory)?;
    survives_crash("promote: standby.signal");
    let (states, next_id) = (redo.states().map_err(Failure::new)?, redo.next_database_id());
    redo.close().map_err(Failure::new)?;
    let writer = start_log(node, &config, &history, &found)?;
    if let Some(replay) = &log.replay {
        replay.visible().close("the node was promoted");
    }
    // senders find the new log when the old one is closed
    sink.close().map_err(Failure::from)?;
    begin_timeline(&writer, Timestamp::now(), states.clone()).map_err(Failure::from)?;
    survives_crash("promote: end of recovery");
    let starts = leader_starts(node, &states)?;
    let gap = match wanted {
        Wanted::Failover => node.settings().integer("promote_sequence_gap"),
        // nothing was given out that is not here
        Wanted::TakeOver { .. } => 0,
    };
    let old_leader = fencing.as_mut().map_or(OldLeader::HandedOver, |fencing| fencing.wait(runtime));
    node.databases.lead_promoted(Arc::clone(&writer), starts, next_id, gap).map_err(Failure::from)?;
    survives_crash("promote: sequences");
    node.tell_role();
    remove_requests(&node.directory);
    let switch_lsn = found.end.at;
    let behind = node.receiver.get().latest_end.saturating_distance_from(switch_lsn);
    let (timeline, took) = (history.timeline, begun.elapsed());
    node.failover.set_promotion(Promotion {
        timeline,
        switch_lsn,
        behind,
        time: Timestamp::now(),
        took,
        old_leader,
    });
    if let Some(fencing) = fencing {
        node.failover.set_old_leader(fencing.found());
    }
    tracing::info!(
        event = "promoted", %timeline, %switch_lsn, behind, millis = took.as_millis(),
        "this node is the leader of timeline {timeline}, which begins at {switch_lsn}"
    );
    Ok(())
}

/// A leader that hands over has nothing beyond its end, and neither may we.
fn is_wanted(wanted: Wanted, config: &WalConfig, found: &Recovered) -> Result<(), Failure> {
    let (own, at) = (config.history.timeline, found.end.at);
    match wanted {
        Wanted::TakeOver { end, timeline } if (end, timeline) != (at, own) => Err(Failure::new(format!(
            "the leader's log ends at {end} of timeline {timeline}, this node's at {at} of timeline {own}"
        ))),
        _ => Ok(()),
    }
}

/// The log of a follower whose databases are all as they should be.
fn promotable(node: &Node) -> Result<FollowerLog, Failure> {
    let NodeLog::Follower(log) = node.log() else {
        return Err(Failure::new("this node is the leader already"));
    };
    let Some(replay) = &log.replay else {
        return Err(Failure::new("the databases are not consistent yet")
            .hint("wait until the follower accepts connections"));
    };
    match replay.status().stopped.first() {
        None => Ok(log),
        Some(stop) => Err(Failure::new(format!(
            "replay of database \"{}\" has stopped at {}: {}",
            stop.database, stop.lsn, stop.message
        ))
        .hint("promote another follower, or make this one anew from a base backup")),
    }
}

/// Replays what was received. A record whose rest never came is not part of it.
fn replay_everything(
    node: &Node,
    log: &FollowerLog,
    sink: &WalSink,
) -> Result<(Redo, Recovered, WalConfig), Failure> {
    let mut control = node.control.get();
    control.timeline = sink.history().timeline;
    let config = wal_config(&node.disk, &node.directory, &node.settings(), &control)?;
    let Some(replay) = &log.replay else { return Err(Failure::new("replay has not started")) };
    let found = recover(&config, replay.visible().get(), Lsn::INVALID)?;
    let Some(worker) = replay.take() else { return Err(Failure::new("replay has ended")) };
    let redo = worker.finish(found.end.at).map_err(Failure::new)?;
    if let Some(stop) = redo.stopped().next() {
        return Err(Failure::new(stop));
    }
    Ok((redo, found, config))
}

/// Makes the next timeline; the last thing is the control file, with which it counts.
fn branch(node: &Node, config: &WalConfig, found: &Recovered) -> Result<TimelineHistory, Failure> {
    let newest = newest_timeline(&*node.disk, &node.directory.wal())?.max(config.history.timeline);
    let next = newest.0.checked_add(1).map(TimelineId);
    let next = next.ok_or_else(|| Failure::new(format!("timeline {newest} is the last one")))?;
    let end = found.end.at;
    let history = config.history.branch(next, end, &format!("promoted at {end}"));
    write_history(&*node.disk, &node.directory.wal(), &history)?;
    survives_crash("promote: history file");
    create_timeline_branch(config, &history, end)?;
    survives_crash("promote: first segment");
    node.control.update(|control| {
        control.state = ControlState::Promoting;
        control.timeline = next;
        control.fence = None;
        control.dismissed.clear();
        control.known_flush = control.known_flush.max(end);
    })?;
    Ok(history)
}

/// Opens the new timeline's log for writing, and gives it to everyone who reads.
fn start_log(
    node: &Node,
    config: &WalConfig,
    history: &TimelineHistory,
    found: &Recovered,
) -> Result<Arc<WalWriter>, Failure> {
    let config = WalConfig { history: history.clone(), ..config.clone() };
    let clean = clean_tail(&config, found)?;
    let writer = Arc::new(WalWriter::start(config, clean)?);
    node.set_log(NodeLog::Leader(Arc::clone(&writer)));
    Ok(writer)
}

fn leader_starts(node: &Node, states: &[DatabaseState]) -> Result<Vec<LeaderStart>, Failure> {
    let start = |state: &DatabaseState| {
        let database = node.databases.get(state.name.as_str())?;
        let missing = EngineError::NoStart { database: state.name.clone() };
        database.start_after_replay(state.position).ok_or(missing)
    };
    Ok(states.iter().map(start).collect::<Result<_, _>>()?)
}

/// Removes what made the directory a follower's; nothing if it is gone already.
pub(crate) fn remove_standby_signal(disk: &SharedDisk, directory: &DataDirectory) -> Result<(), Failure> {
    let path = directory.standby_signal();
    if path.exists() {
        let removed = disk.remove(&path).and_then(|()| disk.sync_dir(directory.root()));
        removed.map_err(Failure::new)?;
    }
    Ok(())
}

/// Removes the file that asks for a promotion, and the label of the base backup that
/// the follower was made from: neither may say anything about a leader.
pub(crate) fn remove_requests(directory: &DataDirectory) {
    for path in [directory.promote_signal(), directory.backup_label()] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(file = %path.display(), %error, "could not remove file");
            }
            _ => {}
        }
    }
}
