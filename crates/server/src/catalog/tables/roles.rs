use super::Column;
use crate::catalog::RoleRow;
use crate::catalog::cell::Cell;
use crate::catalog::table::{Row, Rows, Scope, Table};
use crate::catalog::types::{BOOL, INT4, NAME, OID, TEXT, TEXT_ARRAY, TIMESTAMPTZ};

pub(super) static TABLES: &[Table] = &[
    Table { name: "pg_roles", columns: ROLES, rows: Rows::Live(roles) },
    Table { name: "pg_user", columns: USERS, rows: Rows::Live(users) },
];

static ROLES: &[Column] = &[
    ("rolname", &NAME),
    ("rolsuper", &BOOL),
    ("rolinherit", &BOOL),
    ("rolcreaterole", &BOOL),
    ("rolcreatedb", &BOOL),
    ("rolcanlogin", &BOOL),
    ("rolreplication", &BOOL),
    ("rolconnlimit", &INT4),
    ("rolpassword", &TEXT),
    ("rolvaliduntil", &TIMESTAMPTZ),
    ("rolbypassrls", &BOOL),
    ("rolconfig", &TEXT_ARRAY),
    ("oid", &OID),
];

static USERS: &[Column] = &[
    ("usename", &NAME),
    ("usesysid", &OID),
    ("usecreatedb", &BOOL),
    ("usesuper", &BOOL),
    ("userepl", &BOOL),
    ("usebypassrls", &BOOL),
    ("passwd", &TEXT),
    ("valuntil", &TIMESTAMPTZ),
    ("useconfig", &TEXT_ARRAY),
];

/// What stands in place of a password.
const HIDDEN: &str = "********";

fn roles(scope: &Scope) -> Vec<Row> {
    let row = |role: RoleRow| {
        vec![
            role.name.into(),
            role.superuser.into(),
            true.into(),
            role.superuser.into(),
            role.create_database.into(),
            role.login.into(),
            role.replication.into(),
            (-1_i64).into(),
            HIDDEN.into(),
            Cell::Null,
            role.superuser.into(),
            Cell::Null,
            role.oid.into(),
        ]
    };
    scope.source.roles().into_iter().map(row).collect()
}

fn users(scope: &Scope) -> Vec<Row> {
    let row = |role: RoleRow| {
        vec![
            role.name.into(),
            role.oid.into(),
            role.create_database.into(),
            role.superuser.into(),
            role.replication.into(),
            role.superuser.into(),
            HIDDEN.into(),
            Cell::Null,
            Cell::Null,
        ]
    };
    scope.source.roles().into_iter().filter(|role| role.login).map(row).collect()
}

/// The oid of a user, as other tables refer to it.
pub(super) fn oid_of(scope: &Scope, name: &str) -> Option<u32> {
    scope.source.roles().into_iter().find(|role| role.name == name).map(|role| role.oid)
}
