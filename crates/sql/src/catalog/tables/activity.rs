use super::{Column, roles};
use crate::catalog::cell::Cell;
use crate::catalog::table::{Row, Rows, Scope, Table};
use crate::catalog::types::{BOOL, INET, INT4, INT8, NAME, NUMERIC, OID, TEXT, TIMESTAMPTZ, XID};
use crate::catalog::{BackendRow, DatabaseRow};

pub(super) static TABLES: &[Table] = &[
    Table { name: "pg_stat_activity", columns: ACTIVITY, rows: Rows::Live(activity) },
    Table { name: "pg_stat_ssl", columns: SSL, rows: Rows::Live(ssl) },
];

static ACTIVITY: &[Column] = &[
    ("datid", &OID),
    ("datname", &NAME),
    ("pid", &INT4),
    ("leader_pid", &INT4),
    ("usesysid", &OID),
    ("usename", &NAME),
    ("application_name", &TEXT),
    ("client_addr", &INET),
    ("client_hostname", &TEXT),
    ("client_port", &INT4),
    ("backend_start", &TIMESTAMPTZ),
    ("xact_start", &TIMESTAMPTZ),
    ("query_start", &TIMESTAMPTZ),
    ("state_change", &TIMESTAMPTZ),
    ("wait_event_type", &TEXT),
    ("wait_event", &TEXT),
    ("state", &TEXT),
    ("backend_xid", &XID),
    ("backend_xmin", &XID),
    ("query_id", &INT8),
    ("query", &TEXT),
    ("backend_type", &TEXT),
];

fn activity(scope: &Scope) -> Vec<Row> {
    let databases = scope.source.databases();
    let is_superuser = scope.source.privileges(&scope.session).superuser;
    let row = |backend| backend_row(scope, &databases, is_superuser, backend);
    scope.source.backends().into_iter().map(row).collect()
}

fn backend_row(scope: &Scope, databases: &[DatabaseRow], is_superuser: bool, backend: BackendRow) -> Row {
    let database = databases.iter().find(|row| Some(&row.name) == backend.database.as_ref());
    let user = backend.user.as_deref();
    // what others ask is theirs alone
    let may_see = user.is_none_or(|user| user == scope.session.user) || is_superuser;
    let query = if may_see { backend.query } else { "<insufficient privilege>".to_owned() };
    vec![
        database.map(|row| row.id).into(),
        backend.database.as_deref().into(),
        backend.pid.into(),
        Cell::Null,
        user.map(|user| roles::oid_of(scope, user)).into(),
        user.into(),
        backend.application_name.into(),
        backend.client.address.into(),
        Cell::Null,
        backend.client.port.into(),
        backend.started_at.into(),
        backend.transaction_started_at.into(),
        backend.statement_started_at.into(),
        backend.state_changed_at.into(),
        backend.wait.map(|(class, _)| class).into(),
        backend.wait.map(|(_, event)| event).into(),
        backend.state.map(|state| state.as_str()).into(),
        Cell::Null,
        Cell::Null,
        Cell::Null,
        query.into(),
        backend.kind.into(),
    ]
}

static SSL: &[Column] = &[
    ("pid", &INT4),
    ("ssl", &BOOL),
    ("version", &TEXT),
    ("cipher", &TEXT),
    ("bits", &INT4),
    ("client_dn", &TEXT),
    ("client_serial", &NUMERIC),
    ("issuer_dn", &TEXT),
];

fn ssl(scope: &Scope) -> Vec<Row> {
    let connections = scope.source.backends().into_iter().filter(|backend| backend.client.port.is_some());
    let row = |backend: BackendRow| {
        let Some(tls) = backend.tls else {
            let mut row: Row = vec![backend.pid.into(), false.into()];
            row.resize(SSL.len(), Cell::Null);
            return row;
        };
        let [subject, serial, issuer] = match tls.client {
            Some(client) => client.map(Cell::Text),
            None => [Cell::Null, Cell::Null, Cell::Null],
        };
        let (version, cipher) = (tls.version.into(), tls.cipher.into());
        vec![backend.pid.into(), true.into(), version, cipher, tls.bits.into(), subject, serial, issuer]
    };
    connections.map(row).collect()
}
