use Nature::{Acts, Pure, Reads, ReadsNull};
use walship_settings::Scope as SetScope;
use walship_types::Timestamp;

use super::{Nature, function};
use crate::catalog::cell::{Cell, array_text};
use crate::catalog::function::{Call, Function};
use crate::catalog::types::{INET, INT4, NAME, NAME_ARRAY, OID, PG_LSN, TEXT, TIMESTAMPTZ};
use crate::catalog::{SessionContext, SqlError};

/// The one schema of a database, by PostgreSQL's name for it.
const SCHEMA: &str = "public";

pub(super) static FUNCTIONS: &[Function] = &[
    function("version", 0, &TEXT, Reads, version),
    function("current_database", 0, &NAME, Reads, |call| Ok(call.scope.session.database.as_str().into())),
    function("current_catalog", 0, &NAME, Reads, |call| Ok(call.scope.session.database.as_str().into())),
    function("current_schema", 0, &NAME, Pure, |_| Ok(SCHEMA.into())),
    function("current_schemas", 1, &NAME_ARRAY, Pure, |call| {
        let implicit: &[&str] = if call.flag(0, false)? { &["pg_catalog", SCHEMA] } else { &[SCHEMA] };
        Ok(array_text(implicit.iter().copied()).into())
    }),
    function("current_user", 0, &NAME, Reads, user),
    function("session_user", 0, &NAME, Reads, user),
    function("current_role", 0, &NAME, Reads, user),
    function("user", 0, &NAME, Reads, user),
    function("current_setting", 1, &TEXT, Reads, current_setting),
    function("current_setting", 2, &TEXT, Reads, current_setting),
    function("set_config", 3, &TEXT, Acts, set_config),
    function("pg_backend_pid", 0, &INT4, Reads, |call| Ok(call.scope.session.pid.into())),
    function("pg_my_temp_schema", 0, &OID, Pure, |_| Ok(0_i64.into())),
    function("pg_client_encoding", 0, &NAME, Reads, |call| show(&call.scope.session, "client_encoding")),
    function("inet_server_addr", 0, &INET, Reads, |call| {
        Ok(call.scope.session.server.map(|end| end.ip()).into())
    }),
    function("inet_server_port", 0, &INT4, Reads, |call| {
        Ok(call.scope.session.server.map(|end| end.port()).into())
    }),
    function("inet_client_addr", 0, &INET, Reads, |call| {
        Ok(call.scope.session.client.map(|end| end.ip()).into())
    }),
    function("inet_client_port", 0, &INT4, Reads, |call| {
        Ok(call.scope.session.client.map(|end| end.port()).into())
    }),
    function("now", 0, &TIMESTAMPTZ, Reads, now),
    function("transaction_timestamp", 0, &TIMESTAMPTZ, Reads, now),
    function("statement_timestamp", 0, &TIMESTAMPTZ, Reads, now),
    function("clock_timestamp", 0, &TIMESTAMPTZ, Reads, |_| Ok(Timestamp::now().into())),
    function("walship_last_commit_lsn", 0, &PG_LSN, Reads, |call| {
        Ok(call.scope.session.last_commit().into())
    }),
    function("pg_typeof", 1, &TEXT, ReadsNull, |call| Ok(type_of_value(call).into())),
];

/// What this is, without pretending; but tools read the number behind the first word to learn what they may ask.
fn version(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let server = call.scope.session.settings.lock().show("server_version")?;
    let number = server.split_whitespace().next().unwrap_or_default();
    let own = env!("CARGO_PKG_VERSION");
    Ok(format!("PostgreSQL {number} compatible: walship {own} on SQLite {}", rusqlite::version()).into())
}

fn user(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    Ok(call.scope.session.user.as_str().into())
}

fn now(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    Ok(call.scope.session.transaction_start().into())
}

fn show(session: &SessionContext, name: &str) -> Result<Cell, SqlError> {
    Ok(session.settings.lock().show(name)?.into())
}

fn current_setting(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let name = call.text(0);
    let settings = call.scope.session.settings.lock();
    if call.flag(1, false)? && !settings.exists(&name) {
        return Ok(Cell::Null);
    }
    Ok(settings.show(&name)?.into())
}

/// NULL as the new value goes back to the default, as PostgreSQL has it.
fn set_config(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    if call.is_null(0) {
        return Err(SqlError::new("22004", "SET requires parameter name"));
    }
    let name = call.text(0);
    let scope = if call.flag(2, false)? { SetScope::Local } else { SetScope::Session };
    let mut settings = call.scope.session.settings.lock();
    if call.is_null(1) {
        settings.reset(&name)?;
    } else {
        settings.set(&name, &call.text(1), scope)?;
    }
    Ok(settings.show(&name).map(Cell::from).unwrap_or(Cell::Null))
}

fn type_of_value(call: &Call<'_, '_>) -> &'static str {
    use rusqlite::types::Type;
    match call.kind(0) {
        Type::Null => "unknown",
        Type::Integer => "bigint",
        Type::Real => "double precision",
        Type::Text => "text",
        Type::Blob => "bytea",
    }
}
