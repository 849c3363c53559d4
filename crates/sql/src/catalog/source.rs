use std::path::PathBuf;
use std::time::Duration;

use walship_auth::hba::Parsed;
use walship_node::{BackendState, BackendTls};
use walship_settings::Reload;
use walship_types::{DatabaseName, Durations, Lsn, SegmentSize, SystemId, TimelineId, Timestamp};

use super::{SessionContext, SqlError};
use crate::roles::Privileges;

/// Where the catalog's rows come from and its actions go to: the node, or a stand-in for tests.
///
/// Every method is called from a session's thread in the middle of a statement: it answers from what is in memory and
/// does not wait, except [`CatalogSource::promote`], [`CatalogSource::switch_segment`],
/// [`CatalogSource::create_restore_point`], slot changes and [`CatalogSource::reload`], which do what they say first.
pub trait CatalogSource: Send + Sync {
    /// Facts that do not change while the process runs.
    fn identity(&self) -> NodeIdentity;
    /// Whether the node replays a leader's log now.
    fn in_recovery(&self) -> bool;
    /// The log's positions now.
    fn positions(&self) -> Positions;
    /// What the control file says.
    fn control(&self) -> ControlRow;
    /// Every connection and background worker.
    fn backends(&self) -> Vec<BackendRow>;
    /// Every replication connection that streams or is about to.
    fn replication(&self) -> Vec<ReplicationRow>;
    /// The receiver, on a follower that has one running.
    fn receiver(&self) -> Option<ReceiverRow>;
    /// Every replication slot.
    fn slots(&self) -> Vec<SlotRow>;
    /// Every database.
    fn databases(&self) -> Vec<DatabaseRow>;
    /// Counters of the log.
    fn wal_statistics(&self) -> WalStatistics;
    /// Counters of checkpoints.
    fn checkpoint_statistics(&self) -> CheckpointStatistics;
    /// Counters of the archiver.
    fn archiver_statistics(&self) -> ArchiverStatistics;
    /// Base backups that are being sent.
    fn base_backups(&self) -> Vec<BaseBackupRow>;
    /// Every role, the bootstrap superuser first.
    fn roles(&self) -> Vec<RoleRow>;
    /// What a session may do now.
    fn privileges(&self, _session: &SessionContext) -> Privileges {
        Privileges::ALL
    }
    /// The lines of the access rules' file as it is now.
    fn access_rules(&self) -> Result<Parsed, SqlError> {
        Ok(Parsed { lines: Vec::new() })
    }
    /// When the configuration was last loaded.
    fn configuration_loaded_at(&self) -> Timestamp;
    /// The file that the log is written to now, if it is written to one.
    fn log_file(&self) -> Option<PathBuf> {
        None
    }
    /// How far replay is paused.
    fn replay_pause(&self) -> ReplayPause;
    /// Roles, and how they came about.
    fn failover(&self) -> FailoverRow {
        FailoverRow::default()
    }
    /// Lets a fenced leader take writes again; whether it was fenced.
    fn unfence(&self) -> Result<bool, SqlError> {
        Ok(false)
    }

    /// `walship_stat_synchronous`: the names of `synchronous_standby_names`, in order.
    fn synchronous(&self) -> Vec<SynchronousRow>;

    /// Cancels the statement of another session; whether there is a session of that number.
    fn cancel(&self, pid: i32) -> Result<bool, SqlError>;
    /// Ends another session; whether there was one of that number.
    fn terminate(&self, pid: i32) -> Result<bool, SqlError>;
    /// Loads the configuration files again.
    fn reload(&self) -> Result<Reload, SqlError>;
    /// Promotes a follower; whether it takes writes before the time-out. `None` does not wait and answers true.
    fn promote(&self, wait: Option<Duration>) -> Result<bool, SqlError>;
    /// Goes on in a new segment; the position where the old one ended.
    fn switch_segment(&self) -> Result<Lsn, SqlError>;
    /// Writes a named restore point; its position.
    fn create_restore_point(&self, name: &str) -> Result<Lsn, SqlError>;
    /// Creates a slot; the position that it reserves, if asked to.
    fn create_physical_slot(&self, slot: &NewSlot<'_>) -> Result<Option<Lsn>, SqlError>;
    /// Drops a slot.
    fn drop_slot(&self, name: &str) -> Result<(), SqlError>;
    /// Pauses or resumes replay on a follower.
    fn set_replay_paused(&self, paused: bool) -> Result<(), SqlError>;
}

/// Facts that do not change while the process runs.
#[derive(Debug, Clone)]
pub struct NodeIdentity {
    /// The cluster.
    pub system_id: SystemId,
    /// Size of a log segment.
    pub segment_size: SegmentSize,
    /// The data directory.
    pub data_directory: PathBuf,
    /// When the process started.
    pub started_at: Timestamp,
}

/// Positions of the log; on a leader `receive` and `replay` are `None`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Positions {
    /// Timeline that is written or replayed; 0 before the first.
    pub timeline: u32,
    /// Appended in memory.
    pub insert: Lsn,
    /// Handed to the operating system.
    pub write: Lsn,
    /// Durable.
    pub flush: Lsn,
    /// Received and durable on a follower.
    pub receive: Option<Lsn>,
    /// Visible to readers on a follower.
    pub replay: Option<Lsn>,
    /// Commit time of the last transaction replayed.
    pub last_replayed_commit: Option<Timestamp>,
    /// LSN just behind the record of the last commit that this node acknowledged or replayed.
    pub last_commit: Option<Lsn>,
}

