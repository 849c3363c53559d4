use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, FileControl, MAIN_DB, OpenFlags};

use super::requirements::check_requirements;
use crate::EngineError;

/// Page cache of a connection that the engine keeps for itself, in KiB.
const INTERNAL_CACHE_KIB: u32 = 256;

/// Opens a connection for a client's session on the database at `path`.
///
/// The connection is defensive: no statement can write `sqlite_dbpage`, shadow
/// tables or the schema table, which would go around capture. `cache_kib` bounds
/// its page cache (SQLite's default costs 2 MB a connection).
pub fn open_session(path: &Path, cache_kib: u32) -> Result<Connection, EngineError> {
    let connection = open(path, cache_kib)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    Ok(connection)
}

/// Opens a connection for the engine's own work (pins, checkpoints, redo); it
/// may write pages through `sqlite_dbpage`.
pub fn open_internal(path: &Path) -> Result<Connection, EngineError> {
    open(path, INTERNAL_CACHE_KIB)
}

/// The one place that opens a connection to a database of the cluster.
///
/// The file must exist and be in WAL mode. What every connection needs:
/// - `PERSIST_WAL` and `NO_CKPT_ON_CLOSE`: the last clean close otherwise
///   backfills, deletes the -wal and resets its generation, and uncaptured
///   frames with it;
/// - no automatic checkpoints: when frames may move is the pin's and the seal's
///   business;
/// - `synchronous=NORMAL`: a commit needs no fsync of the -wal, our log has it.
fn open(path: &Path, cache_kib: u32) -> Result<Connection, EngineError> {
    check_requirements()?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let mut persist = 1;
    connection.file_control(Some(MAIN_DB), FileControl::PersistWal(&mut persist))?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "cache_size", -i64::from(cache_kib))?;
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(EngineError::NotWalMode { path: path.to_owned(), found: mode });
    }
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_close_leaves_the_wal_and_its_generation() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        let plain = Connection::open(&path).unwrap();
        plain.execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t(a);").unwrap();
        let ours = open_session(&path, 100).unwrap();
        ours.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        drop(plain);
        drop(ours);
        assert!(std::fs::metadata(dir.path().join("t.db-wal")).unwrap().len() > 0);
    }

    #[test]
    fn a_session_cannot_write_pages() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        Connection::open(&path)
            .unwrap()
            .execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t(a);")
            .unwrap();
        let session = open_session(&path, 100).unwrap();
        let write = "UPDATE sqlite_dbpage SET data=data WHERE pgno=1";
        assert!(session.execute_batch(write).is_err());
        open_internal(&path).unwrap().execute_batch(write).unwrap();
    }

    #[test]
    fn a_database_in_another_journal_mode_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t(a)").unwrap();
        let error = open_internal(&path).unwrap_err();
        assert!(matches!(error, EngineError::NotWalMode { ref found, .. } if found == "delete"), "{error}");
    }
}
