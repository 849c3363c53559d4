use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;
use walship_disk::SharedDisk;
use walship_engine::Databases;
use walship_node::{Backends, ControlFile, DataDirectory, NodeError, Receiver, Senders, Slots};
use walship_replication::ServerPhase;
use walship_settings::{Settings, SharedSettings};
use walship_types::{DurationHistogram, Lsn, SegmentSize, SystemId, Timestamp};

use super::StartOptions;
use super::archiver::Archiver;
use super::checkpointer::CheckpointRequests;
use super::failover::Failover;
use super::log::NodeLog;
use super::promotion::PromotionRequests;
use super::recovery_command::RecoveryCommand;
use super::scrubber::Scrubs;
use super::switchover::SwitchoverRequests;
use crate::access::{Access, RoleStore};

/// A running node: the parts that sessions, senders and the receiver share.
///
/// It has no behaviour of its own beyond giving access; each part says what it protects.
pub struct Node {
    pub(crate) options: StartOptions,
    pub(crate) directory: DataDirectory,
    pub(crate) disk: SharedDisk,
    pub(crate) system_id: SystemId,
    pub(crate) segment_size: SegmentSize,
    pub(crate) started: Timestamp,
    /// End of the log when the process started.
    pub(crate) started_at_lsn: Lsn,
    pub(crate) settings: Arc<SharedSettings>,
    pub(crate) settings_loaded: Mutex<Timestamp>,
    pub(crate) databases: Arc<Databases>,
    pub(crate) roles: Arc<RoleStore>,
    pub(crate) access: Arc<Access>,
    // protects the role's log; held to copy it
    log: RwLock<NodeLog>,
    pub(crate) control: ControlStore,
    pub(crate) slots: Arc<Slots>,
    pub(crate) backends: Arc<Backends>,
    pub(crate) senders: Arc<Senders>,
    pub(crate) receiver: Arc<Receiver>,
    pub(crate) phase: watch::Sender<ServerPhase>,
    pub(crate) checkpoints: Arc<CheckpointRequests>,
    pub(crate) checkpoint_counts: CheckpointCounts,
    pub(crate) commit_waits: CommitWaits,
    pub(crate) promotions: PromotionRequests,
    pub(crate) scrubs: Scrubs,
    pub(crate) switchovers: SwitchoverRequests,
    pub(crate) failover: Failover,
    pub(crate) archiver: Archiver,
    pub(crate) archive_cleanup: RecoveryCommand,
    pub(crate) recovery_end: RecoveryCommand,
    /// End of the last commit that was acknowledged here; for views.
    pub(crate) last_commit: AtomicU64,
}

/// What a node is made of, to begin with.
pub(crate) struct NodeParts {
    pub(crate) options: StartOptions,
    pub(crate) directory: DataDirectory,
    pub(crate) disk: SharedDisk,
    pub(crate) settings: Settings,
    pub(crate) databases: Arc<Databases>,
    pub(crate) log: NodeLog,
    pub(crate) control: ControlFile,
    pub(crate) slots: Arc<Slots>,
}

/// How many checkpoints there were, and why.
#[derive(Debug, Default)]
pub(crate) struct CheckpointCounts {
    pub(crate) timed: AtomicU64,
    pub(crate) requested: AtomicU64,
    /// Time in them, in microseconds.
    pub(crate) micros: AtomicU64,
}

/// What acknowledged commits waited for.
#[derive(Debug, Default)]
pub(crate) struct CommitWaits {
    /// The log to be durable here.
    pub(crate) flush: DurationHistogram,
    /// Synchronous followers, after that.
    pub(crate) followers: DurationHistogram,
}

impl Node {
    pub(crate) fn new(parts: NodeParts, access: Arc<Access>) -> Arc<Node> {
        let NodeParts { options, directory, disk, settings, databases, log, control, slots } = parts;
        let roles = Arc::new(RoleStore::new(Arc::clone(&databases)));
        access.set_roles(Arc::clone(&roles));
        let now = Timestamp::now();
        let leads = matches!(log, NodeLog::Leader(_));
        let failover = Failover::new(control.fence.clone().filter(|_| leads));
        let node = Arc::new(Node {
            system_id: control.system_id,
            segment_size: control.segment_size,
            started: now,
            started_at_lsn: log.positions().insert.get(),
            settings: Arc::new(SharedSettings::new(settings)),
            settings_loaded: Mutex::new(now),
            databases,
            roles,
            access,
            log: RwLock::new(log),
            control: ControlStore {
                current: Mutex::new(control),
                disk: Arc::clone(&disk),
                directory: directory.clone(),
            },
            slots,
            backends: Arc::default(),
            senders: Arc::default(),
            receiver: Arc::default(),
            phase: watch::Sender::new(ServerPhase::Running),
            checkpoints: Arc::default(),
            checkpoint_counts: CheckpointCounts::default(),
            commit_waits: CommitWaits::default(),
            promotions: PromotionRequests::default(),
            scrubs: Scrubs::default(),
            switchovers: SwitchoverRequests::default(),
            failover,
            archiver: Archiver::default(),
            archive_cleanup: RecoveryCommand::new("archive_cleanup_command"),
            recovery_end: RecoveryCommand::new("recovery_end_command"),
            last_commit: AtomicU64::new(0),
            options,
            directory,
            disk,
        });
        if node.failover.is_fenced() {
            node.databases.fence();
        }
        node.tell_role();
        node.judge_by_settings();
        node
    }

    /// The log in the present role.
    pub(crate) fn log(&self) -> NodeLog {
        self.log.read().clone()
    }

    pub(crate) fn set_log(&self, log: NodeLog) {
        *self.log.write() = log;
        self.judge_by_settings();
    }

    /// Whether this node replays a leader's log.
    pub(crate) fn is_follower(&self) -> bool {
        matches!(*self.log.read(), NodeLog::Follower(_))
    }

    /// A snapshot of the settings.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.load()
    }

    /// Notes that a commit was acknowledged.
    pub(crate) fn note_commit(&self, lsn: Lsn) {
        self.last_commit.fetch_max(lsn.0, Ordering::Relaxed);
    }
}

/// The control file of a running node: one writer at a time.
pub(crate) struct ControlStore {
    // protects the file and its copy in memory; held over the write, so that the
    // file's versions come in order. Readers want the copy seldom and can wait
    current: Mutex<ControlFile>,
    disk: SharedDisk,
    directory: DataDirectory,
}

impl ControlStore {
    /// A copy.
    pub(crate) fn get(&self) -> ControlFile {
        self.current.lock().clone()
    }

    /// Changes it durably; on an error neither the file nor the copy changed.
    pub(crate) fn update(&self, change: impl FnOnce(&mut ControlFile)) -> Result<(), NodeError> {
        let mut current = self.current.lock();
        let mut changed = current.clone();
        change(&mut changed);
        changed.write(&self.disk, &self.directory)?;
        *current = changed;
        Ok(())
    }
}
