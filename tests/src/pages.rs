//! The proof that two SQLite databases are the same: every page of a consistent
//! snapshot of each, compared byte for byte.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

/// Bytes of page 1 that SQLite itself rewrites on each machine: the file format's
/// read and write versions, the change counter, the version-valid-for counter and the
/// number of the library that wrote last.
const COUNTERS: [std::ops::Range<usize>; 3] = [18..20, 24..28, 92..100];

/// Pages that are named when two databases differ.
const DIFFERENCES_SHOWN: usize = 20;

/// A reader of a database file that changes nothing in it.
///
/// # Panics
/// When the file cannot be opened.
pub fn open(path: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    connection.busy_timeout(std::time::Duration::from_secs(10)).expect("set the busy timeout");
    // a close must not move the -wal of the node that we look at
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .expect("set no checkpoint on close");
    connection
}

/// Holds two databases against each other.
///
/// # Panics
/// When they differ in size or in a page, or one of them fails its integrity check.
pub fn assert_same(left: &Path, right: &Path) {
    let (left_db, right_db) = (open(left), open(right));
    let (left_pages, right_pages) = (snapshot(&left_db, left), snapshot(&right_db, right));
    let mut differing = Vec::new();
    let mut left_rows = PageRows::new(&left_db);
    let mut right_rows = PageRows::new(&right_db);
    for page in 1..=left_pages.min(right_pages) {
        if left_rows.page(page) != right_rows.page(page) {
            differing.push(page);
        }
    }
    assert!(
        left_pages == right_pages && differing.is_empty(),
        "{} has {left_pages} pages and {} has {right_pages}; {} of them differ: {:?}",
        left.display(),
        right.display(),
        differing.len(),
        differing.get(..DIFFERENCES_SHOWN.min(differing.len())).unwrap_or_default()
    );
    for (database, path) in [(&left_db, left), (&right_db, right)] {
        assert_intact(database, path);
    }
}

/// Copies one state of a database into a new file, page for page: SQLite's own backup would
/// count the schema anew.
///
/// # Panics
/// When it cannot be copied.
pub fn copy(from: &Path, to: &Path) {
    let source = open(from);
    let pages = snapshot(&source, from);
    let mut rows = PageRows::new(&source);
    let mut content = Vec::new();
    (1..=pages).for_each(|page| content.extend_from_slice(&rows.raw(page)));
    std::fs::write(to, content).unwrap_or_else(|e| panic!("{}: {e}", to.display()));
}

/// Runs SQLite's integrity check on a file.
///
/// # Panics
/// With what it found.
pub fn assert_file_intact(path: &Path) {
    assert_intact(&open(path), path);
}

fn assert_intact(database: &Connection, path: &Path) {
    let verdict: String = database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap_or_else(|e| panic!("integrity check of {}: {e}", path.display()));
    assert_eq!(verdict, "ok", "integrity check of {}", path.display());
}

/// Begins a read transaction and returns the size in pages that it sees.
fn snapshot(database: &Connection, path: &Path) -> u32 {
    database.execute_batch("BEGIN").expect("begin a read transaction");
    database
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))
        .unwrap_or_else(|e| panic!("read {}: {e}", path.display()));
    database.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("ask for the number of pages")
}

struct PageRows<'a> {
    statement: rusqlite::Statement<'a>,
}

impl<'a> PageRows<'a> {
    fn new(database: &'a Connection) -> PageRows<'a> {
        let statement = database
            .prepare("SELECT data FROM sqlite_dbpage WHERE pgno = ?1")
            .expect("SQLite is built with the dbpage table");
        PageRows { statement }
    }

    fn raw(&mut self, number: u32) -> Vec<u8> {
        let data = self.statement.query_row([number], |row| row.get(0));
        data.unwrap_or_else(|e| panic!("read page {number}: {e}"))
    }

    /// A page's content without what SQLite counts for itself.
    fn page(&mut self, number: u32) -> Vec<u8> {
        let mut data = self.raw(number);
        if number == 1 {
            for range in COUNTERS {
                if let Some(bytes) = data.get_mut(range) {
                    bytes.fill(0);
                }
            }
        }
        data
    }
}
