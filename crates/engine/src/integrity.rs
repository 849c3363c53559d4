use std::path::Path;

use crate::EngineError;
use crate::sqlite::open_internal;

/// What `PRAGMA integrity_check` says of a database file in WAL mode that nobody else has
/// open; nothing if all is well. At most `problems_max` problems are listed.
pub fn integrity_check(path: &Path, problems_max: u32) -> Result<Vec<String>, EngineError> {
    let connection = open_internal(path)?;
    let mut check = connection.prepare(&format!("PRAGMA integrity_check({problems_max})"))?;
    let lines = check.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    Ok(if lines == ["ok"] { Vec::new() } else { lines })
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn an_index_that_does_not_fit_its_table_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.db");
        let writer = Connection::open(&path).unwrap();
        writer
            .execute_batch("PRAGMA journal_mode=WAL; CREATE TABLE t(a, b); CREATE INDEX i ON t(a); INSERT INTO t VALUES (1, 2)")
            .unwrap();
        assert_eq!(integrity_check(&path, 10).unwrap(), Vec::<String>::new());
        writer
            .execute_batch("PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql='CREATE INDEX i ON t(b)' WHERE name='i'")
            .unwrap();
        let found = integrity_check(&path, 10).unwrap();
        assert!(found.iter().any(|line| line.contains("index i")), "{found:?}");
    }
}
