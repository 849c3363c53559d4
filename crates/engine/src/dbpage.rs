use std::cell::Cell;
use std::ffi::{CStr, c_int};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, ffi};
use walship_types::{PageNo, PageSize};

use crate::page::page_hash;

/// The name under which the database file is attached.
const SCHEMA: &CStr = c"replica";

/// Text encodings in the order of how likely a database has them.
const ENCODINGS: [&str; 3] = ["UTF-8", "UTF-16le", "UTF-16be"];

/// Where the database header keeps the size in pages, and where the encoding.
const HEADER_PAGES: std::ops::Range<usize> = 28..32;
const HEADER_SCHEMA_COOKIE: std::ops::Range<usize> = 40..44;
const HEADER_ENCODING: std::ops::Range<usize> = 56..60;

/// Where the database header keeps the versions that mean WAL mode, and these.
const HEADER_VERSIONS: std::ops::Range<usize> = 18..20;
const WAL_VERSIONS: [u8; 2] = [2, 2];

/// How long a wait for somebody's lock sleeps before it looks at `cancel` again.
const LOCK_POLL: Duration = Duration::from_millis(1);

/// How long such a wait is silent.
const LOCK_TELL: Duration = Duration::from_secs(1);

/// Reads and writes whole pages of one database file through SQLite itself.
///
/// The file is attached to a database in memory, so that this connection never
/// prepares a statement against the file's own schema: with the file as main
/// database, SQLite would parse the schema again in the middle of a transaction,
/// from a page 1 whose b-trees are not there yet ("malformed database schema").
///
/// Writing is a transaction: [`begin`](DbPage::begin), any number of
/// [`write`](DbPage::write), then [`commit`](DbPage::commit), which writes page 1
/// and cuts the file. Readers of any process keep their snapshot meanwhile.
#[derive(Debug)]
pub struct DbPage {
    connection: Connection,
    path: PathBuf,
    page_size: PageSize,
    cache_kib: u32,
    encoding: u32,
    schema_cookie: Cell<Option<u32>>,
}

/// A database file could not be read or written page by page.
#[derive(Debug, thiserror::Error)]
pub enum DbPageError {
    /// SQLite refused.
    #[error("could not {operation} database file \"{}\": {source}", path.display())]
    Sqlite {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: rusqlite::Error,
    },
    /// There is no such file, and it was not to be made.
    #[error("database file \"{}\" does not exist", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// SQLite takes file names as UTF-8 only.
    #[error("the name of database file \"{}\" is not UTF-8", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// The file has pages of another size than the log says.
    #[error("database file \"{}\" has pages of {found} bytes, expected {expected}", path.display())]
    PageSize {
        /// The file.
        path: PathBuf,
        /// The file's own.
        found: u32,
        /// The log's.
        expected: PageSize,
    },
    /// After a commit the database does not have the size that the log says.
    #[error("database file \"{}\" has {found} pages after a commit that leaves {expected}", path.display())]
    PageCount {
        /// The file.
        path: PathBuf,
        /// As SQLite counts them.
        found: u32,
        /// As the log says.
        expected: u32,
    },
    /// The size in page 1 and the size in the commit record contradict each other.
    #[error("page 1 of database file \"{}\" says {found} pages in a commit that leaves {expected}", path.display())]
    HeaderPages {
        /// The file.
        path: PathBuf,
        /// As page 1 has it.
        found: u32,
        /// As the log says.
        expected: u32,
    },
    /// Another program held the write lock for the whole time.
    #[error("another program holds the write lock of database file \"{}\"", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
}

impl DbPageError {
    /// Whether the disk is full. SQLite says so itself; a -wal or -shm that cannot
    /// grow is an I/O error to it, behind which the system says so.
    pub fn is_no_space(&self) -> bool {
        let DbPageError::Sqlite { source, .. } = self else { return false };
        source.sqlite_error_code() == Some(ErrorCode::DiskFull)
    }
}

impl DbPage {
    /// Opens an existing file, with a page cache of `cache_kib` KiB.
    pub fn open(path: &Path, cache_kib: u32) -> Result<DbPage, DbPageError> {
        if !path.exists() {
            return Err(DbPageError::Missing { path: path.to_owned() });
        }
        let (connection, encoding) = attach(path)?;
        DbPage::configure(connection, path, cache_kib, encoding)
    }

