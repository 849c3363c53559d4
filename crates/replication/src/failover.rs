use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use walship_protocol::wire::ErrorFields;
use walship_protocol::{ResultSet, Row};
use walship_types::{Lsn, SystemId, TimelineHistory, TimelineId};

use super::host::ReplicationHost;
use super::serve::blocking;

/// A change of roles, as replication connections ask for it.
pub trait FailoverHost: Send + Sync {
    /// Holds a newer timeline against this node's own, and ends its leadership on proof;
    /// the position at which the newer one left this node's. Blocks.
    fn fence(&self, system_id: SystemId, history: &TimelineHistory, node: &str) -> Result<Lsn, ErrorFields>;

    /// Receives nothing from a sender on a timeline before this one for so long; this node's
    /// timeline, and up to where its log is durable.
    fn pledge(&self, timeline: TimelineId, time: Duration) -> Result<(TimelineId, Lsn), ErrorFields>;

    /// Promotes this follower if it has exactly the log up to `end` of `timeline`. Blocks.
    fn take_over(&self, end: Lsn, timeline: TimelineId) -> Result<TimelineStart, ErrorFields>;

    /// Hands this node's leadership over.
    fn switch_over(
        &self,
        wanted: Switchover,
    ) -> Pin<Box<dyn Future<Output = Result<SwitchedOver, ErrorFields>> + Send + '_>>;
}

/// A timeline that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimelineStart {
    /// Its number.
    pub timeline: TimelineId,
    /// Where it begins.
    pub start: Lsn,
}

/// Whom to hand over to, and how long that may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switchover {
    /// Connection string of the follower.
    pub to: String,
    /// How long to wait until it has caught up, with writes going on.
    pub catch_up: Duration,
    /// How long writers may be held up.
    pub hold: Duration,
}

/// What a hand-over came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwitchedOver {
    /// What the other node leads.
    pub began: TimelineStart,
    /// How long writers waited before they were sent there.
    pub held: Duration,
}

/// `WALSHIP_FENCE`.
pub(super) async fn fence(
    host: Arc<dyn ReplicationHost>,
    system_id: SystemId,
    timeline: TimelineId,
    history: String,
    node: String,
) -> Result<ResultSet, ErrorFields> {
    let history = TimelineHistory::parse(timeline, &history)
        .map_err(|error| ErrorFields::error("22023", error.to_string()))?;
    let fork = blocking(move || failover(host.as_ref())?.fence(system_id, &history, &node)).await??;
    Ok(ResultSet::named(
        "WALSHIP_FENCE",
        Row::default().number("timeline", timeline.0.into()).text("switch_lsn", fork),
    ))
}

/// `WALSHIP_PLEDGE`.
pub(super) fn pledge(
    host: &dyn ReplicationHost,
    timeline: TimelineId,
    time: Duration,
) -> Result<ResultSet, ErrorFields> {
    let (own, flushed) = failover(host)?.pledge(timeline, time)?;
    let row = Row::default().number("timeline", own.0.into()).text("flushed_lsn", flushed);
    Ok(ResultSet::named("WALSHIP_PLEDGE", row))
}

/// `WALSHIP_TAKE_OVER`.
pub(super) async fn take_over(
    host: Arc<dyn ReplicationHost>,
    end: Lsn,
    timeline: TimelineId,
) -> Result<ResultSet, ErrorFields> {
    let began = blocking(move || failover(host.as_ref())?.take_over(end, timeline)).await??;
    Ok(ResultSet::named("WALSHIP_TAKE_OVER", row_of(began)))
}

/// `WALSHIP_SWITCHOVER`.
pub(super) async fn switch_over(
    host: Arc<dyn ReplicationHost>,
    wanted: Switchover,
) -> Result<ResultSet, ErrorFields> {
    let done = failover(host.as_ref())?.switch_over(wanted).await?;
    let held = u64::try_from(done.held.as_millis()).unwrap_or(u64::MAX);
    Ok(ResultSet::named("WALSHIP_SWITCHOVER", row_of(done.began).number("held_ms", held)))
}

fn row_of(began: TimelineStart) -> Row {
    Row::default().number("timeline", began.timeline.0.into()).text("switch_lsn", began.start)
}

fn failover(host: &dyn ReplicationHost) -> Result<&dyn FailoverHost, ErrorFields> {
    host.failover().ok_or_else(|| ErrorFields::error("0A000", "this server cannot change its role"))
}
