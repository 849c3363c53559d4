use std::time::{Duration, Instant};

use Nature::{Acts, Pure, Reads};

use super::{Nature, function, only_in_recovery};
use crate::catalog::cell::{Cell, array_text};
use crate::catalog::function::{Call, Function};
use crate::catalog::privilege::check_signal;
use crate::catalog::tables::blockers;
use crate::catalog::types::{BOOL, INT4_ARRAY, INT8, TEXT, TIMESTAMPTZ, VOID};
use crate::catalog::{DatabaseRow, NewSlot, SqlError};

pub(super) static FUNCTIONS: &[Function] = &[
    function("pg_postmaster_start_time", 0, &TIMESTAMPTZ, Reads, |call| {
        Ok(call.scope.source.identity().started_at.into())
    }),
    function("pg_conf_load_time", 0, &TIMESTAMPTZ, Reads, |call| {
        Ok(call.scope.source.configuration_loaded_at().into())
    }),
    function("pg_current_logfile", 0, &TEXT, Reads, |call| {
        Ok(call.scope.source.log_file().map(|path| path.display().to_string()).into())
    }),
    function("pg_reload_conf", 0, &BOOL, Acts, |call| call.scope.source.reload().map(|_| true.into())),
    function("pg_cancel_backend", 1, &BOOL, Acts, |call| {
        let pid = pid(call)?;
        check_signal(call.scope, pid, "cancel")?;
        Ok(call.scope.source.cancel(pid)?.into())
    }),
    function("pg_terminate_backend", 1, &BOOL, Acts, terminate),
    function("pg_terminate_backend", 2, &BOOL, Acts, terminate),
    function("pg_promote", 0, &BOOL, Acts, promote),
    function("pg_promote", 1, &BOOL, Acts, promote),
    function("pg_promote", 2, &BOOL, Acts, promote),
    function("walship_unfence", 0, &BOOL, Acts, |call| call.scope.source.unfence().map(Into::into)),
    function("pg_create_physical_replication_slot", 1, &TEXT, Acts, create_slot),
    function("pg_create_physical_replication_slot", 2, &TEXT, Acts, create_slot),
    function("pg_create_physical_replication_slot", 3, &TEXT, Acts, create_slot),
    function("pg_drop_replication_slot", 1, &VOID, Acts, |call| {
        call.scope.source.drop_slot(&call.text(0))?;
        Ok("".into())
    }),
    function("pg_database_size", 1, &INT8, Reads, |call| {
        let database = database(call)?;
        Ok(database.pages.saturating_mul(u64::from(database.page_size)).into())
    }),
    function("pg_table_size", 1, &INT8, Reads, |call| relation_size(call, Parts::Own)),
    function("pg_relation_size", 1, &INT8, Reads, |call| relation_size(call, Parts::Own)),
    function("pg_indexes_size", 1, &INT8, Reads, |call| relation_size(call, Parts::Indexes)),
    function("pg_total_relation_size", 1, &INT8, Reads, |call| relation_size(call, Parts::All)),
    function("pg_blocking_pids", 1, &INT4_ARRAY, Reads, |call| {
        let pids = blockers(call.scope, pid(call)?);
        let texts: Vec<String> = pids.iter().map(i32::to_string).collect();
        Ok(array_text(texts.iter().map(String::as_str)).into())
    }),
    // there are no advisory locks to hold, so that none is left after it
    function("pg_advisory_unlock_all", 0, &VOID, Pure, |_| Ok("".into())),
    function("pg_stat_clear_snapshot", 0, &VOID, Pure, |_| Ok("".into())),
    function("pg_sleep", 1, &VOID, Acts, sleep),
];

fn pid(call: &Call<'_, '_>) -> Result<i32, SqlError> {
    let pid = call.integer(0)?;
    i32::try_from(pid).map_err(|_| SqlError::new("22003", format!("session number {pid} is out of range")))
}

fn terminate(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let pid = pid(call)?;
    check_signal(call.scope, pid, "terminate")?;
    Ok(call.scope.source.terminate(pid)?.into())
}

