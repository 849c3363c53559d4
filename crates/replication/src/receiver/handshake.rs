use std::collections::BTreeMap;

use walship_client::{Connection, QueryResult};
use walship_protocol::{Command, SlotKind, SlotName};
use walship_types::{Lsn, SegmentSize, SystemId, TimelineHistory, TimelineId};

use super::ReceiverError;
use super::host::ReceiverHost;
use crate::check_log_format;

/// SQLSTATE of a slot that is there already.
const DUPLICATE_OBJECT: &str = "42710";

/// What the sender says of itself.
pub struct Primary {
    /// The timeline that it is on.
    pub timeline: TimelineId,
    /// The end of what is durable there.
    pub flushed: Lsn,
}

/// Finds out whom we are connected to, and refuses whoever is not of our cluster.
pub async fn identify(
    connection: &mut Connection,
    own_system: SystemId,
    own_segment_size: SegmentSize,
) -> Result<Primary, ReceiverError> {
    let command = "IDENTIFY_SYSTEM";
    let results = connection.query(command).await?;
    let found: SystemId = value(&results, command, "systemid")?;
    if found != own_system {
        return Err(ReceiverError::OtherSystem { own: own_system, found });
    }
    let timeline = TimelineId(value(&results, command, "timeline")?);
    let flushed = value(&results, command, "xlogpos")?;
    let command = "SHOW wal_segment_size";
    let shown: String = value(&connection.query(command).await?, command, "wal_segment_size")?;
    if shown != own_segment_size.to_string() {
        return Err(ReceiverError::OtherSegmentSize { own: own_segment_size, found: shown });
    }
    check_log_format(connection).await??;
    Ok(Primary { timeline, flushed })
}

/// Fetches the history of the sender's timeline, and says where it leaves this node's;
/// `None` if it is the same one. A sender on an older timeline, or on another one of the
/// same number, is refused.
pub(super) async fn fetch_newest(
    connection: &mut Connection,
    host: &dyn ReceiverHost,
    own: &TimelineHistory,
    end: Lsn,
    newest: TimelineId,
) -> Result<Option<(TimelineHistory, Lsn)>, ReceiverError> {
    if newest < own.timeline {
        tell_newer(connection, host, own).await;
        return Err(ReceiverError::TimelineBehind { own: own.timeline, found: newest });
    }
    if let Some(wanted) = host.oldest_timeline().filter(|&wanted| newest < wanted) {
        return Err(ReceiverError::Pledged { wanted, found: newest });
    }
    if newest == TimelineId::FIRST {
        return Ok(None);
    }
    let history = fetch_history(connection, newest).await?;
    let same = newest == own.timeline && history.agrees_with(own);
    match history.leaves(own) {
        _ if same => Ok(None),
        Some(fork) => Ok(Some((history, fork))),
        None => Err(ReceiverError::Diverged { own: own.timeline, end, found: newest, fork: None }),
    }
}

/// Fetches the histories of the timelines on the way to that of `newest` which we do not
/// have. Each is durable here before it is used.
pub(super) async fn fetch_histories(
    connection: &mut Connection,
    host: &dyn ReceiverHost,
    own: &TimelineHistory,
    newest: Option<TimelineHistory>,
) -> Result<BTreeMap<TimelineId, TimelineHistory>, ReceiverError> {
    let mut histories = BTreeMap::new();
    if let Some(history) = newest {
        let between: Vec<TimelineId> =
            history.entries.iter().map(|entry| entry.timeline).filter(|id| *id > own.timeline).collect();
        for timeline in between {
            let history = fetch_history(connection, timeline).await?;
            host.write_history(&history)?;
            histories.insert(timeline, history);
        }
        host.write_history(&history)?;
        histories.insert(history.timeline, history);
    }
    Ok(histories)
}

/// A sender that is on an older timeline than we are may be a leader that was replaced and
/// does not know: our history proves it. Whatever it makes of that, we do not follow it.
pub(super) async fn tell_newer(connection: &mut Connection, host: &dyn ReceiverHost, own: &TimelineHistory) {
    let command = Command::Fence {
        system_id: host.system_id(),
        timeline: own.timeline,
        history: own.to_text(),
        node: host.name_of_leader(),
    };
    match connection.query(&command.to_string()).await {
        Ok(_) => tracing::warn!(
            event = "old_leader_fenced", host = %connection.host(), timeline = %own.timeline,
            "told the old leader of timeline {}: it takes no writes any more", own.timeline
        ),
        Err(error) => {
            tracing::debug!(%error, "the server is on an older timeline, and not a leader to be fenced");
        }
    }
}

/// One history file of the sender's.
pub async fn fetch_history(
    connection: &mut Connection,
    timeline: TimelineId,
) -> Result<TimelineHistory, ReceiverError> {
    let command = Command::TimelineHistory { timeline };
    let results = connection.query(&command.to_string()).await?;
    let text: String = value(&results, "TIMELINE_HISTORY", "content")?;
    Ok(TimelineHistory::parse(timeline, &text)?)
}

/// Removes our slot, which is of no use any more.
pub(super) async fn drop_slot(connection: &mut Connection, slot: &SlotName) -> Result<(), ReceiverError> {
    let command = Command::DropReplicationSlot { slot: slot.clone(), wait: false };
    connection.query(&command.to_string()).await?;
    tracing::warn!(event = "slot_renewed", %slot, "replication slot \"{slot}\" had lost its log, which came from the archive; it is made anew");
    Ok(())
}

/// Makes our slot unless it is there.
pub(super) async fn ensure_slot(connection: &mut Connection, slot: &SlotName) -> Result<(), ReceiverError> {
    let command = Command::CreateReplicationSlot {
        slot: slot.clone(),
        temporary: false,
        kind: SlotKind::Physical,
        reserve_wal: true,
    };
    match connection.query(&command.to_string()).await {
        Err(error) if error.sqlstate() == Some(DUPLICATE_OBJECT) => Ok(()),
        other => Ok(other.map(|_| ())?),
    }
}

fn value<T: std::str::FromStr>(
    results: &[QueryResult],
    command: &'static str,
    column: &str,
) -> Result<T, ReceiverError> {
    let text = results.first().and_then(|result| result.text(column));
    let missing = || ReceiverError::Response { command, what: format!("no {column}") };
    let text = text.ok_or_else(missing)?;
    text.parse()
        .map_err(|_| ReceiverError::Response { command, what: format!("invalid {column} \"{text}\"") })
}
