use super::Column;
use crate::catalog::cell::Cell;
use crate::catalog::table::{Row, Rows, Scope, Table};
use crate::catalog::types::{BOOL, INT2, INT4, OID, TEXT, TIMESTAMPTZ, XID};
use crate::catalog::{BackendRow, DatabaseRow, TURN_WAIT};

pub(super) static TABLES: &[Table] = &[Table { name: "pg_locks", columns: LOCKS, rows: Rows::Live(locks) }];

static LOCKS: &[Column] = &[
    ("locktype", &TEXT),
    ("database", &OID),
    ("relation", &OID),
    ("page", &INT4),
    ("tuple", &INT2),
    ("virtualxid", &TEXT),
    ("transactionid", &XID),
    ("classid", &OID),
    ("objid", &OID),
    ("objsubid", &INT2),
    ("virtualtransaction", &TEXT),
    ("pid", &INT4),
    ("mode", &TEXT),
    ("granted", &BOOL),
    ("fastpath", &BOOL),
    ("waitstart", &TIMESTAMPTZ),
];

/// The one lock that there is: the turn to write a database, whoever has it, and whoever waits for it.
fn locks(scope: &Scope) -> Vec<Row> {
    let backends = scope.source.backends();
    scope.source.databases().iter().flat_map(|database| of_database(database, &backends)).collect()
}

fn of_database(database: &DatabaseRow, backends: &[BackendRow]) -> Vec<Row> {
    let held = database.writer_pid.map(|pid| row(database, pid, None));
    held.into_iter()
        .chain(waiting(database, backends).map(|one| row(database, one.pid, one.statement_started_at)))
        .collect()
}

fn waiting<'a>(
    database: &'a DatabaseRow,
    backends: &'a [BackendRow],
) -> impl Iterator<Item = &'a BackendRow> {
    backends.iter().filter(|one| one.wait == Some(TURN_WAIT) && one.database.as_ref() == Some(&database.name))
}

/// `since`: when it began to wait, about; `None` if it has the lock.
fn row(database: &DatabaseRow, pid: i32, since: Option<walship_types::Timestamp>) -> Row {
    let mut row: Row = vec!["database".into(), database.id.into()];
    row.resize(LOCKS.len() - 5, Cell::Null);
    let granted = since.is_none();
    row.extend([pid.into(), "ExclusiveLock".into(), granted.into(), false.into(), since.into()]);
    row
}

/// Numbers of the sessions that have what that session waits for.
pub(in crate::catalog) fn blockers(scope: &Scope, pid: i32) -> Vec<i32> {
    let backends = scope.source.backends();
    let databases = scope.source.databases();
    let waits_for = databases.iter().find(|database| waiting(database, &backends).any(|one| one.pid == pid));
    waits_for.and_then(|database| database.writer_pid).into_iter().collect()
}
