use std::time::{Duration, Instant};

use walship_types::{DatabaseId, DatabaseName, Lsn, PageSize};

use crate::database::Database;
use crate::databases::Databases;

/// What there is to know about a database, for views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseInfo {
    /// Its id.
    pub id: DatabaseId,
    /// Its name.
    pub name: DatabaseName,
    /// Size of its pages.
    pub page_size: PageSize,
    /// Its size in pages.
    pub pages: u32,
    /// Sessions that use it.
    pub sessions: usize,
    /// Sessions that there ever were.
    pub sessions_total: u64,
    /// Transactions of sessions, reading ones too, that were committed.
    pub transactions_committed: u64,
    /// Transactions of sessions that were rolled back.
    pub transactions_rolled_back: u64,
    /// Whether somebody has the turn to write.
    pub turn_held: bool,
    /// Number of the session whose turn it is, where it told one.
    pub writer: Option<i32>,
    /// Sessions that wait for the turn to write.
    pub writers_waiting: usize,
    /// Frames in its -wal.
    pub wal_frames: u32,
    /// Bytes of its -wal that are in use.
    pub wal_bytes: u64,
    /// Frames that are moved into the file.
    pub wal_backfilled: u32,
    /// The frame beyond which readers keep frames from being moved; 0 where they
    /// keep all.
    pub oldest_read_mark: Option<u32>,
    /// For how long readers have kept the -wal from restarting.
    pub held_back_for: Option<Duration>,
    /// End of its last commit in the log, since this node leads.
    pub last_commit: Lsn,
    /// How often commits were captured.
    pub commits: u64,
    /// Commits of foreign programs that were found.
    pub foreign_commits: u64,
    /// Bytes of log that its commits took since this node leads.
    pub log_bytes: u64,
    /// Pages that were logged in full since this node leads.
    pub full_pages: u64,
    /// Why nobody may use it, if so.
    pub closed: Option<String>,
    /// Why replay of it has stopped, if so.
    pub replay_stopped: Option<String>,
}

impl Databases {
    /// What there is to know about each database, by name.
    pub fn list(&self) -> Vec<DatabaseInfo> {
        self.all().iter().map(|database| database.info()).collect()
    }
}

impl Database {
    /// What there is to know about it. Takes no lock that a writer waits for.
    pub fn info(&self) -> DatabaseInfo {
        let header = self.wal_index.header();
        let (commits, foreign_commits) = self.published.counts();
        let (sessions_total, transactions_committed, transactions_rolled_back) = self.session_counts();
        let logged = self.logged.lock().clone();
        let volume = logged.map(|logged| logged.lock().volume).unwrap_or_default();
        let held_back_since =
            self.maintenance.try_lock().and_then(|m| m.as_ref().and_then(|m| m.held_back_since));
        DatabaseInfo {
            id: self.id(),
            name: self.name().clone(),
            page_size: self.page_size(),
            pages: header.pages,
            sessions: self.sessions(),
            sessions_total,
            transactions_committed,
            transactions_rolled_back,
            turn_held: self.turns.is_held(),
            writer: self.turns.holder(),
            writers_waiting: self.turns.waiting(),
            wal_frames: header.frames,
            wal_bytes: self.wal_bytes(header.frames),
            wal_backfilled: self.wal_index.backfilled(),
            oldest_read_mark: self.wal_index.oldest_read_mark(),
            held_back_for: held_back_since.map(|since| Instant::now() - since),
            last_commit: self.published.end(),
            commits,
            foreign_commits,
            log_bytes: volume.bytes,
            full_pages: volume.full_pages,
            closed: self.closed_reason(),
            replay_stopped: self.replay_stopped(),
        }
    }
}
