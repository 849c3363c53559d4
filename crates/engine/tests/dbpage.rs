//! Pages go from one database file into another under readers who stay connected.

use std::path::Path;

use rusqlite::Connection;
use walship_engine::page::same_content;
use walship_engine::{DbPage, DbPageError};
use walship_types::{PageNo, PageSize};

const CACHE_KIB: u32 = 512;

/// A source database in WAL mode, with `sql` run in it.
fn source(path: &Path, sql: &str) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(sql).unwrap();
    connection
}

/// Copies every page that differs in one transaction, as replay does.
fn copy(from: &Path, to: &mut DbPage) {
    let source = DbPage::open(from, CACHE_KIB).unwrap();
    source.begin_read().unwrap();
    to.begin(None, &|| false).unwrap();
    let mut first = Vec::new();
    source
        .for_each_page(|page, content| {
            let mut old = Vec::new();
            if page == PageNo::FIRST {
                first = content.to_vec();
            } else if !(to.read(page, &mut old).unwrap() && old == content) {
                to.write(page, content).unwrap();
            }
            true
        })
        .unwrap();
    let pages = source.page_count().unwrap();
    to.commit(Some(&first), pages).unwrap();
    if to.needs_reopen(&first) {
        *to = to.reopen().unwrap();
    }
    to.begin(None, &|| false).unwrap();
    to.expect_page_count(pages).unwrap();
    to.rollback().unwrap();
    // the size in page 1 is not enough: the file itself has to end there
    let moved = to.checkpoint_passive().unwrap();
    if moved.frames > 0 && moved.backfilled == moved.frames {
        let bytes = std::fs::metadata(to.path()).unwrap().len();
        assert_eq!(bytes, u64::from(pages) * to.page_size().bytes() as u64, "bytes of {pages} pages");
    }
}

fn assert_same_pages(left: &Path, right: &Path) {
    let (left, right) = (DbPage::open(left, CACHE_KIB).unwrap(), DbPage::open(right, CACHE_KIB).unwrap());
    left.begin_read().unwrap();
    right.begin_read().unwrap();
    assert_eq!(left.page_count().unwrap(), right.page_count().unwrap());
    let mut other = Vec::new();
    left.for_each_page(|page, content| {
        assert!(right.read(page, &mut other).unwrap());
        assert!(same_content(page, content, &other), "page {page} differs");
        true
    })
    .unwrap();
}

fn count(connection: &Connection, sql: &str) -> i64 {
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn readers_keep_their_snapshot_and_then_see_the_new_schema() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from.db"), directory.path().join("to.db"));
    let leader = source(&from, "PRAGMA journal_mode=WAL; CREATE TABLE a(x); INSERT INTO a VALUES(1);");
    let mut follower = DbPage::create(&to, PageSize::DEFAULT, CACHE_KIB).unwrap();
    copy(&from, &mut follower);

    let old = Connection::open(&to).unwrap();
    old.execute_batch("BEGIN").unwrap();
    assert_eq!(count(&old, "SELECT count(*) FROM a"), 1);
    let other = Connection::open(&to).unwrap();
    assert_eq!(count(&other, "SELECT count(*) FROM a"), 1);

    leader
        .execute_batch(
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM s WHERE n<500)
             INSERT INTO a SELECT n FROM s;
             CREATE TABLE b(y); CREATE INDEX i ON a(x); INSERT INTO b VALUES('new');",
        )
        .unwrap();
    copy(&from, &mut follower);
    assert_eq!(count(&old, "SELECT count(*) FROM a"), 1, "the snapshot stays");
    assert!(old.prepare("SELECT * FROM b").is_err());
    assert_eq!(count(&other, "SELECT count(*) FROM a"), 501);
    assert_eq!(count(&other, "SELECT count(*) FROM b"), 1);
    old.execute_batch("COMMIT").unwrap();
    assert_eq!(count(&old, "SELECT count(*) FROM b"), 1);
    assert_same_pages(&from, &to);

    leader.execute_batch("DELETE FROM a; DROP TABLE b; VACUUM;").unwrap();
    copy(&from, &mut follower);
    assert_same_pages(&from, &to);
    assert_eq!(other.query_row("PRAGMA integrity_check", [], |r| r.get::<_, String>(0)).unwrap(), "ok");
}

