use std::collections::BTreeMap;

use walship_client::{Connection, QueryResult};
use walship_protocol::{Command, SlotKind, SlotName};
use walship_types::{Lsn, SystemId, TimelineHistory, TimelineId};

use super::ReceiverError;
use super::host::ReceiverHost;

/// SQLSTATE of a slot that is there already.
const DUPLICATE_OBJECT: &str = "42710";

/// What the sender says of itself.
pub(super) struct Primary {
    pub(super) timeline: TimelineId,
}

/// Finds out whom we are connected to, and refuses whoever is not of our cluster.
pub(super) async fn identify(
    connection: &mut Connection,
    host: &dyn ReceiverHost,
) -> Result<Primary, ReceiverError> {
    let command = "IDENTIFY_SYSTEM";
    let results = connection.query(command).await?;
    let found: SystemId = value(&results, command, "systemid")?;
    let own = host.system_id();
    if found != own {
        return Err(ReceiverError::OtherSystem { own, found });
    }
    let timeline = TimelineId(value(&results, command, "timeline")?);
    let command = "SHOW wal_segment_size";
    let shown: String = value(&connection.query(command).await?, command, "wal_segment_size")?;
    let own = host.segment_size();
    if shown != own.to_string() {
        return Err(ReceiverError::OtherSegmentSize { own, found: shown });
    }
    Ok(Primary { timeline })
}

/// Fetches the histories of the timelines that the sender has and we have not; the last
/// one leads to the sender's timeline. Each is durable here before it is used.
pub(super) async fn fetch_histories(
    connection: &mut Connection,
    host: &dyn ReceiverHost,
    own: &TimelineHistory,
    end: Lsn,
    newest: TimelineId,
) -> Result<BTreeMap<TimelineId, TimelineHistory>, ReceiverError> {
    if newest < own.timeline {
        return Err(ReceiverError::TimelineBehind { own: own.timeline, found: newest });
    }
    let mut histories = BTreeMap::new();
    if newest > own.timeline {
        let history = fetch_history(connection, newest).await?;
        let fork = history.switch_point(own.timeline);
        if fork.is_none_or(|fork| fork < end) {
            return Err(ReceiverError::Diverged { own: own.timeline, end, found: newest, fork });
        }
        let between: Vec<TimelineId> =
            history.entries.iter().map(|entry| entry.timeline).filter(|id| *id > own.timeline).collect();
        for timeline in between {
            let history = fetch_history(connection, timeline).await?;
            host.write_history(&history)?;
            histories.insert(timeline, history);
        }
        host.write_history(&history)?;
        histories.insert(newest, history);
    }
    Ok(histories)
}

/// One history file of the sender's.
pub(super) async fn fetch_history(
    connection: &mut Connection,
    timeline: TimelineId,
) -> Result<TimelineHistory, ReceiverError> {
    let command = Command::TimelineHistory { timeline };
    let results = connection.query(&command.to_string()).await?;
    let text: String = value(&results, "TIMELINE_HISTORY", "content")?;
    Ok(TimelineHistory::parse(timeline, &text)?)
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
