use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use walship_types::{DatabaseId, DatabaseName, Lsn, PageSize};
use walship_wal::WalWriter;

use crate::EngineError;
use crate::capture::{Author, Capture, Captured, Log, Logged};
use crate::maintenance::Maintenance;
use crate::page::TrackedHashes;
use crate::published::{Advance, Published};
use crate::raw_file::raw_file;
use crate::shared::{Asked, Shared};
use crate::sqlite::{WalIndex, WalIndexHeader};
use crate::turn::{Ended, Turn, TurnQueue, WaitLimits};

/// One open database of the cluster.
///
/// On a leader it knows what of its -wal is in the log; the parts that only the
/// holder of the turn uses are behind locks that nobody else waits for.
pub struct Database {
    id: DatabaseId,
    name: DatabaseName,
    path: PathBuf,
    page_size: PageSize,
    pub(crate) shared: Arc<Shared>,
    pub(crate) turns: Arc<TurnQueue>,
    pub(crate) published: Published,
    pub(crate) wal_index: WalIndex,
    /// What of the -wal is in the log, on a leader. Used with the turn, and by a
    /// checkpoint while no commit is in flight.
    pub(crate) capture: Mutex<Option<Capture>>,
    /// The capture's own, for redo points; protects the pointer.
    pub(crate) logged: Mutex<Option<Arc<Mutex<Logged>>>>,
    /// The pin and the connections of maintenance, on a leader.
    pub(crate) maintenance: Mutex<Option<Maintenance>>,
    sessions: AtomicUsize,
    counts: Counts,
    /// Why nobody may use the database, if so.
    closed: RwLock<Option<String>>,
    /// What its pages are according to the log, once it is led or replayed.
    hashes: RwLock<Option<Arc<TrackedHashes>>>,
    /// Why replay of it has stopped, if so; it can still be read.
    replay_stopped: RwLock<Option<String>>,
    file: Arc<File>,
}

/// What sessions did, for views, since the process started.
#[derive(Debug, Default)]
struct Counts {
    sessions: AtomicU64,
    committed: AtomicU64,
    rolled_back: AtomicU64,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Database {
    /// Opens `path`, an SQLite database in WAL mode. Our own descriptor of the
    /// file is opened before SQLite's, and never closed.
    pub(crate) fn open(
        shared: Arc<Shared>,
        id: DatabaseId,
        name: DatabaseName,
        path: PathBuf,
    ) -> Result<Database, EngineError> {
        let io = |operation| {
            let path = path.clone();
            move |source| EngineError::Io { operation, path, source }
        };
        let file = raw_file(&path).map_err(io("open"))?;
        let wal_index = WalIndex::open(&path)?;
        let mut size = [0; 2];
        file.read_exact_at(&mut size, 16).map_err(io("read"))?;
        // bytes 16 and 17 of the database header; 1 stands for 65536
        let bytes = match u16::from_be_bytes(size) {
            1 => 65536,
            bytes => u32::from(bytes),
        };
        let page_size = PageSize::new(bytes)
            .map_err(|error| EngineError::NotImportable { path: path.clone(), problem: error.to_string() })?;
        Ok(Database {
            id,
            name,
            path,
            page_size,
            shared,
            turns: Arc::default(),
            published: Published::default(),
            wal_index,
            capture: Mutex::new(None),
            logged: Mutex::new(None),
            maintenance: Mutex::new(None),
            sessions: AtomicUsize::new(0),
            counts: Counts::default(),
            closed: RwLock::new(None),
            hashes: RwLock::new(None),
            replay_stopped: RwLock::new(None),
            file,
        })
    }

    /// Its id.
    pub fn id(&self) -> DatabaseId {
        self.id
    }

    /// Its name.
    pub fn name(&self) -> &DatabaseName {
        &self.name
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size of its pages.
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// Our own descriptor of its file, for reading past SQLite.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// What its pages are according to the log; `None` before it is led or replayed.
    pub fn hashes(&self) -> Option<Arc<TrackedHashes>> {
        self.hashes.read().clone()
    }

    pub(crate) fn set_hashes(&self, hashes: Arc<TrackedHashes>) {
        *self.hashes.write() = Some(hashes);
    }

    /// Why replay of it has stopped, if so.
    pub fn replay_stopped(&self) -> Option<String> {
        self.replay_stopped.read().clone()
    }

    pub(crate) fn set_replay_stopped(&self, reason: String) {
        *self.replay_stopped.write() = Some(reason);
    }

    /// What its -wal ends with: another value means that something was committed since.
    pub fn version(&self) -> WalIndexHeader {
        self.wal_index.header()
    }

    /// How many sessions use it.
    pub fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Acquire)
    }

