use walship_sql::catalog::{
    BackendRow, ControlRow, DatabaseRow, FailoverRow, Positions, ReceiverRow, ReplayPause, ReplicationRow,
    SlotRow, WalStatistics,
};
use walship_types::{Lsn, Timestamp};

use super::{Monitored, MonitoringSource};

/// A node at one moment, taken once for each answer, so that its numbers belong together.
pub(super) struct Reading {
    pub(super) at: Timestamp,
    pub(super) in_recovery: bool,
    pub(super) positions: Positions,
    pub(super) control: ControlRow,
    pub(super) backends: Vec<BackendRow>,
    pub(super) replication: Vec<ReplicationRow>,
    pub(super) receiver: Option<ReceiverRow>,
    pub(super) slots: Vec<SlotRow>,
    pub(super) databases: Vec<DatabaseRow>,
    pub(super) wal: WalStatistics,
    pub(super) pause: ReplayPause,
    pub(super) failover: FailoverRow,
    pub(super) monitored: Monitored,
}

impl Reading {
    pub(super) fn take(source: &dyn MonitoringSource) -> Reading {
        Reading {
            in_recovery: source.in_recovery(),
            backends: source.backends(),
            replication: source.replication(),
            receiver: source.receiver(),
            slots: source.slots(),
            databases: source.databases(),
            wal: source.wal_statistics(),
            control: source.control(),
            pause: source.replay_pause(),
            failover: source.failover(),
            monitored: source.monitored(),
            // after what is measured from them, so that no distance is negative
            positions: source.positions(),
            at: Timestamp::now(),
        }
    }

    /// `leader`, `follower` or `fenced`.
    pub(super) fn role(&self) -> &'static str {
        self.failover.role
    }

    /// End of the log that this node has: written on a leader, received on a follower.
    pub(super) fn end_of_log(&self) -> Lsn {
        self.positions.receive.unwrap_or(self.positions.write)
    }

    /// Whether a follower gets its leader's log now.
    pub(super) fn is_streaming(&self) -> bool {
        self.receiver.as_ref().is_some_and(|receiver| receiver.status == "streaming")
    }

    /// What a follower knows of and does not show yet, in bytes; 0 on a leader.
    pub(super) fn replay_lag_bytes(&self) -> u64 {
        if !self.in_recovery {
            return 0;
        }
        let known = self.receiver.as_ref().and_then(|receiver| receiver.latest_end);
        let known = known.map_or(self.end_of_log(), |end| end.max(self.end_of_log()));
        known.saturating_distance_from(self.positions.replay.unwrap_or(Lsn::INVALID))
    }

    /// How old what a follower shows may be, in seconds: the age of its last commit while there is something to
    /// replay, the time since its leader was last heard of while they are not connected, else nothing. `None` where it
    /// has never heard of one, or has not replayed a commit yet; 0 on a leader.
    pub(super) fn replay_lag_seconds(&self) -> Option<f64> {
        if !self.in_recovery {
            return Some(0.0);
        }
        let age = |since: Timestamp| self.at.since(since).as_secs_f64();
        let replaying = self.replay_lag_bytes() > 0;
        let behind = if replaying { self.positions.last_replayed_commit.map(age) } else { Some(0.0) };
        if self.is_streaming() {
            return behind;
        }
        let silent = self.monitored.leader_silent?.as_secs_f64();
        Some(behind.unwrap_or(0.0).max(silent))
    }

    /// Log that a slot keeps from being removed, in bytes; `None` for one that keeps none.
    pub(super) fn retained_bytes(&self, slot: &SlotRow) -> Option<u64> {
        Some(self.end_of_log().saturating_distance_from(slot.restart?))
    }
}
