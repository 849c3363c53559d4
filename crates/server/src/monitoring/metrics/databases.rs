use walship_sql::catalog::DatabaseRow;

use super::log::unix_seconds;
use crate::monitoring::exposition::{Exposition, Kind};
use crate::monitoring::reading::Reading;

/// One series for each database.
pub(super) fn put(out: &mut Exposition, reading: &Reading) {
    let mut per =
        |name: &'static str, kind: Kind, help: &str, value: &dyn Fn(&DatabaseRow) -> Option<f64>| {
            let mut family = out.family(name, kind, help);
            for row in &reading.databases {
                family.sample_if(&[("database", &row.name)], value(row));
            }
        };
    use Kind::{Counter, Gauge};
    per("walship_database_size_bytes", Gauge, "Size of the database: its pages, as logged.", &|row| {
        number(row.pages * u64::from(row.page_size))
    });
    per("walship_database_connections", Gauge, "Sessions connected to the database.", &|row| {
        Some(f64::from(row.sessions))
    });
    per("walship_database_sessions_total", Counter, "Sessions ever.", &|row| number(row.sessions_total));
    per(
        "walship_database_commits_total",
        Counter,
        "Commits that were logged since this node leads.",
        &|row| number(row.logged_commits),
    );
    per(
        "walship_database_foreign_commits_total",
        Counter,
        "Commits among them of programs that wrote to the file themselves.",
        &|row| number(row.foreign_commits),
    );
    per(
        "walship_database_log_bytes_total",
        Counter,
        "Log that its commits took since this node leads.",
        &|row| number(row.log_bytes),
    );
    per("walship_database_waiting_writers", Gauge, "Sessions that wait for their turn to write.", &|row| {
        Some(f64::from(row.waiting_writers))
    });
    per(
        "walship_database_verifications_total",
        Counter,
        "Times that the whole file was held against its page hashes and found right.",
        &|row| number(row.verifications),
    );
    per(
        "walship_database_checksum_failures_total",
        Counter,
        "Pages that did not have their logged content.",
        &|row| number(row.checksum_failures),
    );
    per(
        "walship_database_verified_timestamp_seconds",
        Gauge,
        "When the whole file was last found right.",
        &|row| row.verified_at.map(unix_seconds),
    );
    per(
        "walship_database_stopped",
        Gauge,
        "1 when nobody may write the database, or replay of it has stopped.",
        &|row| Some(f64::from(u8::from(row.stopped_because.is_some()))),
    );
    per("walship_database_sqlite_wal_bytes", Gauge, "Size of SQLite's -wal in use.", &|row| {
        number(row.sqlite_wal_bytes)
    });
    per(
        "walship_database_sqlite_wal_pending_frames",
        Gauge,
        "Frames of the -wal that are not yet in the file.",
        &|row| number(row.sqlite_wal_pending_frames),
    );
    per(
        "walship_database_oldest_reader_seconds",
        Gauge,
        "For how long a reader has kept the -wal from being moved into the file; 0 without one.",
        &|row| Some(row.oldest_reader_since.map_or(0.0, |since| reading.at.since(since).as_secs_f64())),
    );
    let mut family = out.family(
        "walship_database_transactions_total",
        Counter,
        "Transactions of sessions, reading ones too, by how they ended.",
    );
    for row in &reading.databases {
        family.sample(&[("database", &row.name), ("outcome", "commit")], row.commits);
        family.sample(&[("database", &row.name), ("outcome", "rollback")], row.rollbacks);
    }
}

/// As Prometheus keeps every number: exact up to 2^53.
#[allow(clippy::unnecessary_wraps)]
fn number(count: u64) -> Option<f64> {
    Some(count as f64)
}
