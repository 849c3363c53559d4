use walship_types::Timestamp;

use super::Column;
use crate::catalog::DatabaseRow;
use crate::catalog::cell::{Cell, milliseconds};
use crate::catalog::table::{Row, Rows, Scope, Table};
use crate::catalog::types::{FLOAT8, INT4, INT8, INTERVAL, NAME, NUMERIC, OID, PG_LSN, TEXT, TIMESTAMPTZ};

pub(super) static TABLES: &[Table] = &[
    Table { name: "pg_stat_wal", columns: WAL, rows: Rows::Live(wal) },
    Table { name: "pg_stat_bgwriter", columns: CHECKPOINTS, rows: Rows::Live(checkpoints) },
    Table { name: "pg_stat_archiver", columns: ARCHIVER, rows: Rows::Live(archiver) },
    Table { name: "pg_stat_database", columns: DATABASES, rows: Rows::Live(databases) },
    Table { name: "pg_stat_database_conflicts", columns: CONFLICTS, rows: Rows::Live(conflicts) },
    Table { name: "walship_stat_database", columns: OURS, rows: Rows::Live(ours) },
];

static WAL: &[Column] = &[
    ("wal_records", &INT8),
    ("wal_fpi", &INT8),
    ("wal_bytes", &NUMERIC),
    ("wal_buffers_full", &INT8),
    ("wal_write", &INT8),
    ("wal_sync", &INT8),
    ("wal_write_time", &FLOAT8),
    ("wal_sync_time", &FLOAT8),
    ("stats_reset", &TIMESTAMPTZ),
];

/// Counters live as long as the process.
fn since(scope: &Scope) -> Cell {
    scope.source.identity().started_at.into()
}

fn wal(scope: &Scope) -> Vec<Row> {
    let counted = scope.source.wal_statistics();
    vec![vec![
        counted.records.into(),
        counted.full_pages.into(),
        // numeric in PostgreSQL: divided by 1024 it keeps its fraction
        (counted.bytes as f64).into(),
        counted.buffers_full.into(),
        counted.writes.into(),
        counted.syncs.count().into(),
        milliseconds(counted.write_time),
        milliseconds(counted.syncs.sum),
        since(scope),
    ]]
}

static CHECKPOINTS: &[Column] = &[
    ("checkpoints_timed", &INT8),
    ("checkpoints_req", &INT8),
    ("checkpoint_write_time", &FLOAT8),
    ("checkpoint_sync_time", &FLOAT8),
    ("buffers_checkpoint", &INT8),
    ("buffers_clean", &INT8),
    ("maxwritten_clean", &INT8),
    ("buffers_backend", &INT8),
    ("buffers_backend_fsync", &INT8),
    ("buffers_alloc", &INT8),
    ("stats_reset", &TIMESTAMPTZ),
];

fn checkpoints(scope: &Scope) -> Vec<Row> {
    let counted = scope.source.checkpoint_statistics();
    let mut row: Row = vec![
        counted.timed.into(),
        counted.requested.into(),
        milliseconds(counted.write_time),
        milliseconds(counted.sync_time),
        counted.pages.into(),
    ];
    // there are no shared buffers to clean or to write from sessions
    row.resize(CHECKPOINTS.len() - 1, Cell::Int(0));
    row.push(since(scope));
    vec![row]
}

static ARCHIVER: &[Column] = &[
    ("archived_count", &INT8),
    ("last_archived_wal", &TEXT),
    ("last_archived_time", &TIMESTAMPTZ),
    ("failed_count", &INT8),
    ("last_failed_wal", &TEXT),
    ("last_failed_time", &TIMESTAMPTZ),
    ("stats_reset", &TIMESTAMPTZ),
];

fn archiver(scope: &Scope) -> Vec<Row> {
    let counted = scope.source.archiver_statistics();
    let last = |last: Option<(String, Timestamp)>| match last {
        Some((segment, at)) => (Cell::from(segment), Cell::from(at)),
        None => (Cell::Null, Cell::Null),
    };
    let (archived, archived_at) = last(counted.last_archived);
    let (failed, failed_at) = last(counted.last_failed);
    let (archived_count, failed_count) = (counted.archived.into(), counted.failed.into());
    vec![vec![archived_count, archived, archived_at, failed_count, failed, failed_at, since(scope)]]
}