    /// Makes a new file of one page, in WAL mode, with the page size of its leader:
    /// SQLite cannot change it later.
    pub fn create(path: &Path, page_size: PageSize, cache_kib: u32) -> Result<DbPage, DbPageError> {
        let (connection, encoding) = attach(path)?;
        connection
            .execute_batch(&format!("PRAGMA replica.page_size={page_size}"))
            .map_err(|source| sqlite("set the page size of", path, source))?;
        let db = DbPage::configure(connection, path, cache_kib, encoding)?;
        if db.page_size != page_size {
            let (found, expected) = (db.page_size.into(), page_size);
            return Err(DbPageError::PageSize { path: path.to_owned(), found, expected });
        }
        Ok(db)
    }

    fn configure(
        connection: Connection,
        path: &Path,
        cache_kib: u32,
        encoding: u32,
    ) -> Result<DbPage, DbPageError> {
        let failed = |source| sqlite("configure", path, source);
        connection.set_prepared_statement_cache_capacity(16);
        connection.busy_timeout(Duration::ZERO).map_err(failed)?;
        // a clean close must not move, delete or restart a -wal that others count on
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
        // a schema that this SQLite cannot parse is no reason not to copy its pages
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true).map_err(failed)?;
        connection
            .execute_batch(&format!(
                "PRAGMA replica.journal_mode=WAL; PRAGMA replica.synchronous=NORMAL;
                 PRAGMA replica.cache_size=-{cache_kib}; PRAGMA wal_autocheckpoint=0;"
            ))
            .map_err(failed)?;
        persist_wal(&connection);
        let bytes: u32 =
            connection.query_row("PRAGMA replica.page_size", [], |row| row.get(0)).map_err(failed)?;
        let page_size = PageSize::new(bytes).map_err(|_| DbPageError::PageSize {
            path: path.to_owned(),
            found: bytes,
            expected: PageSize::DEFAULT,
        })?;
        Ok(DbPage {
            connection,
            path: path.to_owned(),
            page_size,
            cache_kib,
            encoding,
            schema_cookie: Cell::new(None),
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The size of its pages.
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// Starts a write transaction, which keeps out every other writer. Waits while
    /// another program is writing, until `deadline` or `cancel` says so.
    pub fn begin(&self, deadline: Option<Instant>, cancel: &dyn Fn() -> bool) -> Result<(), DbPageError> {
        let began = Instant::now();
        let mut told = false;
        loop {
            match self.run("BEGIN IMMEDIATE") {
                Err(source) if is_busy(&source) => {
                    if !told && began.elapsed() >= LOCK_TELL {
                        told = true;
                        let file = self.path.display();
                        tracing::warn!(%file, "another program holds the write lock; waiting for it");
                    }
                    if cancel() || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                        return Err(DbPageError::Locked { path: self.path.clone() });
                    }
                    std::thread::sleep(LOCK_POLL);
                }
                other => return other.map_err(|source| sqlite("lock", &self.path, source)),
            }
        }
    }

    /// Starts a read transaction: what is read until [`rollback`](DbPage::rollback)
    /// is one state of the database.
    pub fn begin_read(&self) -> Result<(), DbPageError> {
        self.run("BEGIN").map_err(|source| sqlite("start a read of", &self.path, source))?;
        // BEGIN alone reads nothing yet
        self.page_count().map(drop)
    }

    /// Whether a transaction is open.
    pub fn in_transaction(&self) -> bool {
        !self.connection.is_autocommit()
    }

    /// A number that changes when another connection has committed, and only then.
    pub fn data_version(&self) -> Result<i64, DbPageError> {
        self.connection
            .prepare_cached("PRAGMA replica.data_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(|source| sqlite("read the version of", &self.path, source))
    }

    /// The size of the database in pages.
    pub fn page_count(&self) -> Result<u32, DbPageError> {
        self.connection
            .prepare_cached("PRAGMA replica.page_count")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(|source| sqlite("read the size of", &self.path, source))
    }

    /// The content of `page` in the open transaction, copied into `content`;
    /// `false` beyond the end of the database. The lock page reads as zeroes.
    pub fn read(&self, page: PageNo, content: &mut Vec<u8>) -> Result<bool, DbPageError> {
        content.clear();
        self.connection
            .prepare_cached("SELECT data FROM sqlite_dbpage('replica') WHERE pgno=?1")
            .and_then(|mut statement| {
                statement
                    .query_row([page.0], |row| {
                        content.extend_from_slice(row.get_ref(0)?.as_blob()?);
                        Ok(())
                    })
                    .optional()
            })
            .map(|row| row.is_some())
            .map_err(|source| sqlite("read a page of", &self.path, source))
    }

    /// Calls `each` with every page but the lock page and its content, in order,
    /// in the open transaction, until it returns `false`.
    pub fn for_each_page(&self, mut each: impl FnMut(PageNo, &[u8]) -> bool) -> Result<(), DbPageError> {
        let failed = |source| sqlite("read a page of", &self.path, source);
        let mut statement = self
            .connection
            .prepare_cached("SELECT pgno, data FROM sqlite_dbpage('replica')")
            .map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let page = PageNo(row.get(0).map_err(failed)?);
            if page == self.page_size.lock_page() {
                continue;
            }
            let content = row.get_ref(1).and_then(|value| Ok(value.as_blob()?)).map_err(failed)?;
            if !each(page, content) {
                break;
            }
        }
        Ok(())
    }

    /// Writes `page` in the open transaction. Page 1 is for
    /// [`commit`](DbPage::commit): a reader of this same transaction would find a
    /// schema whose pages are not there yet.
    pub fn write(&self, page: PageNo, content: &[u8]) -> Result<(), DbPageError> {
        debug_assert_ne!(page, PageNo::FIRST, "page 1 is written by the commit");
        self.put(page, content)
    }

    /// Makes pages that this transaction wrote beyond the old end of the database
    /// readable in it: SQLite looks at the size in page 1, and takes notice of a
    /// changed one when a savepoint ends.
    pub fn extend(&self, pages: u32) -> Result<(), DbPageError> {
        let mut first = Vec::new();
        self.read(PageNo::FIRST, &mut first)?;
        if let Some(size) = first.get_mut(HEADER_PAGES) {
            size.copy_from_slice(&pages.to_be_bytes());
        }
        self.put(PageNo::FIRST, &first)?;
        self.run("SAVEPOINT extended")
            .and_then(|()| self.run("RELEASE extended"))
            .map_err(|source| sqlite("extend", &self.path, source))
    }

    /// Ends the transaction: writes page 1 if it changed, cuts the database to
    /// `pages`, commits. Nothing is synced; the log is what makes it durable.
    pub fn commit(&self, first_page: Option<&[u8]>, pages: u32) -> Result<(), DbPageError> {
        let before = self.page_count()?;
        let found = match first_page.map(|content| content.get(HEADER_PAGES)) {
            Some(bytes) => bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes),
            None => before,
        };
        if found != pages {
            return Err(DbPageError::HeaderPages { path: self.path.clone(), found, expected: pages });
        }
        if let Some(content) = first_page {
            self.put(PageNo::FIRST, content)?;
        }
        if pages < before {
            // must be the last write: any later one takes it back
            self.connection
                .prepare_cached("INSERT INTO sqlite_dbpage(pgno, data, schema) VALUES (?1, NULL, 'replica')")
                .and_then(|mut statement| statement.execute([i64::from(pages) + 1]))
                .map_err(|source| sqlite("truncate", &self.path, source))?;
        }
        self.run("COMMIT").map_err(|source| sqlite("commit to", &self.path, source))?;
        match first_page {
            Some(content) => self.forget_schema_pages(content),
            None => Ok(()),
        }
    }

