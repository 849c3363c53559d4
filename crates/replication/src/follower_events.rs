use std::fmt::Display;
use std::time::Instant;

use walship_protocol::{PeerPositions, SlotName};
use walship_types::{Lsn, TimelineId};

use super::channel::ConnectionError;
use super::host::ReplicationSession;

/// Tells the server's log what becomes of one follower's stream: one line when it begins, when it has caught up, and
/// when it ends, whichever way that happens. docs/monitoring.md lists the fields.
pub(super) struct FollowerEvents {
    follower: String,
    pid: i32,
    began: Instant,
    caught_up: bool,
    ended: bool,
}

impl FollowerEvents {
    pub(super) fn connected(
        session: &ReplicationSession,
        start: Lsn,
        timeline: TimelineId,
        slot: Option<&SlotName>,
    ) -> FollowerEvents {
        let ReplicationSession { pid, application_name: follower, client, .. } = session;
        let client = client.map_or_else(|| "local".to_owned(), |address| address.to_string());
        let slot = slot.map(SlotName::as_str).unwrap_or_default();
        tracing::info!(
            event = "follower_connected", %follower, pid, client, slot, %timeline, %start,
            "follower \"{follower}\" connected, and streams from {start}"
        );
        let (follower, pid) = (follower.clone(), *pid);
        FollowerEvents { follower, pid, began: Instant::now(), caught_up: false, ended: false }
    }

    /// Everything that there was has been sent; told once.
    pub(super) fn caught_up(&mut self, sent: Lsn) {
        if !std::mem::replace(&mut self.caught_up, true) {
            let (follower, pid, millis) = (&self.follower, self.pid, self.millis());
            tracing::info!(
                event = "follower_caught_up", %follower, pid, %sent, millis,
                "follower \"{follower}\" has caught up"
            );
        }
    }

    pub(super) fn has_caught_up(&self) -> bool {
        self.caught_up
    }

    /// This server stops, and the follower has everything.
    pub(super) fn drained(&mut self, sent: Lsn) {
        self.ended = true;
        let (follower, pid) = (&self.follower, self.pid);
        tracing::info!(
            event = "follower_drained", %follower, pid, %sent,
            "follower \"{follower}\" has everything up to {sent}"
        );
    }

    /// The follower ended the stream in good order.
    pub(super) fn left(&mut self, sent: Lsn, peer: &PeerPositions) {
        self.ended = true;
        let (follower, pid, flush) = (&self.follower, self.pid, peer.flush);
        let reason = "it ended the stream";
        tracing::info!(
            event = "follower_lost", %follower, pid, %sent, %flush, reason,
            "follower \"{follower}\" lost: {reason}"
        );
    }

    /// The stream cannot go on; told unless its end was told before.
    pub(super) fn lost(&mut self, reason: &dyn Display, sent: Lsn, peer: &PeerPositions) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let (follower, pid, flush) = (&self.follower, self.pid, peer.flush);
        tracing::warn!(
            event = "follower_lost", %follower, pid, %sent, %flush, %reason,
            "follower \"{follower}\" lost: {reason}"
        );
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Drop for FollowerEvents {
    fn drop(&mut self) {
        // an administrator's order drops the whole connection where it stands
        if !self.ended {
            self.lost(&"its connection was terminated", Lsn::INVALID, &PeerPositions::default());
        }
    }
}

/// Why a stream ended, for the log.
pub(super) fn reason(error: &ConnectionError) -> String {
    match error {
        ConnectionError::Closed => "it closed the connection".to_owned(),
        other => other.to_string(),
    }
}
