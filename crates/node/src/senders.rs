use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use walship_types::{Lsn, Timestamp};

/// `pg_stat_replication.state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SenderState {
    /// Before the first byte.
    #[default]
    Startup,
    /// Sending what was there when it connected.
    Catchup,
    /// Sending what comes.
    Streaming,
    /// Sending a base backup.
    Backup,
    /// Sending the last bytes before a shutdown.
    Stopping,
}

impl SenderState {
    /// As the view shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            SenderState::Startup => "startup",
            SenderState::Catchup => "catchup",
            SenderState::Streaming => "streaming",
            SenderState::Backup => "backup",
            SenderState::Stopping => "stopping",
        }
    }
}

/// One replication connection, as views show it. Positions are ends: last byte plus one.
#[derive(Debug, Clone, Default)]
pub struct SenderInfo {
    /// The session's number.
    pub pid: i32,
    /// The follower's `application_name`.
    pub application_name: String,
    /// What it does.
    pub state: SenderState,
    /// Handed to the socket.
    pub sent: Lsn,
    /// Written by the follower, as it says.
    pub write: Lsn,
    /// Durable at the follower, as it says; invalid if it never said.
    pub flush: Lsn,
    /// Visible at the follower, as it says.
    pub replay: Lsn,
    /// Time from local flush to the follower's write, flush and replay.
    pub write_lag: Option<std::time::Duration>,
    /// See `write_lag`.
    pub flush_lag: Option<std::time::Duration>,
    /// See `write_lag`.
    pub replay_lag: Option<std::time::Duration>,
    /// When the follower's last message was sent, by its own clock.
    pub reply_time: Option<Timestamp>,
    /// A base backup needs the log from here on.
    pub backup_start: Option<Lsn>,
}

type Listener = Box<dyn Fn() + Send + Sync>;

/// The node's replication connections.
#[derive(Default)]
pub struct Senders {
    // protects the map; held for a copy at most
    rows: Mutex<BTreeMap<i32, SenderInfo>>,
    // set once at start; called after every change of positions or membership
    listener: Mutex<Option<Arc<Listener>>>,
}

impl Senders {
    /// Adds a connection. Its row goes when the guard is dropped.
    pub fn register(self: &Arc<Self>, pid: i32, application_name: String) -> SenderGuard {
        let info = SenderInfo { pid, application_name, ..SenderInfo::default() };
        self.rows.lock().insert(pid, info);
        SenderGuard { senders: Arc::clone(self), pid }
    }

    /// All connections, by pid.
    pub fn list(&self) -> Vec<SenderInfo> {
        self.rows.lock().values().cloned().collect()
    }

    /// Calls `listener` whenever a follower's position or the set of followers changes.
    pub fn on_change(&self, listener: impl Fn() + Send + Sync + 'static) {
        *self.listener.lock() = Some(Arc::new(Box::new(listener)));
    }

    /// The oldest position that a connection without a slot still needs: what it
    /// has not been sent or, during a base backup, what makes that consistent.
    pub fn oldest_needed(&self) -> Option<Lsn> {
        let rows = self.rows.lock();
        let needed = rows.values().flat_map(|r| {
            let streaming = (r.state != SenderState::Backup && r.sent.is_valid()).then_some(r.sent);
            [streaming, r.backup_start]
        });
        needed.flatten().min()
    }

    fn changed(&self) {
        let listener = self.listener.lock().clone();
        if let Some(listener) = listener {
            listener();
        }
    }
}

/// A connection's row; dropping it removes the row.
pub struct SenderGuard {
    senders: Arc<Senders>,
    pid: i32,
}

impl SenderGuard {
    /// Changes the row.
    pub fn update(&self, change: impl FnOnce(&mut SenderInfo)) {
        if let Some(row) = self.senders.rows.lock().get_mut(&self.pid) {
            change(row);
        }
        self.senders.changed();
    }
}

impl Drop for SenderGuard {
    fn drop(&mut self) {
        self.senders.rows.lock().remove(&self.pid);
        self.senders.changed();
    }
}