    /// The cached pages still carry what SQLite's b-tree layer parsed out of their old
    /// content. Nothing here uses b-trees, but SQLite itself does when it notices a new
    /// schema, and finds them corrupt: so a new schema cookie empties the cache.
    fn forget_schema_pages(&self, first_page: &[u8]) -> Result<(), DbPageError> {
        let cookie = first_page.get(HEADER_SCHEMA_COOKIE).and_then(|bytes| bytes.try_into().ok());
        let cookie = cookie.map(u32::from_be_bytes);
        if self.schema_cookie.replace(cookie) == cookie {
            return Ok(());
        }
        self.connection.release_memory().map_err(|source| sqlite("reload", &self.path, source))
    }

    /// Checks what a commit left: to be called in the next transaction.
    pub fn expect_page_count(&self, expected: u32) -> Result<(), DbPageError> {
        let found = self.page_count()?;
        if found == expected {
            return Ok(());
        }
        Err(DbPageError::PageCount { path: self.path.clone(), found, expected })
    }

    /// Ends the transaction without a change, if there is one.
    pub fn rollback(&self) -> Result<(), DbPageError> {
        if !self.in_transaction() {
            return Ok(());
        }
        self.run("ROLLBACK").map_err(|source| sqlite("roll back in", &self.path, source))
    }

