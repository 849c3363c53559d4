//! Replication connections: what `replication=true` gives, the follower's receiver, and
//! what both need of the node that they run on.

mod host;

pub use host::{
    BackupStart, LogSource, LogWait, ReplicationHost, ReplicationSession, RunningBackup, SenderReport,
    SenderRow, SenderState, ServerPhase, SlotPosition, SlotStore, SlotUse,
};
