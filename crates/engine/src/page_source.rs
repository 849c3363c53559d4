use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use walship_types::PageSize;

use crate::EngineError;
use crate::database::Database;
use crate::raw_file::raw_file;
use crate::sqlite::{WalIndexHeader, open_internal, take_snapshot};
use crate::sqlite_wal::SqliteWalFile;

/// A database's pages for a base backup, read a piece at a time, each piece in a read
/// transaction of its own: a longer one would hold back the -wal.
///
/// Each page is whole and as some commit left it, also when it is still only in the
/// -wal; pages read at different times may belong to different commits. Replay from
/// a redo point that is older than all of the reading makes one state of them, since
/// every page that changed meanwhile is in the log.
///
/// What the -wal has no frame of is read straight from the file, many pages at once.
/// Nobody writes to those pages while the transaction lasts: frames are moved into the
/// file only up to the oldest read mark, and none at all while somebody reads by mark 0
/// (wal.c, `walCheckpoint`). A page that the -wal has may be in the middle of being
/// moved; it is read through SQLite, which takes it from the -wal.
pub struct PageSource {
    page_size: PageSize,
    pages: u32,
    path: PathBuf,
    file: Arc<File>,
    // protects the connection, which is used by one reader at a time
    reader: Mutex<Reader>,
}

struct Reader {
    connection: Connection,
    wal: SqliteWalFile,
    in_wal: WalPages,
}

/// Which pages the -wal has frames of, up to a frame.
#[derive(Default)]
struct WalPages {
    salts: (u32, u32),
    frames: u32,
    pages: HashSet<u32>,
}

impl std::fmt::Debug for PageSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageSource").field("pages", &self.pages).finish_non_exhaustive()
    }
}

impl Database {
    /// Opens the database's pages for a base backup.
    pub fn page_source(&self) -> Result<PageSource, EngineError> {
        self.check_open()?;
        PageSource::open(self.path(), self.page_size())
    }
}

impl PageSource {
    fn open(path: &Path, page_size: PageSize) -> Result<PageSource, EngineError> {
        let connection = open_internal(path)?;
        let pages = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        let wal = SqliteWalFile::open(path, page_size)?;
        let file = raw_file(path).map_err(|source| read_error(path, "open", source))?;
        let reader = Mutex::new(Reader { connection, wal, in_wal: WalPages::default() });
        Ok(PageSource { page_size, pages, path: path.to_owned(), file, reader })
    }

    /// Size of the database when this was opened, in bytes.
    pub fn bytes(&self) -> u64 {
        u64::from(self.pages) * self.page_size.bytes() as u64
    }

    /// Fills `buffer` with what is at `offset`, as if the pages were a file, as of one
    /// snapshot. Returns the bytes copied: fewer than asked for where the database has
    /// become smaller.
    pub fn read_bytes(&self, buffer: &mut [u8], offset: u64) -> Result<usize, EngineError> {
        let mut reader = self.reader.lock();
        let Reader { connection, wal, in_wal } = &mut *reader;
        let transaction = connection.unchecked_transaction()?;
        let pages = match take_snapshot(&transaction)? {
            Some(snapshot) => {
                in_wal.follow(wal, &snapshot.header)?;
                snapshot.header.pages
            }
            None => {
                *in_wal = WalPages::default();
                transaction.query_row("PRAGMA page_count", [], |row| row.get(0))?
            }
        };
        let size = u64::from(pages) * self.page_size.bytes() as u64;
        let length = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..length];
        self.read_file(buffer, offset)?;
        self.overlay(&transaction, in_wal, buffer, offset)?;
        transaction.finish()?;
        Ok(length)
    }

    /// What the file has there; zeroes behind its end, where pages are only in the -wal.
    fn read_file(&self, buffer: &mut [u8], offset: u64) -> Result<(), EngineError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(read_error(&self.path, "read", source)),
            }
        }
        buffer[filled..].fill(0);
        Ok(())
    }

    /// Replaces the pages that the -wal has a newer content of.
    fn overlay(
        &self,
        connection: &Connection,
        in_wal: &WalPages,
        buffer: &mut [u8],
        offset: u64,
    ) -> Result<(), EngineError> {
        if in_wal.pages.is_empty() || buffer.is_empty() {
            return Ok(());
        }
        let size = self.page_size.bytes() as u64;
        let mut select = connection.prepare_cached("SELECT data FROM sqlite_dbpage WHERE pgno = ?1")?;
        let end = offset + buffer.len() as u64;
        for index in offset / size..end.div_ceil(size) {
            let page = u32::try_from(index + 1).unwrap_or(u32::MAX);
            if !in_wal.pages.contains(&page) {
                continue;
            }
            let (start, stop) = ((index * size).max(offset), ((index + 1) * size).min(end));
            let within = |at: u64, from: u64| usize::try_from(at - from).unwrap_or(usize::MAX);
            let target = &mut buffer[within(start, offset)..within(stop, offset)];
            select.query_row([page], |row| {
                let data = row.get_ref(0)?.as_blob()?;
                let part = data.get(within(start, index * size)..within(stop, index * size));
                target.copy_from_slice(part.ok_or(rusqlite::Error::InvalidQuery)?);
                Ok(())
            })?;
        }
        Ok(())
    }
}