    pub(crate) fn session_begins(&self) {
        self.sessions.fetch_add(1, Ordering::AcqRel);
        self.counts.sessions.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a transaction of a session, of any kind, that ended so.
    pub fn count_transaction(&self, committed: bool) {
        let counter = if committed { &self.counts.committed } else { &self.counts.rolled_back };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Sessions that there ever were, and their transactions that were committed and rolled back.
    pub(crate) fn session_counts(&self) -> (u64, u64, u64) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (get(&self.counts.sessions), get(&self.counts.committed), get(&self.counts.rolled_back))
    }

    pub(crate) fn session_ends(&self) {
        self.sessions.fetch_sub(1, Ordering::AcqRel);
    }

    /// An error if nobody may use the database.
    pub(crate) fn check_open(&self) -> Result<(), EngineError> {
        match &*self.closed.read() {
            None => Ok(()),
            Some(reason) => {
                Err(EngineError::DatabaseClosed { database: self.name.clone(), reason: reason.clone() })
            }
        }
    }

    /// Why nobody may use the database, if so.
    pub fn closed_reason(&self) -> Option<String> {
        self.closed.read().clone()
    }

    /// Keeps everyone out, with the reason.
    pub(crate) fn close(&self, reason: String) {
        tracing::error!(database = %self.name, %reason, "database closed");
        *self.closed.write() = Some(reason);
    }

    /// Lets everyone in again.
    pub(crate) fn reopen(&self) {
        if self.closed.write().take().is_some() {
            tracing::info!(database = %self.name, "database open again");
        }
    }

    /// Waits for the turn to write.
    pub(crate) fn take_turn(&self, limits: &WaitLimits<'_>) -> Result<Turn, EngineError> {
        let begun = std::time::Instant::now();
        self.turns.take(limits).map_err(|ended| self.ended(ended, begun))
    }

    pub(crate) fn ended(&self, ended: Ended, begun: std::time::Instant) -> EngineError {
        let database = self.name.clone();
        match ended {
            Ended::TimedOut => EngineError::LockTimeout { database, waited: begun.elapsed() },
            Ended::Cancelled => EngineError::Cancelled { database },
        }
    }

    /// Makes records of everything in the -wal that is not in the log yet. The
    /// turn must be held. Costs nanoseconds when there is nothing.
    ///
    /// `waits`: whether readers wait for the flush of the session's own commit.
    /// If the log cannot take what SQLite has committed, the database is closed,
    /// stays pinned, and the maintenance thread tries again.
    pub(crate) fn capture(
        &self,
        _turn: &Turn,
        author: Author,
        waits: bool,
        writer: &WalWriter,
    ) -> Result<Captured, EngineError> {
        let header = self.wal_index.header();
        if self.published.covers(&header) {
            return Ok(Captured::default());
        }
        let caught_up = self.capture_to(&header, author, waits, writer);
        match &caught_up {
            Ok(_) => self.reopen_after_capture(),
            Err(error) => self.close(format!("what was committed could not be logged: {error}")),
        }
        caught_up
    }

    fn capture_to(
        &self,
        header: &WalIndexHeader,
        author: Author,
        waits: bool,
        writer: &WalWriter,
    ) -> Result<Captured, EngineError> {
        let mut capture = self.capture.lock();
        let Some(capture) = capture.as_mut() else { return Ok(Captured::default()) };
        let log = Log { writer, in_flight: &self.shared.in_flight };
        let captured = capture.catch_up(header, author, &log)?;
        let horizon = if waits { captured.last() } else { captured.others };
        let end = captured.last();
        self.published.advance(&Advance { captured: *header, end, horizon, foreign: captured.foreign });
        if self.wal_bytes(header.frames) > self.shared.options.seal_bytes {
            self.shared.ask(Asked::Look);
        }
        Ok(captured)
    }

    fn reopen_after_capture(&self) {
        if self.closed.read().is_some() {
            self.reopen();
        }
    }

    /// Makes durable what was moved from the -wal into the file: SQLite does so as well,
    /// but not in a program that told it not to.
    pub(crate) fn sync_file(&self) -> Result<(), EngineError> {
        let path = self.path.clone();
        self.file.sync_data().map_err(|source| EngineError::Io { operation: "sync", path, source })
    }

    /// Size of `frames` frames of the -wal, in bytes.
    pub(crate) fn wal_bytes(&self, frames: u32) -> u64 {
        crate::sqlite_wal::frame_offset(frames + 1, self.page_size.bytes())
    }

    /// End of the last commit of this database in the log.
    pub fn last_commit(&self) -> Lsn {
        self.published.end()
    }
}