/// What the control file says.
#[derive(Debug, Clone, Copy)]
pub struct ControlRow {
    /// The last completed checkpoint's record.
    pub checkpoint: Lsn,
    /// Where replay would start.
    pub redo: Lsn,
    /// Its timeline.
    pub timeline: TimelineId,
    /// The timeline before it.
    pub previous_timeline: TimelineId,
    /// When it was made.
    pub time: Timestamp,
    /// Replay must pass this before the databases are consistent; `0/0` on a leader.
    pub minimum_recovery: Lsn,
    /// When the control file was last written.
    pub modified_at: Timestamp,
}

/// The far end of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientAddress {
    /// Its IP address; `None` over a Unix socket.
    pub address: Option<std::net::IpAddr>,
    /// Its port; -1 over a Unix socket, as PostgreSQL has it; `None` for a background worker.
    pub port: Option<i32>,
}

/// Class and name of what a session waits for whose turn to write it is not yet.
pub const TURN_WAIT: (&str, &str) = ("Lock", "turn");

/// One row of `pg_stat_activity`.
#[derive(Debug, Clone)]
pub struct BackendRow {
    /// The session's number.
    pub pid: i32,
    /// Name of the database; `None` for replication and background workers.
    pub database: Option<String>,
    /// The user; `None` for background workers.
    pub user: Option<String>,
    /// As the client calls itself.
    pub application_name: String,
    /// Where it connects from.
    pub client: ClientAddress,
    /// When the connection or worker started.
    pub started_at: Timestamp,
    /// When its transaction started.
    pub transaction_started_at: Option<Timestamp>,
    /// When its statement started.
    pub statement_started_at: Option<Timestamp>,
    /// When its state changed last.
    pub state_changed_at: Option<Timestamp>,
    /// Class and name of what it waits for: `("IPC", "SyncRep")`, `("Lock", "turn")`, `("Client", "ClientRead")`.
    pub wait: Option<(&'static str, &'static str)>,
    /// What it does; `None` for background workers.
    pub state: Option<BackendState>,
    /// The running statement, or the last one.
    pub query: String,
    /// `client backend`, `walsender`, `walreceiver`, `checkpointer`, `startup`...
    pub kind: &'static str,
    /// What encrypts the connection.
    pub tls: Option<BackendTls>,
}

/// One row of `pg_stat_replication`.
#[derive(Debug, Clone)]
pub struct ReplicationRow {
    /// The session's number.
    pub pid: i32,
    /// The user.
    pub user: String,
    /// The follower's name.
    pub application_name: String,
    /// Where it connects from.
    pub client: ClientAddress,
    /// When it connected.
    pub started_at: Timestamp,
    /// `startup`, `catchup`, `streaming`, `backup` or `stopping`.
    pub state: &'static str,
    /// Sent to it.
    pub sent: Option<Lsn>,
    /// Reported as written.
    pub write: Option<Lsn>,
    /// Reported as durable.
    pub flush: Option<Lsn>,
    /// Reported as visible.
    pub replay: Option<Lsn>,
    /// Time from our flush to its write; `None` when it is caught up and idle.
    pub write_lag: Option<Duration>,
    /// Time from our flush to its flush.
    pub flush_lag: Option<Duration>,
    /// Time from our flush to its replay.
    pub replay_lag: Option<Duration>,
    /// Its place among the synchronous candidates; 0 if it is none.
    pub sync_priority: i32,
    /// `async`, `potential`, `sync` or `quorum`.
    pub sync_state: &'static str,
    /// When its last report was sent, by its clock.
    pub reply_time: Option<Timestamp>,
}

