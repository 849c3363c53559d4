use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use walship_archive::Archive;
use walship_disk::SharedDisk;
use walship_node::ReceiverStatus;
use walship_protocol::{Conninfo, SlotName};
use walship_types::{Lsn, SegmentSize, SystemId, TimelineHistory, TimelineId, Timestamp};
use walship_wal::PositionWatch;

use super::ReceiverError;

/// What the receiver is told to do; read anew for every attempt, so that a reload counts.
#[derive(Debug, Clone)]
pub struct ReceiverSettings {
    /// `primary_conninfo`.
    pub conninfo: Conninfo,
    /// `primary_slot_name`; it is made if it is not there.
    pub slot: Option<SlotName>,
    /// How the follower calls itself when the connection string does not say.
    pub application_name: String,
    /// `wal_receiver_status_interval`; zero for never by time.
    pub status_interval: Duration,
    /// `wal_receiver_timeout`; zero for never.
    pub timeout: Duration,
    /// Silence after which the sender is asked for a sign of life, if that is earlier than
    /// half of `timeout`.
    pub sign_interval: Option<Duration>,
    /// `wal_retrieve_retry_interval`: the longest pause between attempts.
    pub retry_interval: Duration,
    /// Where log comes from that no sender gives.
    pub restore: Option<RestoreSource>,
}

/// An archive that a follower reads from, and the node's own log.
#[derive(Debug, Clone)]
pub struct RestoreSource {
    /// `restore_command` or `restore_directory`.
    pub archive: Archive,
    /// The node's files.
    pub disk: SharedDisk,
    /// Its `pg_wal`.
    pub wal: PathBuf,
}

/// A row of `pg_stat_wal_receiver`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReceiverReport {
    /// What it does.
    pub status: ReceiverStatus,
    /// Where streaming began.
    pub start: Lsn,
    /// On which timeline.
    pub timeline: Option<TimelineId>,
    /// The sender's clock in its last message.
    pub last_message_sent: Option<Timestamp>,
    /// When that arrived.
    pub last_message_received: Option<Timestamp>,
    /// The sender's end of log, as it last said.
    pub latest_end: Lsn,
    /// The slot it streams from.
    pub slot: Option<SlotName>,
    /// The host it is connected to.
    pub host: Option<String>,
    /// And its port.
    pub port: Option<u16>,
    /// The connection string, passwords hidden.
    pub conninfo: String,
    /// Why the last attempt ended.
    pub last_error: Option<String>,
}

/// What the receiver needs of its node. The log's sink is the receiver's own while it runs.
pub trait ReceiverHost: Send + Sync + 'static {
    /// The cluster.
    fn system_id(&self) -> SystemId;

    /// Size of its log segments.
    fn segment_size(&self) -> SegmentSize;

    /// What to do.
    fn settings(&self) -> Result<ReceiverSettings, ReceiverError>;

    /// The oldest timeline that a sender may be on, if somebody was promised that.
    fn oldest_timeline(&self) -> Option<TimelineId> {
        None
    }

    /// The node that leads this one's timeline, for people.
    fn name_of_leader(&self) -> String {
        "unknown".to_owned()
    }

    /// What is visible to readers here; `None` before replay has started.
    fn replay(&self) -> Option<Arc<PositionWatch>>;

    /// Whether a session of this node's own has this client address: then the host at the
    /// other end is this node itself.
    fn is_own_client(&self, address: SocketAddr) -> bool;

    /// Keeps a history file durably; blocks.
    fn write_history(&self, history: &TimelineHistory) -> Result<(), ReceiverError>;

    /// The log goes on on another timeline: called after its history file is durable and
    /// the sink has switched, before a byte of the new timeline is written. Blocks.
    fn timeline_switched(&self, history: Arc<TimelineHistory>) -> Result<(), ReceiverError>;

    /// Shows where the receiver is.
    fn report(&self, report: &ReceiverReport);
}
