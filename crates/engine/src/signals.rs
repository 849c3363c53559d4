use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::{Connection, ffi};
use walship_types::PageSize;
use walship_wal::{Reservation, WalWriter};

use crate::EngineError;

/// What a page takes in the log beside its content, in bytes, at most.
const PAGE_OVERHEAD_BYTES: u64 = 64;

/// What a commit takes in the log beside its pages, in bytes, at most.
const COMMIT_OVERHEAD_BYTES: u64 = 4096;

/// How long SQLite's write lock is waited for when no deadline was given:
/// sessions have turns, so only a foreign program can hold it.
const FOREIGN_LOCK_WAIT: Duration = Duration::from_secs(5);

/// Between two tries for SQLite's write lock.
const LOCK_RETRY: Duration = Duration::from_millis(1);

/// What SQLite tells of one connection's commits, through its hooks, and what
/// the hooks have to know. The connection's hooks and its session share it.
#[derive(Debug)]
pub(crate) struct Signals {
    page_size: PageSize,
    /// Where room for a commit is reserved; none while the session has no turn.
    log: Mutex<Option<Arc<WalWriter>>>,
    /// The room that is kept until what SQLite committed is in the log.
    reservation: Mutex<Option<Reservation>>,
    /// When to stop waiting for SQLite's lock.
    deadline: Mutex<Option<Instant>>,
    /// SQLite was about to commit.
    attempted: AtomicBool,
    /// Last frame of the last commit that SQLite told of; 0 for none.
    committed: AtomicU32,
    /// A commit was refused for lack of room for this many bytes; 0 for none.
    refused_bytes: AtomicU64,
    /// A commit was refused because the session had no turn.
    refused_without_turn: AtomicBool,
    /// Pages that SQLite had written before their commit when the turn began.
    spilled_before: AtomicU64,
}

/// What happened since it was last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Happened {
    /// The session committed, or tried to: not every commit is told of in both ways.
    pub(crate) may_have_committed: bool,
    /// The frame at which the session's last commit ends, if SQLite told.
    pub(crate) committed_at: Option<u32>,
    /// A commit was refused: there is no room for so many bytes of log.
    pub(crate) refused_bytes: Option<u64>,
    /// A commit was refused: the session had no turn.
    pub(crate) refused_without_turn: bool,
}