/// The row of `pg_stat_wal_receiver`.
#[derive(Debug, Clone)]
pub struct ReceiverRow {
    /// The receiver's number.
    pub pid: i32,
    /// `stopped`, `starting`, `streaming`, `waiting`, `restarting` or `stopping`.
    pub status: &'static str,
    /// Where it started.
    pub receive_start: Lsn,
    /// On which timeline.
    pub receive_start_timeline: TimelineId,
    /// Written.
    pub written: Lsn,
    /// Durable.
    pub flushed: Lsn,
    /// The timeline of that.
    pub received_timeline: TimelineId,
    /// When the leader sent its last message, by its clock.
    pub last_message_sent_at: Option<Timestamp>,
    /// When that came.
    pub last_message_received_at: Option<Timestamp>,
    /// The leader's position last reported to it.
    pub latest_end: Option<Lsn>,
    /// When that was.
    pub latest_end_at: Option<Timestamp>,
    /// The slot in use.
    pub slot_name: Option<String>,
    /// The leader's host.
    pub sender_host: Option<String>,
    /// The leader's port.
    pub sender_port: Option<i32>,
    /// The connection string without its password.
    pub conninfo: String,
}

/// One row of `pg_replication_slots`.
#[derive(Debug, Clone)]
pub struct SlotRow {
    /// Its name.
    pub name: String,
    /// Whether it ends with its session.
    pub temporary: bool,
    /// The session that uses it.
    pub active_pid: Option<i32>,
    /// The oldest position that it keeps.
    pub restart: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved` or `lost`; `None` without a position.
    pub wal_status: Option<&'static str>,
    /// Bytes until it may be lost; `None` without a limit.
    pub safe_wal_size: Option<i64>,
}

/// What a slot shall be.
#[derive(Debug, Clone, Copy)]
pub struct NewSlot<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether it keeps the log from now on rather than from its first use.
    pub reserve: bool,
    /// The session that it ends with.
    pub temporary_for: Option<i32>,
}

/// One database: `pg_database`, `pg_stat_database` and `walship_stat_database`.
#[derive(Debug, Clone, Default)]
pub struct DatabaseRow {
    /// Its id; never used again.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Size of a page, in bytes.
    pub page_size: u32,
    /// Pages.
    pub pages: u64,
    /// Sessions connected to it.
    pub sessions: i32,
    /// Transactions of sessions, reading ones too, committed since the process started.
    pub commits: u64,
    /// Transactions of sessions rolled back.
    pub rollbacks: u64,
    /// Commits that were logged since this node leads.
    pub logged_commits: u64,
    /// Commits of foreign programs among them.
    pub foreign_commits: u64,
    /// Sessions ever.
    pub sessions_total: u64,
    /// Checksum of the database as logged.
    pub checksum: u64,
    /// Up to which position the file itself was last held against the page hashes.
    pub verified: Option<Lsn>,
    /// When.
    pub verified_at: Option<Timestamp>,
    /// How often the whole file was found right, since the process started.
    pub verifications: u64,
    /// Mismatches found.
    pub checksum_failures: u64,
    /// When the last one was.
    pub checksum_last_failure: Option<Timestamp>,
    /// Why replay of this database is stopped.
    pub stopped_because: Option<String>,
    /// Log bytes that its commits took since the process started.
    pub log_bytes: u64,
    /// Position of its last commit.
    pub last_commit: Option<Lsn>,
    /// Sessions that wait for their turn to write.
    pub waiting_writers: i32,
    /// The session whose turn it is.
    pub writer_pid: Option<i32>,
    /// Bytes of SQLite's -wal.
    pub sqlite_wal_bytes: u64,
    /// Frames of the -wal that are not yet in the file.
    pub sqlite_wal_pending_frames: u64,
    /// The session whose snapshot keeps the -wal from restarting, if it is one of ours.
    pub oldest_reader_pid: Option<i32>,
    /// Since when that snapshot is held.
    pub oldest_reader_since: Option<Timestamp>,
    /// Bytes of the -wal that it holds back.
    pub oldest_reader_holds_bytes: Option<u64>,
}

impl DatabaseRow {
    /// Whether it is where the cluster keeps its roles: nobody connects to it, and tools that
    /// go through every database pass it by.
    pub fn is_shared_catalog(&self) -> bool {
        self.name == DatabaseName::shared_catalog().as_str()
    }
}

/// One name of `synchronous_standby_names`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SynchronousRow {
    /// `FIRST` or `ANY`.
    pub method: &'static str,
    /// How many followers a commit waits for.
    pub wanted: i32,
    /// Its place in the list, from 1.
    pub place: i32,
    /// The name; `*` for every follower.
    pub name: String,
    /// How many connected followers it matches.
    pub followers: i32,
    /// What commits make of them: `sync`, `quorum`, `potential`, or `missing` if it matches none that counts.
    pub state: &'static str,
}

/// Counters of the log, since the process started.
#[derive(Debug, Clone, Copy, Default)]
pub struct WalStatistics {
    /// Records.
    pub records: u64,
    /// Pages logged in full.
    pub full_pages: u64,
    /// Bytes.
    pub bytes: u64,
    /// Times that an append waited for memory.
    pub buffers_full: u64,
    /// Writes.
    pub writes: u64,
    /// Time in writes.
    pub write_time: Duration,
    /// Syncs, by the time that each took.
    pub syncs: Durations,
    /// Whether the disk is full, and the log waits for room.
    pub stalled: bool,
}

/// Counters of checkpoints, since the process started.
#[derive(Debug, Clone, Copy, Default)]
pub struct CheckpointStatistics {
    /// Begun by the clock.
    pub timed: u64,
    /// Asked for, by the log's size or a command.
    pub requested: u64,
    /// Time in writing.
    pub write_time: Duration,
    /// Time in syncing.
    pub sync_time: Duration,
    /// Pages written.
    pub pages: u64,
}

/// Counters of the archiver, since the process started.
#[derive(Debug, Clone, Default)]
pub struct ArchiverStatistics {
    /// Segments archived.
    pub archived: u64,
    /// The last one.
    pub last_archived: Option<(String, Timestamp)>,
    /// Failures.
    pub failed: u64,
    /// The last one.
    pub last_failed: Option<(String, Timestamp)>,
}

/// One row of `pg_stat_progress_basebackup`.
#[derive(Debug, Clone)]
pub struct BaseBackupRow {
    /// The session's number.
    pub pid: i32,
    /// PostgreSQL's name of the phase.
    pub phase: &'static str,
    /// Bytes in all, where they are known.
    pub total: Option<u64>,
    /// Bytes sent.
    pub streamed: u64,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRow {
    /// Its oid: 10 for the bootstrap superuser, others from 16384 on.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// May do everything.
    pub superuser: bool,
    /// May replicate.
    pub replication: bool,
    /// May create databases.
    pub create_database: bool,
    /// May log in.
    pub login: bool,
    /// May make roles.
    pub create_role: bool,
    /// How many sessions it may have; -1 for any number.
    pub connection_limit: i32,
    /// The verifier of its password.
    pub verifier: Option<String>,
    /// When its password stops being good.
    pub valid_until: Option<Timestamp>,
    /// In which databases it may do what (`read`, `write`); `None` is in every one.
    pub privileges: Vec<(Option<String>, &'static str)>,
}

/// How far replay is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayPause {
    /// Replay goes on.
    NotPaused,
    /// Asked for, and not yet come to rest.
    Requested,
    /// At rest.
    Paused,
}

/// The row of `walship_stat_failover`.
#[derive(Debug, Clone, Default)]
pub struct FailoverRow {
    /// `leader`, `follower` or `fenced`.
    pub role: &'static str,
    /// The timeline that is written or received.
    pub timeline: u32,
    /// How long the leader has been silent, on a follower.
    pub leader_silent: Option<Duration>,
    /// What the last promotion in this process did.
    pub promotion: Option<PromotionRow>,
    /// Why this node takes no writes, if it was fenced.
    pub fence: Option<FenceRow>,
}

/// A promotion.
#[derive(Debug, Clone)]
pub struct PromotionRow {
    /// When sessions could write.
    pub time: Timestamp,
    /// From the request until then.
    pub took: Duration,
    /// Where the new timeline begins.
    pub switch_lsn: Lsn,
    /// Bytes that the old leader had told of and that never came.
    pub behind: u64,
    /// `handed over`, `pending`, `fenced`, `not fenced` or `unknown`.
    pub old_leader: &'static str,
    /// Which node was fenced, or why none was.
    pub old_leader_detail: Option<String>,
}

/// A fence.
#[derive(Debug, Clone)]
pub struct FenceRow {
    /// Who leads.
    pub node: String,
    /// Which timeline.
    pub timeline: u32,
    /// Where that left this node's.
    pub switch_lsn: Lsn,
    /// When this node learned of it.
    pub time: Timestamp,
}
