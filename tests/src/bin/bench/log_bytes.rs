use std::path::Path;

use rusqlite::Connection;

use crate::rate::{psql_on_postgres, run};
use crate::table::Table;
use crate::{Effort, Systems};

/// A small bank: 100,000 accounts.
const BANK: &str = "
    CREATE TABLE branches(bid INTEGER PRIMARY KEY, balance INTEGER);
    CREATE TABLE tellers(tid INTEGER PRIMARY KEY, bid INTEGER, balance INTEGER);
    CREATE TABLE accounts(aid INTEGER PRIMARY KEY, bid INTEGER, balance INTEGER, filler TEXT);
    CREATE TABLE history(tid INTEGER, bid INTEGER, aid INTEGER, delta INTEGER, mtime TEXT);
    INSERT INTO branches VALUES (1, 0);
    INSERT INTO tellers WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT i, 1, 0 FROM n;
    INSERT INTO accounts WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
        SELECT i, 1, 0, 'eighty-four bytes of filler, as the real TPC-B has, so that rows are of a likely size' FROM n";

/// A TPC-B-like transaction; `{aid}`, `{tid}` and `{delta}` are filled in.
const TRANSFER: &str = "BEGIN;
UPDATE accounts SET balance = balance + {delta} WHERE aid = {aid};
SELECT balance FROM accounts WHERE aid = {aid};
UPDATE tellers SET balance = balance + {delta} WHERE tid = {tid};
UPDATE branches SET balance = balance + {delta} WHERE bid = 1;
INSERT INTO history(tid, bid, aid, delta, mtime) VALUES ({tid}, 1, {aid}, {delta}, CURRENT_TIMESTAMP);
END;
";

/// Transactions of the plain SQLite that is the yardstick.
const SQLITE_TRANSACTIONS: u32 = 5000;

/// Bytes per transaction: our log, SQLite's own -wal for the same statements on a
/// database of its own, and PostgreSQL's log.
pub(crate) fn measure(systems: &Systems<'_>, effort: Effort) -> Table {
    let mut table = Table::new(&["work", "walship", "SQLite -wal", "share", "PostgreSQL"]);
    systems.leader.sql(BANK);
    psql_on_postgres(systems, BANK);
    let insert = "INSERT INTO bench(v, note) VALUES ({delta}, 'forty bytes of text, as a note would be');\n";
    let tables = "CREATE TABLE bench(id INTEGER PRIMARY KEY, v INTEGER, note TEXT)";
    for (name, transaction) in [("single-row insert", insert), ("TPC-B-like", TRANSFER)] {
        let script = systems.lab.file("log_bytes.sql", as_pgbench_script(transaction));
        let ours = per_transaction(effort, &script, systems.leader.port(), |sql| systems.leader.sql(sql));
        let theirs =
            per_transaction(effort, &script, systems.postgres.port(), |sql| psql_on_postgres(systems, sql));
        let plain = plain_sqlite(
            &systems.lab.path().join(format!("{}.db", name.replace(' ', "_"))),
            &[BANK, tables],
            transaction,
        )
        .expect("the yardstick runs on plain SQLite");
        table.row(vec![
            name.to_owned(),
            format!("{ours:.0}"),
            format!("{plain:.0}"),
            format!("{:.3}", ours / plain),
            format!("{theirs:.0}"),
        ]);
    }
    table
}

fn as_pgbench_script(transaction: &str) -> String {
    let body = transaction.replace("{aid}", ":aid").replace("{tid}", ":tid").replace("{delta}", ":delta");
    format!("\\set aid random(1, 100000)\n\\set tid random(1, 10)\n\\set delta random(-5000, 5000)\n{body}")
}

/// Log bytes of one run with 16 clients, divided by its transactions; right after a
/// checkpoint, so that the first touch of each page is paid for by both.
fn per_transaction(effort: Effort, script: &Path, port: u16, ask: impl Fn(&str) -> String) -> f64 {
    ask("CHECKPOINT");
    let before = ask("SELECT pg_current_wal_insert_lsn()");
    let done = run(port, script, 16, effort);
    let bytes = ask(&format!("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{before}')"));
    bytes.parse::<f64>().expect("a difference of positions is a number") / done.transactions
}

/// Growth of SQLite's -wal per transaction, on the same statements.
fn plain_sqlite(path: &Path, tables: &[&str], transaction: &str) -> rusqlite::Result<f64> {
    let database = Connection::open(path)?;
    database.execute_batch(
        "PRAGMA journal_mode = wal; PRAGMA synchronous = normal; PRAGMA wal_autocheckpoint = 0;",
    )?;
    for sql in tables {
        database.execute_batch(sql)?;
    }
    let wal = path.with_extension("db-wal");
    let length = || std::fs::metadata(&wal).map_or(0, |file| file.len());
    let before = length();
    for i in 0..u64::from(SQLITE_TRANSACTIONS) {
        // spread over the accounts as a random choice would be
        let aid = 1 + i * 2_654_435_761 % 100_000;
        let delta = i * 40_503 % 10_001;
        let sql = transaction
            .replace("{aid}", &aid.to_string())
            .replace("{tid}", &(1 + i % 10).to_string())
            .replace("{delta}", &delta.to_string());
        database.execute_batch(&sql)?;
    }
    let grown = u32::try_from((length() - before) / u64::from(SQLITE_TRANSACTIONS)).unwrap_or(u32::MAX);
    Ok(f64::from(grown))
}
