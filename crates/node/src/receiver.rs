use parking_lot::Mutex;
use walship_types::{Lsn, TimelineId, Timestamp};

/// `pg_stat_wal_receiver.status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReceiverStatus {
    /// There is no receiver, or it is between two attempts.
    #[default]
    Stopped,
    /// Connecting.
    Starting,
    /// Receiving.
    Streaming,
    /// At the end of a timeline, waiting for where to go on.
    Waiting,
}

impl ReceiverStatus {
    /// As the view shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            ReceiverStatus::Stopped => "stopped",
            ReceiverStatus::Starting => "starting",
            ReceiverStatus::Streaming => "streaming",
            ReceiverStatus::Waiting => "waiting",
        }
    }
}

/// What is known of the follower's connection to its leader.
#[derive(Debug, Clone, Default)]
pub struct ReceiverInfo {
    /// What it does.
    pub status: ReceiverStatus,
    /// Where streaming began.
    pub start: Lsn,
    /// On which timeline.
    pub start_timeline: Option<TimelineId>,
    /// The timeline of what comes now.
    pub received_timeline: Option<TimelineId>,
    /// When the leader sent its last message, by its own clock.
    pub last_message_sent: Option<Timestamp>,
    /// When that arrived.
    pub last_message_received: Option<Timestamp>,
    /// The leader's end of log as of that message.
    pub latest_end: Lsn,
    /// When that was first known.
    pub latest_end_time: Option<Timestamp>,
    /// The slot it streams from.
    pub slot_name: Option<String>,
    /// The leader it is connected to.
    pub sender_host: Option<String>,
    /// Its port.
    pub sender_port: Option<u16>,
    /// The connection string, passwords hidden.
    pub conninfo: String,
    /// Why the last attempt ended, while there is no connection.
    pub last_error: Option<String>,
}

/// The follower's connection to its leader, as views show it.
#[derive(Debug, Default)]
pub struct Receiver {
    // protects the row; held for a copy at most
    info: Mutex<ReceiverInfo>,
}

impl Receiver {
    /// A copy of the row.
    pub fn get(&self) -> ReceiverInfo {
        self.info.lock().clone()
    }

    /// Changes the row.
    pub fn update(&self, change: impl FnOnce(&mut ReceiverInfo)) {
        change(&mut self.info.lock());
    }
}
