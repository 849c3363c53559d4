use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use walship_settings::StandbyNames;
use walship_types::{Lsn, Timestamp};

use crate::BackupProgress;
use crate::synchronous::{SyncFollower, SyncLevels, SyncPositions, SyncStanding, Synchronous};

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
    /// How far the base backup that it sends is.
    pub backup: Option<Arc<BackupProgress>>,
}

/// The node's replication connections, and which of them commits wait for.
#[derive(Default)]
pub struct Senders {
    // protects the map; held for a copy or a judgement at most
    rows: Mutex<BTreeMap<i32, SenderInfo>>,
    synchronous: Synchronous,
}

impl Senders {
    /// Adds a connection. Its row goes when the guard is dropped.
    pub fn register(self: &Arc<Self>, pid: i32, application_name: String) -> SenderGuard {
        let name = application_name.clone();
        let info = SenderInfo { pid, application_name, ..SenderInfo::default() };
        self.rows.lock().insert(pid, info);
        SenderGuard { senders: Arc::clone(self), pid, name }
    }

    /// All connections, by pid.
    pub fn list(&self) -> Vec<SenderInfo> {
        self.rows.lock().values().cloned().collect()
    }

    /// The rule for synchronous commits, and how far they are released.
    pub fn synchronous(&self) -> &Synchronous {
        &self.synchronous
    }

    /// Puts `synchronous_standby_names` in force and judges again at once; without a rule, every commit up to the end
    /// of the log, `end`, is released. `end` is asked after the change.
    pub fn set_synchronous(&self, names: Option<StandbyNames>, end: impl FnOnce() -> Lsn) {
        let none = names.is_none();
        self.synchronous.set_names(names);
        if none {
            self.synchronous.release_all(end());
        }
        self.changed();
    }

    /// All connections, by pid, each with its place among the synchronous ones.
    pub fn standings(&self) -> Vec<(SenderInfo, SyncStanding)> {
        let rows = self.list();
        let followers: Vec<_> = rows.iter().map(candidate).collect();
        let standings = self.synchronous.judge(&followers).map(|judgement| judgement.standings);
        let standings = standings.unwrap_or_else(|| vec![SyncStanding::default(); rows.len()]);
        rows.into_iter().zip(standings).collect()
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

    /// Judges the followers again, and wakes the commits that need not wait any more.
    fn changed(&self) {
        let (judgement, standings) = {
            let rows = self.rows.lock();
            let followers: Vec<_> = rows.values().map(candidate).collect();
            let Some(judgement) = self.synchronous.judge(&followers) else { return };
            let named = rows.values().zip(&judgement.standings);
            let standings: Vec<_> =
                named.map(|(row, standing)| (row.pid, row.application_name.clone(), *standing)).collect();
            (judgement, standings)
        };
        self.synchronous.release(&judgement);
        self.synchronous.announce(&standings, judgement.released.is_none());
    }
}

fn candidate(row: &SenderInfo) -> SyncFollower<'_> {
    SyncFollower {
        name: &row.application_name,
        streaming: matches!(row.state, SenderState::Streaming | SenderState::Stopping),
        positions: positions(row),
    }
}

fn positions(row: &SenderInfo) -> SyncPositions {
    SyncPositions { write: row.write, flush: row.flush, apply: row.replay }
}

/// A connection's row; dropping it removes the row.
pub struct SenderGuard {
    senders: Arc<Senders>,
    pid: i32,
    name: String,
}

impl SenderGuard {
    /// What commits wait for at this follower.
    pub fn awaited(&self) -> SyncLevels {
        self.senders.synchronous.awaited(&self.name)
    }

    /// Changes the row. Commits are judged again if what the follower has, or what it does, is different afterwards.
    pub fn update(&self, change: impl FnOnce(&mut SenderInfo)) {
        let changed = {
            let mut rows = self.senders.rows.lock();
            let Some(row) = rows.get_mut(&self.pid) else { return };
            let before = (row.state, positions(row));
            change(row);
            before != (row.state, positions(row))
        };
        if changed {
            self.senders.changed();
        }
    }
}

impl Drop for SenderGuard {
    fn drop(&mut self) {
        self.senders.rows.lock().remove(&self.pid);
        self.senders.changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_is_needed_from_where_a_stream_or_a_backup_is() {
        let senders = Arc::new(Senders::default());
        assert_eq!(senders.oldest_needed(), None);
        let stream = senders.register(1, "follower".to_owned());
        stream.update(|row| (row.state, row.sent) = (SenderState::Streaming, Lsn(300)));
        assert_eq!(senders.oldest_needed(), Some(Lsn(300)));
        let backup = senders.register(2, "backup".to_owned());
        // what it has sent is no position in the log
        backup.update(|row| {
            (row.state, row.sent, row.backup_start) = (SenderState::Backup, Lsn(1), Some(Lsn(200)));
        });
        assert_eq!(senders.oldest_needed(), Some(Lsn(200)));
        drop(backup);
        assert_eq!(senders.oldest_needed(), Some(Lsn(300)));
    }
}
