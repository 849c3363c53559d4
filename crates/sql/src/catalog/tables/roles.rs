use super::Column;
use crate::catalog::RoleRow;
use crate::catalog::cell::Cell;
use crate::catalog::table::{Row, Rows, Scope, Table};
use crate::catalog::types::{BOOL, INT4, NAME, OID, TEXT, TEXT_ARRAY, TIMESTAMPTZ};

pub(super) static TABLES: &[Table] = &[
    Table { name: "pg_roles", columns: ROLES, rows: Rows::Live(roles) },
    Table { name: "pg_user", columns: USERS, rows: Rows::Live(users) },
    Table { name: "pg_authid", columns: AUTHID, rows: Rows::Live(authid) },
    Table { name: "walship_role_privileges", columns: PRIVILEGES, rows: Rows::Live(privileges) },
    Table { name: "pg_shadow", columns: USERS, rows: Rows::Live(shadow) },
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

static AUTHID: &[Column] = &[
    ("oid", &OID),
    ("rolname", &NAME),
    ("rolsuper", &BOOL),
    ("rolinherit", &BOOL),
    ("rolcreaterole", &BOOL),
    ("rolcreatedb", &BOOL),
    ("rolcanlogin", &BOOL),
    ("rolreplication", &BOOL),
    ("rolbypassrls", &BOOL),
    ("rolconnlimit", &INT4),
    ("rolpassword", &TEXT),
    ("rolvaliduntil", &TIMESTAMPTZ),
];

/// Ours: PostgreSQL has privileges of tables, where this has them of databases.
static PRIVILEGES: &[Column] = &[("rolname", &NAME), ("datname", &NAME), ("privilege", &TEXT)];

fn privileges(scope: &Scope) -> Vec<Row> {
    let rows = |role: RoleRow| {
        let name = role.name;
        let row = move |(database, level): (Option<String>, &'static str)| {
            vec![name.as_str().into(), database.into(), level.into()]
        };
        role.privileges.into_iter().map(row).collect::<Vec<Row>>()
    };
    scope.source.roles().into_iter().flat_map(rows).collect()
}

/// What stands in place of a password.
const HIDDEN: &str = "********";

fn roles(scope: &Scope) -> Vec<Row> {
    let row = |role: RoleRow| {
        vec![
            role.name.into(),
            role.superuser.into(),
            true.into(),
            role.create_role.into(),
            role.create_database.into(),
            role.login.into(),
            role.replication.into(),
            i64::from(role.connection_limit).into(),
            HIDDEN.into(),
            role.valid_until.into(),
            role.superuser.into(),
            Cell::Null,
            role.oid.into(),
        ]
    };
    scope.source.roles().into_iter().map(row).collect()
}

fn users(scope: &Scope) -> Vec<Row> {
    user_rows(scope, |_| HIDDEN.into())
}

/// As `pg_user`, with the verifiers.
fn shadow(scope: &Scope) -> Vec<Row> {
    user_rows(scope, |role| role.verifier.clone().into())
}

fn user_rows(scope: &Scope, password: fn(&RoleRow) -> Cell) -> Vec<Row> {
    let row = |role: RoleRow| {
        let password = password(&role);
        vec![
            role.name.into(),
            role.oid.into(),
            role.create_database.into(),
            role.superuser.into(),
            role.replication.into(),
            role.superuser.into(),
            password,
            role.valid_until.into(),
            Cell::Null,
        ]
    };
    scope.source.roles().into_iter().filter(|role| role.login).map(row).collect()
}

fn authid(scope: &Scope) -> Vec<Row> {
    let row = |role: RoleRow| {
        vec![
            role.oid.into(),
            role.name.into(),
            role.superuser.into(),
            true.into(),
            role.create_role.into(),
            role.create_database.into(),
            role.login.into(),
            role.replication.into(),
            role.superuser.into(),
            i64::from(role.connection_limit).into(),
            role.verifier.into(),
            role.valid_until.into(),
        ]
    };
    scope.source.roles().into_iter().map(row).collect()
}

/// The oid of a user, as other tables refer to it.
pub(super) fn oid_of(scope: &Scope, name: &str) -> Option<u32> {
    scope.source.roles().into_iter().find(|role| role.name == name).map(|role| role.oid)
}
