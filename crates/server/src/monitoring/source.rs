use std::time::Duration;

use walship_sql::catalog::CatalogSource;
use walship_types::{Durations, Timestamp};

/// A node as it is watched: what its views show, and what they have no column for.
pub trait MonitoringSource: CatalogSource {
    /// The latter, as of now.
    fn monitored(&self) -> Monitored;
}

/// What the catalog's views have no column for.
#[derive(Debug, Clone, Default)]
pub struct Monitored {
    /// `cluster_name`, or the program's name.
    pub name: String,
    /// Where it listens for SQL.
    pub port: i64,
    /// How long commits that no follower has to confirm waited for the log to be durable here.
    pub commit_flush: Durations,
    /// How long the others waited for synchronous followers, the log here included.
    pub commit_followers: Durations,
    /// `max_connections`.
    pub connections_max: u64,
    /// `max_wal_senders`.
    pub senders_max: u64,
    /// `max_replication_slots`.
    pub slots_max: u64,
    /// How long a follower has not heard of its leader, if it ever has in this process.
    pub leader_silent: Option<Duration>,
    /// When the TLS certificate in use is no longer valid.
    pub certificate_expires: Option<Timestamp>,
    /// Why a follower has no connection to its leader.
    pub receiver_error: Option<String>,
}
