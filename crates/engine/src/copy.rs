use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, backup};

use crate::EngineError;

/// Pages between two looks at whether to go on.
const STEP_PAGES: i32 = 256;

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportProgress {
    /// Bytes that are copied.
    pub done_bytes: u64,
    /// Bytes that there are.
    pub total_bytes: u64,
}

/// Copies one state of an SQLite database that is not the cluster's to a new file, page
/// by page as it is, while other programs read and write it. They are held up only if it
/// is not in WAL mode. Nothing is synced; `progress` ends the copy by answering `false`.
pub fn copy_foreign_database(
    source: &Path,
    target: &Path,
    progress: &mut dyn FnMut(ImportProgress) -> bool,
) -> Result<(), EngineError> {
    let from = open_foreign(source)?;
    // the copy would begin again after every commit of another program; inside a read
    // transaction it goes on with what it began with
    from.execute_batch("BEGIN")?;
    from.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let page_bytes: u32 = from.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let mut to = Connection::open(target)?;
    to.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")?;
    let copy = backup::Backup::new(&from, &mut to)?;
    loop {
        let step = copy.step(STEP_PAGES)?;
        let at = copy.progress();
        let bytes = |pages: i32| u64::try_from(pages).unwrap_or(0) * u64::from(page_bytes);
        let done_bytes = bytes(at.pagecount - at.remaining);
        if !progress(ImportProgress { done_bytes, total_bytes: bytes(at.pagecount) }) {
            let problem = "the copy was cancelled".to_owned();
            return Err(EngineError::NotImportable { path: source.to_owned(), problem });
        }
        match step {
            backup::StepResult::Done => return Ok(()),
            backup::StepResult::More => {}
            // somebody has the file locked: not for long
            _ => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    }
}

/// Opens the file so that looking at it changes nothing: a -wal that somebody left behind
/// is read, but not moved into the file when the connection closes.
fn open_foreign(source: &Path) -> Result<Connection, EngineError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(source, flags)?;
    let mut wal = source.as_os_str().to_owned();
    wal.push("-wal");
    let left_behind = std::fs::metadata(&wal).is_ok_and(|metadata| metadata.len() > 0);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, left_behind)?;
    connection.busy_timeout(std::time::Duration::from_secs(30))?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_one_state_although_others_write() {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("a.db"), dir.path().join("b.db"));
        let writer = Connection::open(&source).unwrap();
        let make = "PRAGMA page_size=512; PRAGMA journal_mode=WAL; CREATE TABLE t(a, b);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 5000)
             INSERT INTO t SELECT 0, randomblob(100) FROM n";
        writer.execute_batch(make).unwrap();
        let mut steps = 0;
        copy_foreign_database(&source, &target, &mut |_| {
            steps += 1;
            writer.execute_batch("UPDATE t SET a = a + 1").unwrap();
            true
        })
        .unwrap();
        assert!(steps > 2, "{steps} steps");
        let copy = Connection::open(&target).unwrap();
        let states: (i64, i64) =
            copy.query_row("SELECT min(a), max(a) FROM t", [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
        assert_eq!(states, (0, 0));
        let verdict: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
    }

    #[test]
    fn a_wal_that_was_left_behind_is_read_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("a.db"), dir.path().join("b.db"));
        let writer = Connection::open(&source).unwrap();
        writer.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        writer.execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t(a); INSERT INTO t VALUES (7)").unwrap();
        drop(writer);
        let before = std::fs::read(&source).unwrap();
        copy_foreign_database(&source, &target, &mut |_| true).unwrap();
        assert_eq!(std::fs::read(&source).unwrap(), before);
        let value: i64 =
            Connection::open(&target).unwrap().query_row("SELECT a FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(value, 7);
    }
}
