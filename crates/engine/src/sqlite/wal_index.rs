//! SQLite's wal-index, seen through the connection's own mapping.
//!
//! The -shm file must never be opened by us: closing that descriptor would drop
//! the locks of every connection in the process. SQLite's file methods
//! (`sqlite3_io_methods`, a public interface) hand out the mapping and the locks
//! that SQLite itself uses. The layout is that of sqlite.org/walformat.html,
//! section 2 ("The WAL-Index File Format").

use std::ffi::{c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering, fence};

use parking_lot::Mutex;
use rusqlite::{Connection, MAIN_DB, ffi};

use crate::EngineError;
use crate::sqlite::open_internal;

/// Bytes of the first part of the wal-index, which is all that is looked at.
const REGION_BYTES: c_int = 32768;
/// 32-bit words of one copy of the header.
const HEADER_WORDS: usize = 12;
/// Word of `nBackfill`.
const BACKFILLED_WORD: usize = 24;
/// Word of the first read mark; there are five.
const READ_MARK_WORD: usize = 25;
/// Lock of the first read mark.
const READ_LOCK_0: c_int = 3;
/// Number of read marks.
const READ_MARKS: c_int = 5;
/// How often a header in the middle of a change is looked at again before the
/// processor is offered to the writer.
const SPINS: u32 = 50;

/// The fields of a wal-index header that say where the -wal ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WalIndexHeader {
    /// Number of frames of commits in the -wal.
    pub frames: u32,
    /// Size of the database in pages.
    pub pages: u32,
    /// Cumulative checksum of the last frame.
    pub checksum: (u32, u32),
    /// Salt-1 and salt-2 of the -wal's generation.
    pub salts: (u32, u32),
}

impl WalIndexHeader {
    /// Reads the 48 bytes of a header, which are in this machine's byte order
    /// except for the salts, which are as in the -wal.
    pub(super) fn parse(bytes: &[u8; HEADER_WORDS * 4]) -> WalIndexHeader {
        let mut words = [0u32; HEADER_WORDS];
        for (word, chunk) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_ne_bytes(*chunk);
        }
        WalIndexHeader::from_words(&words)
    }

    fn from_words(words: &[u32; HEADER_WORDS]) -> WalIndexHeader {
        WalIndexHeader {
            frames: words[4],
            pages: words[5],
            checksum: (words[6], words[7]),
            salts: (u32::from_be(words[8]), u32::from_be(words[9])),
        }
    }
}

/// A view of one database's wal-index. Owns the connection whose mapping it
/// reads, so that the mapping outlives the view.
pub struct WalIndex {
    file: NonNull<ffi::sqlite3_file>,
    words: NonNull<AtomicU32>,
    /// Held while a lock is tried: SQLite keeps per file which locks it has.
    locks: Mutex<()>,
    _connection: Connection,
}

// SAFETY: the connection is never used after `open`; the mapping is only read,
// through atomics; `xShmLock` is only called under the mutex `locks`.
unsafe impl Send for WalIndex {}
// SAFETY: as above.
unsafe impl Sync for WalIndex {}

impl WalIndex {
    /// Opens a connection of its own to the database at `path` (in WAL mode) and
    /// maps its wal-index.
    pub fn open(path: &std::path::Path) -> Result<WalIndex, EngineError> {
        let connection = open_internal(path)?;
        // a first read makes SQLite create, recover and map the wal-index
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
        // SAFETY: the handle is live; the operation stores one pointer.
        let code = unsafe {
            ffi::sqlite3_file_control(
                connection.handle(),
                c"main".as_ptr(),
                ffi::SQLITE_FCNTL_FILE_POINTER,
                (&raw mut file).cast::<c_void>(),
            )
        };
        let file = NonNull::new(file).filter(|_| code == ffi::SQLITE_OK).ok_or_else(|| failure(code))?;
        let mut region: *mut c_void = ptr::null_mut();
        // SAFETY: the file is open for as long as the connection; `methods`
        // checks the version that has the shared-memory methods.
        let code = unsafe {
            let map = methods(file)?.xShmMap.ok_or_else(|| failure(ffi::SQLITE_MISUSE))?;
            map(file.as_ptr(), 0, REGION_BYTES, 0, (&raw mut region).cast())
        };
        let words =
            NonNull::new(region.cast()).filter(|_| code == ffi::SQLITE_OK).ok_or_else(|| failure(code))?;
        debug_assert!(connection.is_readonly(MAIN_DB).is_ok_and(|read_only| !read_only));
        Ok(WalIndex { file, words, locks: Mutex::new(()), _connection: connection })
    }

    /// The header as the last commit published it. Costs nanoseconds and takes
    /// no lock.
    pub fn header(&self) -> WalIndexHeader {
        let mut spins = 0;
        loop {
            if let Some(header) = self.try_header() {
                return header;
            }
            spins += 1;
            if spins % SPINS == 0 {
                std::thread::yield_now();
            }
        }
    }

    /// Number of frames that are moved into the database file.
    pub fn backfilled(&self) -> u32 {
        self.word(BACKFILLED_WORD).load(Ordering::Acquire)
    }