static DATABASES: &[Column] = &[
    ("datid", &OID),
    ("datname", &NAME),
    ("numbackends", &INT4),
    ("xact_commit", &INT8),
    ("xact_rollback", &INT8),
    ("blks_read", &INT8),
    ("blks_hit", &INT8),
    ("tup_returned", &INT8),
    ("tup_fetched", &INT8),
    ("tup_inserted", &INT8),
    ("tup_updated", &INT8),
    ("tup_deleted", &INT8),
    ("conflicts", &INT8),
    ("temp_files", &INT8),
    ("temp_bytes", &INT8),
    ("deadlocks", &INT8),
    ("checksum_failures", &INT8),
    ("checksum_last_failure", &TIMESTAMPTZ),
    ("blk_read_time", &FLOAT8),
    ("blk_write_time", &FLOAT8),
    ("session_time", &FLOAT8),
    ("active_time", &FLOAT8),
    ("idle_in_transaction_time", &FLOAT8),
    ("sessions", &INT8),
    ("sessions_abandoned", &INT8),
    ("sessions_fatal", &INT8),
    ("sessions_killed", &INT8),
    ("stats_reset", &TIMESTAMPTZ),
];

/// What is not counted here is NULL, not a 0 that would look like a measurement.
fn databases(scope: &Scope) -> Vec<Row> {
    let row = |database: DatabaseRow| {
        let mut row = vec![Cell::Null; DATABASES.len()];
        let known = [
            ("datid", database.id.into()),
            ("datname", database.name.into()),
            ("numbackends", database.sessions.into()),
            ("xact_commit", database.commits.into()),
            ("xact_rollback", database.rollbacks.into()),
            // replay never conflicts with readers, and one writer at a time cannot deadlock
            ("conflicts", Cell::Int(0)),
            ("deadlocks", Cell::Int(0)),
            ("checksum_failures", database.checksum_failures.into()),
            ("checksum_last_failure", database.checksum_last_failure.into()),
            ("sessions", database.sessions_total.into()),
            ("stats_reset", since(scope)),
        ];
        for (name, value) in known {
            let place = DATABASES.iter().position(|(column, _)| *column == name);
            if let Some(cell) = place.and_then(|place| row.get_mut(place)) {
                *cell = value;
            }
        }
        row
    };
    scope.source.databases().into_iter().filter(|database| !database.is_shared_catalog()).map(row).collect()
}

static CONFLICTS: &[Column] = &[
    ("datid", &OID),
    ("datname", &NAME),
    ("confl_tablespace", &INT8),
    ("confl_lock", &INT8),
    ("confl_snapshot", &INT8),
    ("confl_bufferpin", &INT8),
    ("confl_deadlock", &INT8),
];

/// Replay never conflicts with a reader.
fn conflicts(scope: &Scope) -> Vec<Row> {
    let row = |database: DatabaseRow| {
        let mut row: Row = vec![database.id.into(), database.name.into()];
        row.resize(CONFLICTS.len(), Cell::Int(0));
        row
    };
    scope.source.databases().into_iter().map(row).collect()
}

static OURS: &[Column] = &[
    ("datid", &OID),
    ("datname", &NAME),
    ("page_size", &INT4),
    ("pages", &INT8),
    ("checksum", &TEXT),
    ("verified_lsn", &PG_LSN),
    ("verified_time", &TIMESTAMPTZ),
    ("stopped_because", &TEXT),
    ("last_commit_lsn", &PG_LSN),
    ("commits", &INT8),
    ("foreign_commits", &INT8),
    ("log_bytes", &INT8),
    ("waiting_writers", &INT4),
    ("writer_pid", &INT4),
    ("sqlite_wal_bytes", &INT8),
    ("sqlite_wal_pending_frames", &INT8),
    ("oldest_reader_pid", &INT4),
    ("oldest_reader_age", &INTERVAL),
    ("oldest_reader_holds_bytes", &INT8),
];

fn ours(scope: &Scope) -> Vec<Row> {
    let now = Timestamp::now();
    let row = |database: DatabaseRow| {
        vec![
            database.id.into(),
            database.name.into(),
            database.page_size.into(),
            database.pages.into(),
            format!("{:016x}", database.checksum).into(),
            database.verified.into(),
            database.verified_at.into(),
            database.stopped_because.into(),
            database.last_commit.into(),
            database.logged_commits.into(),
            database.foreign_commits.into(),
            database.log_bytes.into(),
            database.waiting_writers.into(),
            database.writer_pid.into(),
            database.sqlite_wal_bytes.into(),
            database.sqlite_wal_pending_frames.into(),
            database.oldest_reader_pid.into(),
            database.oldest_reader_since.map(|since| now.since(since)).into(),
            database.oldest_reader_holds_bytes.into(),
        ]
    };
    scope.source.databases().into_iter().map(row).collect()
}