#[test]
fn every_page_size_and_encoding_is_copied() {
    for (bytes, encoding) in
        [(512, "UTF-8"), (1024, "UTF-16le"), (4096, "UTF-16be"), (8192, "UTF-16le"), (65536, "UTF-8")]
    {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from.db"), directory.path().join("to.db"));
        let leader = source(
            &from,
            &format!(
                "PRAGMA page_size={bytes}; PRAGMA encoding='{encoding}'; PRAGMA journal_mode=WAL;
                 CREATE TABLE t(x TEXT); INSERT INTO t VALUES('grün'), (hex(zeroblob(70000)));"
            ),
        );
        let mut follower = DbPage::create(&to, PageSize::new(bytes).unwrap(), CACHE_KIB).unwrap();
        copy(&from, &mut follower);
        leader.execute_batch("CREATE TABLE u(y); INSERT INTO u SELECT x FROM t; DELETE FROM t;").unwrap();
        copy(&from, &mut follower);
        assert_same_pages(&from, &to);
        let reader = Connection::open(&to).unwrap();
        assert_eq!(count(&reader, "SELECT count(*) FROM u WHERE y='grün'"), 1, "{bytes} {encoding}");
    }
}

#[test]
fn what_a_transaction_wrote_beyond_the_end_can_be_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let db = DbPage::create(&path, PageSize::DEFAULT, CACHE_KIB).unwrap();
    db.begin(None, &|| false).unwrap();
    let mut content = Vec::new();
    for page in 2..=1000u32 {
        db.write(PageNo(page), &vec![page as u8; 4096]).unwrap();
    }
    assert!(!db.read(PageNo(1000), &mut content).unwrap());
    db.extend(1000).unwrap();
    assert!(db.read(PageNo(1000), &mut content).unwrap());
    assert_eq!(content, vec![232u8; 4096]);
    // the transaction ends smaller than it was in between
    let mut first = Vec::new();
    db.read(PageNo::FIRST, &mut first).unwrap();
    first[28..32].copy_from_slice(&10u32.to_be_bytes());
    db.commit(Some(&first), 10).unwrap();
    db.begin(None, &|| false).unwrap();
    db.expect_page_count(10).unwrap();
    assert!(!db.read(PageNo(11), &mut content).unwrap());
    db.rollback().unwrap();
    let found = db.expect_page_count(11).unwrap_err();
    assert!(matches!(found, DbPageError::PageCount { found: 10, expected: 11, .. }), "{found}");
}

#[test]
fn page_one_and_the_commit_must_agree_on_the_size() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let db = DbPage::create(&path, PageSize::DEFAULT, CACHE_KIB).unwrap();
    db.begin(None, &|| false).unwrap();
    let mut first = Vec::new();
    db.read(PageNo::FIRST, &mut first).unwrap();
    let error = db.commit(Some(&first), 2).unwrap_err();
    assert!(matches!(error, DbPageError::HeaderPages { found: 1, expected: 2, .. }), "{error}");
    db.rollback().unwrap();
}

#[test]
fn the_fence_keeps_writers_out_and_lets_readers_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let db = DbPage::create(&path, PageSize::DEFAULT, CACHE_KIB).unwrap();
    let stranger = Connection::open(&path).unwrap();
    stranger.busy_timeout(std::time::Duration::ZERO).unwrap();
    db.begin(None, &|| false).unwrap();
    let version = db.data_version().unwrap();
    assert!(stranger.execute_batch("CREATE TABLE t(x)").is_err());
    assert_eq!(count(&stranger, "SELECT count(*) FROM sqlite_schema"), 0);
    let mut first = Vec::new();
    db.read(PageNo::FIRST, &mut first).unwrap();
    db.commit(Some(&first), 1).unwrap();
    db.begin(None, &|| false).unwrap();
    assert_eq!(db.data_version().unwrap(), version, "our own commit does not count");
    db.rollback().unwrap();
    stranger.execute_batch("CREATE TABLE t(x)").unwrap();
    db.begin(None, &|| false).unwrap();
    assert_ne!(db.data_version().unwrap(), version);
    db.rollback().unwrap();

    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(db.begin(None, &|| true), Err(DbPageError::Locked { .. })));
}

#[test]
fn what_cannot_be_opened_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing.db");
    assert!(matches!(DbPage::open(&path, CACHE_KIB), Err(DbPageError::Missing { .. })));
    std::fs::write(&path, vec![b'x'; 5000]).unwrap();
    let error = DbPage::open(&path, CACHE_KIB).unwrap_err();
    assert!(matches!(error, DbPageError::Sqlite { .. }), "{error}");
}