impl WalPages {
    /// Adds the frames up to the one that `header` ends with.
    fn follow(&mut self, wal: &SqliteWalFile, header: &WalIndexHeader) -> Result<(), EngineError> {
        if header.salts != self.salts || header.frames < self.frames {
            *self = WalPages { salts: header.salts, ..WalPages::default() };
        }
        for frame in self.frames + 1..=header.frames {
            self.pages.insert(wal.frame_header(frame, header.salts)?.page.0);
            self.frames = frame;
        }
        Ok(())
    }
}

fn read_error(path: &Path, operation: &'static str, source: io::Error) -> EngineError {
    EngineError::Io { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn database(rows: u32) -> (tempfile::TempDir, PathBuf, Connection) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        let writer = Connection::open(&path).unwrap();
        let make = format!(
            "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(id INTEGER PRIMARY KEY, a, b);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO t SELECT i, 0, randomblob(3000) FROM n"
        );
        writer.execute_batch(&make).unwrap();
        (dir, path, writer)
    }

    fn copy(source: &PageSource) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(source.bytes()).unwrap()];
        let length = source.read_bytes(&mut bytes, 0).unwrap();
        bytes.truncate(length);
        bytes
    }

    /// The copy as a database of its own: its sum of `a` and what SQLite thinks of it.
    fn judge(mut bytes: Vec<u8>) -> (i64, i64, String) {
        bytes[18..20].fill(1);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("copy.db");
        std::fs::write(&path, bytes).unwrap();
        let copy = Connection::open(&path).unwrap();
        let (least, most) =
            copy.query_row("SELECT min(a), max(a) FROM t", [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        (least, most, copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap())
    }

    #[test]
    fn pages_come_from_the_wal_and_from_the_file() {
        let (_dir, path, writer) = database(50);
        let source = PageSource::open(&path, PageSize::DEFAULT).unwrap();
        assert_eq!(judge(copy(&source)), (0, 0, "ok".to_owned()), "everything is in the -wal");
        writer.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        assert_eq!(judge(copy(&source)), (0, 0, "ok".to_owned()), "everything is in the file");
        writer.execute_batch("UPDATE t SET a = 7").unwrap();
        assert_eq!(judge(copy(&source)), (7, 7, "ok".to_owned()), "some is here, some is there");
        writer.execute_batch("PRAGMA wal_checkpoint; UPDATE t SET a = 8 WHERE id > 0").unwrap();
        assert_eq!(judge(copy(&source)), (8, 8, "ok".to_owned()), "the -wal has begun again");
        writer.execute_batch("DELETE FROM t WHERE id > 10; VACUUM").unwrap();
        let smaller = copy(&source);
        assert!((smaller.len() as u64) < source.bytes());
        assert_eq!(judge(smaller), (8, 8, "ok".to_owned()));
    }

    #[test]
    fn any_offset_reads_what_the_whole_has_there() {
        let (_dir, path, writer) = database(20);
        writer.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); UPDATE t SET a = 1 WHERE id % 3 = 0").unwrap();
        let source = PageSource::open(&path, PageSize::DEFAULT).unwrap();
        let whole = copy(&source);
        for (offset, length) in [(0, 100), (4000, 200), (4096, 4096), (5000, 20_000)] {
            let mut part = vec![0; length];
            assert_eq!(source.read_bytes(&mut part, offset as u64).unwrap(), length);
            assert!(part == whole[offset..offset + length], "at {offset}");
        }
    }

    #[test]
    fn a_piece_is_one_state_while_frames_are_moved_into_the_file() {
        let (_dir, path, _open) = database(150);
        let source = PageSource::open(&path, PageSize::DEFAULT).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let (writer, mover) = (Connection::open(&path).unwrap(), Connection::open(&path).unwrap());
                writer.execute_batch("PRAGMA wal_autocheckpoint = 0").unwrap();
                while !stop.load(Ordering::Relaxed) {
                    // every page changes, so a torn one would show
                    writer.execute_batch("UPDATE t SET a = a + 1, b = randomblob(3000)").unwrap();
                    mover.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
                }
            });
            for _ in 0..60 {
                let (least, most, verdict) = judge(copy(&source));
                assert_eq!((least, verdict.as_str()), (most, "ok"));
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}
