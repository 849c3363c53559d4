use std::path::Path;

use rusqlite::Connection;

const SCHEMA: &str = include_str!("../../fixtures/dataset/schema.sql");
const ROWS: &str = include_str!("../../fixtures/dataset/rows.sql");

/// Writes the shop of fixtures/dataset to a new SQLite file: the same bytes of content
/// on every machine.
///
/// # Errors
/// SQLite's, when the file exists already or cannot be written.
pub fn generate_shop(path: &Path) -> rusqlite::Result<()> {
    let database = Connection::open(path)?;
    database
        .execute_batch("PRAGMA journal_mode = off; PRAGMA synchronous = off; PRAGMA cache_size = -65536;")?;
    database.execute_batch(SCHEMA)?;
    database.execute_batch(ROWS)?;
    database.execute_batch("PRAGMA journal_mode = wal;")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shop_is_large_related_and_the_same_every_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("shop.db");
        generate_shop(&path).unwrap();
        let database = Connection::open(&path).unwrap();
        let number = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(number("SELECT count(*) FROM customers"), 12_000);
        assert_eq!(number("SELECT count(*) FROM products"), 3_000);
        assert_eq!(number("SELECT count(*) FROM orders"), 60_000);
        let lines = number("SELECT count(*) FROM order_lines");
        assert!(150_000 == lines, "{lines} order lines");
        assert_eq!(number("SELECT count(*) FROM pragma_foreign_key_check"), 0);
        assert_eq!(number("SELECT sum(id * total_cents % 1000003) FROM orders"), SUM_OF_ORDERS);
    }

    /// Of the generated orders; changes only when the generator does.
    const SUM_OF_ORDERS: i64 = 29_928_002_502;
}
