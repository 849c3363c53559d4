//! Replication connections: what `replication=true` gives, the follower's receiver, and
//! what both need of the node that they run on.

mod base_backup;
mod channel;
mod databases;
mod failover;
mod fetch_backup;
mod follower_events;
mod host;
mod log_format;
mod log_source;
mod pages;
pub mod receiver;
mod serve;
mod slots;
mod stream;

pub use channel::ConnectionError;
pub use failover::{FailoverHost, SwitchedOver, Switchover, TimelineStart};
pub use fetch_backup::{BackupFormat, Destination, FetchError, FetchedBackup, Progress, fetch_base_backup};
pub use host::{
    BackupStart, CheckedLog, LogSource, LogWait, PageReader, ReplicationHost, ReplicationSession,
    RunningBackup, SenderReport, SenderRow, ServerPhase, SlotPosition, SlotStore, SlotUse,
};
pub use log_format::OtherLogFormat;
pub use log_format::check_log_format;
pub use serve::serve_replication;