impl Signals {
    /// Installs the hooks on a session's connection.
    pub(crate) fn install(
        connection: &mut Connection,
        page_size: PageSize,
    ) -> Result<Arc<Signals>, EngineError> {
        let signals = Arc::new(Signals {
            page_size,
            log: Mutex::default(),
            reservation: Mutex::default(),
            deadline: Mutex::default(),
            attempted: AtomicBool::new(false),
            committed: AtomicU32::new(0),
            refused_bytes: AtomicU64::new(0),
            refused_without_turn: AtomicBool::new(false),
            spilled_before: AtomicU64::new(0),
        });
        // SAFETY: the handle is used only by the hook, which SQLite calls on
        // behalf of the live connection that it belongs to.
        let handle = Handle(unsafe { connection.handle() });
        let on_commit = Arc::clone(&signals);
        connection.commit_hook(Some(move || on_commit.refuses_commit(&handle)))?;
        let on_wal = Arc::clone(&signals);
        connection.wal_hook(Some(move |_: &mut _, frames| {
            on_wal.committed.store(u32::try_from(frames).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        let on_busy = Arc::clone(&signals);
        connection.busy_handler(Some(move |_| on_busy.waits_for_lock()))?;
        Ok(signals)
    }

    /// The session has the turn: commits reserve room in `log`.
    pub(crate) fn turn_begins(
        &self,
        connection: &Connection,
        log: Arc<WalWriter>,
        deadline: Option<Instant>,
    ) {
        // SAFETY: the handle is live for the borrow.
        let handle = Handle(unsafe { connection.handle() });
        self.spilled_before.store(handle.status(ffi::SQLITE_DBSTATUS_CACHE_SPILL), Ordering::Relaxed);
        *self.log.lock() = Some(log);
        *self.deadline.lock() = Some(deadline.unwrap_or_else(|| Instant::now() + FOREIGN_LOCK_WAIT));
    }

    /// The session's turn is over.
    pub(crate) fn turn_ends(&self) {
        *self.log.lock() = None;
        *self.deadline.lock() = None;
    }

    /// What happened since the last call.
    pub(crate) fn take(&self) -> Happened {
        let some = |value: u64| (value != 0).then_some(value);
        let committed_at = Some(self.committed.swap(0, Ordering::Relaxed)).filter(|&frame| frame != 0);
        let attempted = self.attempted.swap(false, Ordering::Relaxed);
        Happened {
            may_have_committed: attempted || committed_at.is_some(),
            committed_at,
            refused_bytes: some(self.refused_bytes.swap(0, Ordering::Relaxed)),
            refused_without_turn: self.refused_without_turn.swap(false, Ordering::Relaxed),
        }
    }

    /// The commit hook: true turns the commit into a rollback. Nothing of the
    /// transaction is published yet, so nothing has changed for anyone.
    fn refuses_commit(&self, handle: &Handle) -> bool {
        if !handle.writes_main() {
            return false;
        }
        self.attempted.store(true, Ordering::Relaxed);
        let Some(log) = self.log.lock().clone() else {
            self.refused_without_turn.store(true, Ordering::Relaxed);
            return true;
        };
        let bytes = self.bytes_at_most(handle);
        let reservation = log.reserve(bytes);
        let refused = reservation.is_err();
        if refused {
            self.refused_bytes.store(bytes, Ordering::Relaxed);
        }
        self.keep(reservation.ok());
        refused
    }

    /// Keeps room in the log until [`Self::captured`].
    pub(crate) fn keep(&self, reservation: Option<Reservation>) {
        *self.reservation.lock() = reservation;
    }

    /// What was committed is in the log: no room has to be kept.
    pub(crate) fn captured(&self) {
        self.keep(None);
    }

    /// How much the transaction can take in the log: what is in the page cache,
    /// changed or not, and what was moved out of it into the -wal already.
    fn bytes_at_most(&self, handle: &Handle) -> u64 {
        let page = self.page_size.bytes() as u64;
        let cached = handle.status(ffi::SQLITE_DBSTATUS_CACHE_USED) / page + 1;
        let spilled = handle.status(ffi::SQLITE_DBSTATUS_CACHE_SPILL);
        let spilled = spilled.saturating_sub(self.spilled_before.load(Ordering::Relaxed));
        (cached + spilled) * (page + PAGE_OVERHEAD_BYTES) + COMMIT_OVERHEAD_BYTES
    }

    /// The busy handler: true tries for the lock again.
    fn waits_for_lock(&self) -> bool {
        let deadline = *self.deadline.lock();
        if deadline.is_some_and(|deadline| Instant::now() < deadline) {
            std::thread::sleep(LOCK_RETRY);
            return true;
        }
        false
    }
}

/// A connection's handle, for its own hooks.
struct Handle(*mut ffi::sqlite3);

// SAFETY: a hook runs on the thread that uses the connection, and moves with it.
unsafe impl Send for Handle {}

impl Handle {
    /// A counter of the connection; 0 if SQLite does not have it.
    fn status(&self, operation: i32) -> u64 {
        let (mut current, mut highest) = (0, 0);
        // SAFETY: the connection is live while its hooks run.
        unsafe { ffi::sqlite3_db_status(self.0, operation, &raw mut current, &raw mut highest, 0) };
        u64::try_from(current).unwrap_or(0)
    }

    /// Whether the transaction writes the database itself, not only temp tables.
    fn writes_main(&self) -> bool {
        // SAFETY: as above.
        unsafe { ffi::sqlite3_txn_state(self.0, c"main".as_ptr()) == ffi::SQLITE_TXN_WRITE }
    }
}

/// What a VACUUM of a database of so many pages can take in the log.
pub(crate) fn vacuum_bytes_at_most(pages: u32, page_size: PageSize) -> u64 {
    u64::from(pages) * (page_size.bytes() as u64 + PAGE_OVERHEAD_BYTES) + COMMIT_OVERHEAD_BYTES
}