    /// Moves what no reader still needs from the -wal into the file, without
    /// blocking anyone. No transaction may be open.
    pub fn checkpoint_passive(&self) -> Result<Backfill, DbPageError> {
        let (mut frames, mut backfilled): (c_int, c_int) = (0, 0);
        // SAFETY: the handle is open for as long as `self` is, the name is a C
        // string, and the two results outlive the call
        let code = unsafe {
            ffi::sqlite3_wal_checkpoint_v2(
                self.connection.handle(),
                SCHEMA.as_ptr(),
                ffi::SQLITE_CHECKPOINT_PASSIVE,
                &raw mut frames,
                &raw mut backfilled,
            )
        };
        match code {
            // busy: somebody else is at it
            ffi::SQLITE_OK | ffi::SQLITE_BUSY => {
                let count = |n: c_int| u32::try_from(n).unwrap_or(0);
                Ok(Backfill { frames: count(frames), backfilled: count(backfilled) })
            }
            code => {
                let source = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
                Err(sqlite("checkpoint", &self.path, source))
            }
        }
    }

    /// Whether the content of page 1 has a text encoding that this connection was
    /// not opened for; then it has to be opened again before the next read.
    pub fn needs_reopen(&self, first_page: &[u8]) -> bool {
        let found = first_page.get(HEADER_ENCODING).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        let found = found.map_or(0, u32::from_be_bytes);
        found != 0 && found != self.encoding
    }

    /// Opens the same file again.
    pub fn reopen(&self) -> Result<DbPage, DbPageError> {
        DbPage::open(&self.path, self.cache_kib)
    }

    /// The hash of `page` in the open transaction; `None` beyond the end.
    pub fn hash(&self, page: PageNo, content: &mut Vec<u8>) -> Result<Option<u64>, DbPageError> {
        Ok(self.read(page, content)?.then(|| page_hash(page, content)))
    }

    fn put(&self, page: PageNo, content: &[u8]) -> Result<(), DbPageError> {
        let mut in_wal_mode = Vec::new();
        let mut content = content;
        if page == PageNo::FIRST && content.get(HEADER_VERSIONS) != Some(&WAL_VERSIONS) {
            // an image of before its leader's database was in WAL mode would take ours out of it
            in_wal_mode.extend_from_slice(content);
            if let Some(versions) = in_wal_mode.get_mut(HEADER_VERSIONS) {
                versions.copy_from_slice(&WAL_VERSIONS);
            }
            content = &in_wal_mode;
        }
        self.connection
            .prepare_cached("INSERT INTO sqlite_dbpage(pgno, data, schema) VALUES (?1, ?2, 'replica')")
            .and_then(|mut statement| statement.execute((page.0, content)))
            .map(drop)
            .map_err(|source| sqlite("write a page of", &self.path, source))
    }

    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }
}

/// How much of a -wal has been moved into the database file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backfill {
    /// Frames in the -wal.
    pub frames: u32,
    /// Of these, how many are in the database file.
    pub backfilled: u32,
}

/// Attaches `path`; an attached database has to have the main one's encoding, and
/// only trying shows which that is.
fn attach(path: &Path) -> Result<(Connection, u32), DbPageError> {
    let name = path.to_str().ok_or_else(|| DbPageError::Name { path: path.to_owned() })?;
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut refused = None;
    for (number, encoding) in (1..).zip(ENCODINGS) {
        let attached = Connection::open_with_flags(":memory:", flags).and_then(|connection| {
            connection.execute_batch(&format!("PRAGMA encoding='{encoding}'"))?;
            // a copy that was taken under writes may be shorter than its first page says,
            // which is damage to SQLite unless the schema is declared writable
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true)?;
            connection.execute("ATTACH ?1 AS replica", [name])?;
            Ok(connection)
        });
        match attached {
            Ok(connection) => return Ok((connection, number)),
            Err(source) => refused = refused.or(Some(source)),
        }
    }
    let source = refused.unwrap_or(rusqlite::Error::InvalidQuery);
    Err(sqlite("open", path, source))
}

fn persist_wal(connection: &Connection) {
    let mut on: c_int = 1;
    // SAFETY: the handle is open, the name is a C string, and this operation takes
    // a pointer to an int; a file system that does not know it ignores it
    unsafe {
        ffi::sqlite3_file_control(
            connection.handle(),
            SCHEMA.as_ptr(),
            ffi::SQLITE_FCNTL_PERSIST_WAL,
            (&raw mut on).cast(),
        );
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn sqlite(operation: &'static str, path: &Path, source: rusqlite::Error) -> DbPageError {
    DbPageError::Sqlite { operation, path: path.to_owned(), source }
}
