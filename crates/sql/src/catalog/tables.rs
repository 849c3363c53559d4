//! Every table of the catalog, one file per subject; each with PostgreSQL 15's columns, types and order.

mod access;
mod activity;
mod cluster;
mod constraints;
mod empty;
mod failover;
mod files;
mod locks;
mod relations;
mod replication;
mod roles;
mod settings;
mod statistics;
mod synchronous;
mod type_rows;
mod usage;

use super::PgType;
use super::schema::{PG_CATALOG, PG_TEMP};
use super::table::Table;

pub(in crate::catalog) use locks::blockers;

/// PostgreSQL's number of UTF8.
pub(crate) const ENCODING_UTF8: i64 = 6;
/// `oid` of the user who owns everything.
pub(crate) const OWNER: i64 = 10;
/// `oid` of the tablespace that everything is in.
pub(crate) const TABLESPACE: i64 = 1663;
/// `oid` of the access method of tables.
pub(crate) const HEAP: i64 = 2;
/// `oid` of the access method of indexes.
pub(crate) const BTREE: i64 = 403;
/// The catalog's own tables have oids from here on, below those of users.
const CATALOG_OIDS: i64 = 12_000;

/// The name of a schema.
fn namespace_name(oid: i64) -> &'static str {
    match oid {
        PG_CATALOG => "pg_catalog",
        PG_TEMP => "pg_temp",
        _ => "public",
    }
}

/// A column's name and type.
type Column = (&'static str, &'static PgType);

/// Every table of the catalog.
pub(crate) fn all() -> impl Iterator<Item = &'static Table> {
    [
        settings::TABLES,
        activity::TABLES,
        replication::TABLES,
        cluster::TABLES,
        statistics::TABLES,
        failover::TABLES,
        synchronous::TABLES,
        roles::TABLES,
        access::TABLES,
        type_rows::TABLES,
        relations::TABLES,
        constraints::TABLES,
        locks::TABLES,
        files::TABLES,
        usage::TABLES,
        empty::TABLES,
    ]
    .into_iter()
    .flatten()
}

/// The names of the catalog's tables.
pub fn table_names() -> impl Iterator<Item = &'static str> {
    all().map(|table| table.name)
}

/// The columns of a catalog table, with their types, in order; `None` if there is no table of that name.
pub fn column_types(table: &str) -> Option<&'static [(&'static str, &'static PgType)]> {
    all().find(|known| known.name.eq_ignore_ascii_case(table)).map(|known| known.columns)
}

/// Whether the catalog has a table of that name.
pub(crate) fn exists(name: &str) -> bool {
    oid_of(name).is_some()
}

/// The `pg_class.oid` of a catalog table.
pub(crate) fn oid_of(name: &str) -> Option<i64> {
    let place = all().position(|table| table.name.eq_ignore_ascii_case(name))?;
    i64::try_from(place).ok().map(|place| CATALOG_OIDS + place)
}
