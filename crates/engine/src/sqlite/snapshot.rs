use std::ptr;

use rusqlite::{Connection, ffi};

use super::wal_index::WalIndexHeader;
use crate::EngineError;

/// Size of SQLite's snapshot object: the wal-index header of the transaction.
const SNAPSHOT_BYTES: usize = 48;

/// Where a read transaction stands in the -wal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// The wal-index header that the transaction reads by.
    pub header: WalIndexHeader,
}

/// Tells where the connection's transaction on `main` stands, opening a read
/// transaction if none is open. The connection must not be in autocommit mode,
/// nor write. `None`: nothing has been written to the -wal since it was created.
///
/// A read transaction that is opened here never ignores the -wal: where a plain
/// SELECT would take read mark 0 (which does not keep the -wal from restarting)
/// because everything is backfilled, this one takes another mark
/// (`walTryBeginRead`, `bGetSnapshot`), unless the -wal has no frame.
pub fn take_snapshot(connection: &Connection) -> Result<Option<Snapshot>, EngineError> {
    let mut object: *mut ffi::sqlite3_snapshot = ptr::null_mut();
    // SAFETY: the handle is live for the borrow; on success SQLite hands over
    // an object that is freed below.
    let code = unsafe { ffi::sqlite3_snapshot_get(connection.handle(), c"main".as_ptr(), &raw mut object) };
    match code {
        ffi::SQLITE_OK => {
            let mut bytes = [0u8; SNAPSHOT_BYTES];
            // SAFETY: a snapshot is 48 bytes (sqlite3.h), the layout is the
            // wal-index header's (wal.c, sqlite3WalSnapshotGet).
            unsafe {
                ptr::copy_nonoverlapping(object.cast::<u8>(), bytes.as_mut_ptr(), SNAPSHOT_BYTES);
                ffi::sqlite3_snapshot_free(object);
            }
            Ok(Some(Snapshot { header: WalIndexHeader::parse(&bytes) }))
        }
        // "no frame was ever written to this -wal" has no code of its own
        ffi::SQLITE_ERROR if !connection.is_autocommit() => Ok(None),
        code => Err(EngineError::Sqlite(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::open_internal;

    #[test]
    fn a_snapshot_pins_even_what_is_backfilled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t(a); PRAGMA wal_checkpoint;").unwrap();
        let pin = open_internal(&path).unwrap();
        pin.execute_batch("BEGIN").unwrap();
        let before = take_snapshot(&pin).unwrap().unwrap();
        writer.execute_batch("INSERT INTO t VALUES (1)").unwrap();
        let other = open_internal(&path).unwrap();
        other.execute_batch("BEGIN").unwrap();
        let after = take_snapshot(&other).unwrap().unwrap();
        assert_eq!(before.header.salts, after.header.salts, "the -wal restarted under the pin");
        assert!(after.header.frames > before.header.frames);
    }

    #[test]
    fn an_untouched_wal_has_no_snapshot() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("CREATE TABLE t(a); PRAGMA journal_mode=WAL").unwrap();
        let reader = open_internal(&path).unwrap();
        reader.execute_batch("BEGIN").unwrap();
        assert_eq!(take_snapshot(&reader).unwrap(), None);
    }
}