fn promote(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    const WAIT_SECONDS: i64 = 60;
    if !call.scope.source.in_recovery() {
        return Err(only_in_recovery());
    }
    let wait = call.flag(0, true)?;
    let seconds = if call.count() > 1 { call.integer(1)? } else { WAIT_SECONDS };
    let seconds = u64::try_from(seconds).ok().filter(|&seconds| seconds > 0);
    let Some(seconds) = seconds else {
        return Err(SqlError::new("22003", "\"wait_seconds\" must not be negative or zero"));
    };
    Ok(call.scope.source.promote(wait.then(|| Duration::from_secs(seconds)))?.into())
}

/// The row that PostgreSQL returns, as it prints it: `(name,lsn)`.
fn create_slot(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let name = call.text(0);
    let temporary_for = call.flag(2, false)?.then_some(call.scope.session.pid);
    let slot = NewSlot { name: &name, reserve: call.flag(1, false)?, temporary_for };
    let reserved = call.scope.source.create_physical_slot(&slot)?;
    Ok(format!("({name},{})", reserved.map(|lsn| lsn.to_string()).unwrap_or_default()).into())
}

fn database(call: &Call<'_, '_>) -> Result<DatabaseRow, SqlError> {
    let wanted = call.text(0);
    let found = call
        .scope
        .source
        .databases()
        .into_iter()
        .find(|row| row.name == wanted || row.id.to_string() == wanted);
    found.ok_or_else(|| SqlError::new("3D000", format!("database \"{wanted}\" does not exist")))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Parts {
    Own,
    Indexes,
    All,
}

/// Bytes of the b-trees of a table or index, given by name or oid. Reads the interior of each, as the size is stored
/// nowhere.
fn relation_size(call: &Call<'_, '_>, parts: Parts) -> Result<Cell, SqlError> {
    let wanted = call.text(0);
    let schema = call.with_connection(|connection| call.scope.schema.current(connection))?;
    let Some(relation) = schema.relation_by_text(&wanted) else {
        return match wanted.parse::<i64>() {
            Ok(_) => Ok(Cell::Null),
            Err(_) => Err(SqlError::new("42P01", format!("relation \"{wanted}\" does not exist"))),
        };
    };
    let mut names: Vec<&str> = Vec::new();
    if parts != Parts::Indexes {
        names.extend(relation.btree.as_deref());
    }
    if parts != Parts::Own {
        let indexes = schema.indexes.iter().filter(|index| index.table == relation.oid);
        names.extend(indexes.filter_map(|index| index.btree.as_deref()));
    }
    let database = if relation.temporary { "temp" } else { "main" };
    let total = call.with_connection(|connection| {
        let mut sizes = connection.prepare_cached("SELECT pgsize FROM dbstat(?1, 1) WHERE name = ?2")?;
        names.iter().try_fold(0_i64, |total, name| {
            let size: Option<i64> =
                sizes.query_row([database, name], |row| row.get(0)).or_else(none_if_no_row)?;
            Ok(total.saturating_add(size.unwrap_or(0)))
        })
    })?;
    Ok(total.into())
}

fn none_if_no_row<T>(error: rusqlite::Error) -> rusqlite::Result<Option<T>> {
    match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(None),
        other => Err(other),
    }
}

/// Waits, looking every few milliseconds whether the statement was cancelled.
fn sleep(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    const LOOK_EVERY: Duration = Duration::from_millis(5);
    const SECONDS_MAX: f64 = 1e9;
    let seconds: f64 = call.text(0).parse().unwrap_or(0.0);
    let until = Instant::now() + Duration::from_secs_f64(seconds.clamp(0.0, SECONDS_MAX));
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        if call.with_connection(|connection| Ok(connection.is_interrupted()))? {
            return Err(SqlError::new("57014", "canceling statement due to user request"));
        }
        std::thread::sleep(left.min(LOOK_EVERY));
    }
    Ok("".into())
}