    /// The lowest read mark (other than mark 0) that anyone holds, if any: what
    /// the oldest reader that uses the -wal keeps from being moved beyond.
    pub fn oldest_read_mark(&self) -> Option<u32> {
        let mut oldest = None;
        for mark in 1..READ_MARKS {
            let frame = self.word(READ_MARK_WORD + mark as usize).load(Ordering::Acquire);
            if !self.try_exclusive(READ_LOCK_0 + mark, 1) {
                oldest = Some(oldest.map_or(frame, |o: u32| o.min(frame)));
            }
        }
        oldest
    }

    /// Whether nobody holds a read mark other than mark 0: then the next commit
    /// of a connection that holds mark 0 restarts the -wal.
    pub fn readers_drained(&self) -> bool {
        self.try_exclusive(READ_LOCK_0 + 1, READ_MARKS - 1)
    }

    /// SQLite writes the second copy, then the first, with a barrier between;
    /// equal copies, read the other way round, are a header that was whole.
    fn try_header(&self) -> Option<WalIndexHeader> {
        let mut first = [0u32; HEADER_WORDS];
        let mut second = [0u32; HEADER_WORDS];
        for (i, word) in first.iter_mut().enumerate() {
            *word = self.word(i).load(Ordering::Relaxed);
        }
        fence(Ordering::Acquire);
        for (i, word) in second.iter_mut().enumerate() {
            *word = self.word(HEADER_WORDS + i).load(Ordering::Relaxed);
        }
        fence(Ordering::Acquire);
        let whole = first == second && checksum(&first) == (first[10], first[11]);
        whole.then(|| WalIndexHeader::from_words(&first))
    }

    /// Takes a lock exclusively and lets go of it at once.
    fn try_exclusive(&self, lock: c_int, count: c_int) -> bool {
        // SAFETY: the file is open for as long as the connection that we own.
        let Some(shm_lock) = (unsafe { methods(self.file) }).ok().and_then(|m| m.xShmLock) else {
            return false;
        };
        let exclusive = ffi::SQLITE_SHM_EXCLUSIVE;
        let _locks = self.locks.lock();
        // SAFETY: as above; offset and count are within SQLite's eight locks.
        unsafe {
            let taken =
                shm_lock(self.file.as_ptr(), lock, count, ffi::SQLITE_SHM_LOCK | exclusive) == ffi::SQLITE_OK;
            if taken {
                shm_lock(self.file.as_ptr(), lock, count, ffi::SQLITE_SHM_UNLOCK | exclusive);
            }
            taken
        }
    }

    fn word(&self, index: usize) -> &AtomicU32 {
        debug_assert!(index < REGION_BYTES as usize / 4);
        // SAFETY: the mapping is REGION_BYTES long, page aligned, and mapped
        // until the connection closes.
        unsafe { self.words.add(index).as_ref() }
    }
}

/// SQLite's checksum over the first ten words of a header, in this machine's
/// byte order (walformat.html section 4.1).
fn checksum(words: &[u32; HEADER_WORDS]) -> (u32, u32) {
    let (mut a, mut b) = (0u32, 0u32);
    for pair in words[..10].as_chunks::<2>().0 {
        a = a.wrapping_add(pair[0]).wrapping_add(b);
        b = b.wrapping_add(pair[1]).wrapping_add(a);
    }
    (a, b)
}

/// # Safety
/// `file` must be open.
unsafe fn methods<'a>(file: NonNull<ffi::sqlite3_file>) -> Result<&'a ffi::sqlite3_io_methods, EngineError> {
    // SAFETY: an open file's methods are valid and live as long as the process.
    let methods = unsafe { file.as_ref().pMethods.as_ref() };
    methods.filter(|m| m.iVersion >= 2).ok_or_else(|| failure(ffi::SQLITE_MISUSE))
}

fn failure(code: c_int) -> EngineError {
    let code = if code == ffi::SQLITE_OK { ffi::SQLITE_MISUSE } else { code };
    EngineError::Sqlite(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::take_snapshot;

    fn database() -> (tempfile::TempDir, std::path::PathBuf, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t(a);").unwrap();
        (dir, path, writer)
    }

    #[test]
    fn the_header_is_what_a_snapshot_says() {
        let (_dir, path, writer) = database();
        let index = WalIndex::open(&path).unwrap();
        for i in 0..5 {
            writer.execute("INSERT INTO t VALUES (?1)", [i]).unwrap();
            let reader = open_internal(&path).unwrap();
            reader.execute_batch("BEGIN").unwrap();
            assert_eq!(index.header(), take_snapshot(&reader).unwrap().unwrap().header);
        }
    }

    #[test]
    fn readers_of_the_wal_are_seen_until_they_end() {
        let (_dir, path, writer) = database();
        let index = WalIndex::open(&path).unwrap();
        assert!(index.readers_drained());
        let reader = open_internal(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT * FROM t").unwrap();
        let mark = index.header().frames;
        assert!(!index.readers_drained());
        assert_eq!(index.oldest_read_mark(), Some(mark));
        writer.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        assert_eq!(index.oldest_read_mark(), Some(mark));
        reader.execute_batch("COMMIT").unwrap();
        assert!(index.readers_drained());
        assert_eq!(index.oldest_read_mark(), None);
        writer.execute_batch("PRAGMA wal_checkpoint").unwrap();
        assert_eq!(index.backfilled(), index.header().frames);
    }
}
