use std::sync::Arc;

use walship_node::{BackendKind, Fence, Interrupt, NoProof, NodeError, SenderState, judge_history};
use walship_protocol::wire::{ErrorFields, SqlState};
use walship_sql::{NOT_LEADER, SessionStart, SqlError};
use walship_types::{Lsn, SystemId, TimelineHistory, Timestamp};

use super::faults::is_skipped;
use super::log::NodeLog;
use super::node::Node;
use super::service_manager;

/// What to do about a fenced node.
pub(crate) const FENCED_HINT: &str =
    "rewind this node and let it follow the new leader; if this is a mistake, walctl unfence";

/// Why a node was not fenced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotFenced {
    #[error("the system identifier {found} is not this node's, {own}")]
    OtherSystem { own: SystemId, found: SystemId },
    #[error("this node is not a leader")]
    NotLeader,
    #[error(transparent)]
    NoProof(#[from] NoProof),
    #[error(transparent)]
    Node(#[from] NodeError),
}

impl From<NotFenced> for ErrorFields {
    fn from(error: NotFenced) -> ErrorFields {
        let fields = ErrorFields::error("55000", format!("not fenced: {error}"));
        match error {
            NotFenced::NoProof(NoProof::Dismissed(timeline)) => fields.with_hint(format!(
                "if timeline {timeline} leads after all, stop this node and rewind it against that one's leader"
            )),
            _ => fields,
        }
    }
}

impl Node {
    /// Whether sessions can only read here.
    pub(crate) fn is_read_only(&self) -> bool {
        self.is_follower() || self.failover.is_fenced()
    }

    /// Tells sessions, and clients that connect, whether they can write.
    pub(crate) fn tell_role(&self) {
        let fact = if self.is_read_only() { "on" } else { "off" };
        if let Err(error) = self.settings.set_fact("in_hot_standby", fact) {
            tracing::error!(%error, "could not change in_hot_standby");
        }
    }

    /// Another node leads the timeline of `history`, somebody says. If that is proven, this
    /// one stops taking writes at once, for good and durably, and ends those who write.
    /// The result is where the newer timeline left this node's.
    pub(crate) fn learn_of(
        &self,
        system_id: SystemId,
        history: &TimelineHistory,
        node: &str,
    ) -> Result<Lsn, NotFenced> {
        if system_id != self.system_id {
            return Err(NotFenced::OtherSystem { own: self.system_id, found: system_id });
        }
        let NodeLog::Leader(writer) = self.log() else { return Err(NotFenced::NotLeader) };
        let (own, dismissed) = (writer.source().history(), self.control.get().dismissed);
        let end = writer.positions().insert.get();
        let switch_lsn = judge_history(&own, end, &dismissed, history).inspect_err(|error| {
            if error.is_conflict() {
                tracing::error!(event = "timeline_conflict", node, %error, "another timeline of this cluster exists: {error}");
            }
        })?;
        if is_skipped("fence") {
            return Ok(switch_lsn);
        }
        // first nobody writes, then it is written down, then anyone is told
        self.databases.fence();
        let fence =
            Fence { timeline: history.timeline, switch_lsn, node: node.to_owned(), time: Timestamp::now() };
        if !self.failover.set_fence(fence.clone()) {
            return Ok(switch_lsn);
        }
        if self.is_follower() {
            // it handed over at this very moment, and knows better
            self.failover.clear_fence();
            return Err(NotFenced::NotLeader);
        }
        let detail = describe(&fence);
        self.failover.leave(detail.clone());
        self.tell_role();
        service_manager::role_changed(self);
        self.backends.interrupt_all(BackendKind::Client, Interrupt::StopWriting);
        // followers have to find the other one; whoever has told us is answered
        for sender in self.senders.list() {
            if matches!(sender.state, SenderState::Catchup | SenderState::Streaming) {
                self.backends.interrupt(sender.pid, Interrupt::Terminate);
            }
        }
        let lost = writer.positions().insert.get().saturating_distance_from(switch_lsn);
        tracing::error!(
            event = "fenced", timeline = %fence.timeline, %switch_lsn, node, lost,
            hint = FENCED_HINT,
            "this node takes no writes any more: {}", detail.trim_end_matches('.')
        );
        self.control.update(|control| control.fence = self.failover.fence())?;
        Ok(switch_lsn)
    }

    /// Takes writes again, and ignores from now on the timeline that this node was fenced
    /// for. False if it was not fenced.
    pub(crate) fn unfence(&self) -> Result<bool, NodeError> {
        let Some(fence) = self.failover.fence() else { return Ok(false) };
        let (timeline, switch_lsn) = (fence.timeline, fence.switch_lsn);
        self.control.update(|control| {
            control.fence = None;
            control.dismissed.push(walship_node::DismissedTimeline { timeline, switch_lsn });
        })?;
        self.failover.clear_fence();
        self.databases.unfence();
        self.tell_role();
        service_manager::role_changed(self);
        tracing::warn!(event = "unfenced", %timeline, "this node takes writes again, and ignores timeline {timeline}");
        Ok(true)
    }

    /// What a session is told that was opened while this node led.
    pub(crate) fn leads_no_more(&self, start: &SessionStart) -> Option<SqlError> {
        let left = self.failover.left().filter(|_| self.is_read_only())?;
        let backends = self.backends.list();
        let session = backends.iter().find(|backend| backend.pid == start.pid)?;
        (session.started <= left.at).then(|| {
            SqlError::fatal(SqlState::ADMIN_SHUTDOWN, NOT_LEADER).with_detail(left.detail).with_hint(
                "Connect again, with every node in the connection string and target_session_attrs=read-write.",
            )
        })
    }

    /// A commit of a node that was fenced meanwhile is not acknowledged.
    pub(crate) fn check_not_fenced(&self) -> Result<(), SqlError> {
        match self.failover.fence() {
            Some(fence) if self.failover.is_fenced() => Err(SqlError::fatal(
                SqlState::ADMIN_SHUTDOWN,
                NOT_LEADER,
            )
            .with_detail(format!("{} The transaction was committed on this node alone.", describe(&fence)))),
            _ => Ok(()),
        }
    }
}

/// Who leads, since when.
pub(crate) fn describe(fence: &Fence) -> String {
    let Fence { timeline, switch_lsn, node, .. } = fence;
    format!("Node {node} leads timeline {timeline}, which left this node's timeline at {switch_lsn}.")
}

/// The node that this one is to others: its name, and where it listens.
pub(crate) fn own_name(node: &Arc<Node>) -> String {
    use walship_settings::Typed as _;
    let settings = node.settings();
    let address = settings.list("listen_addresses").into_iter().next().unwrap_or_default();
    let place = format!("{address}:{}", settings.integer("port"));
    match node.options.name.clone().unwrap_or_else(|| settings.text("cluster_name")) {
        name if name.is_empty() => format!("\"{place}\""),
        name => format!("\"{name}\" ({place})"),
    }
}
