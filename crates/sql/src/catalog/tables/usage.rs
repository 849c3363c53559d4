use super::{Column, namespace_name};
use crate::catalog::cell::Cell;
use crate::catalog::schema::{Relation, Schema};
use crate::catalog::table::{Row, Rows, Scope, Table};
use crate::catalog::types::{INT8, NAME, OID, TIMESTAMPTZ};

pub(super) static TABLES: &[Table] = &[
    Table { name: "pg_stat_user_tables", columns: TABLE_STATISTICS, rows: Rows::Schema(tables) },
    Table { name: "pg_statio_user_tables", columns: TABLE_READS, rows: Rows::Schema(reads) },
    Table { name: "pg_stat_user_indexes", columns: INDEX_STATISTICS, rows: Rows::Schema(indexes) },
];

static TABLE_STATISTICS: &[Column] = &[
    ("relid", &OID),
    ("schemaname", &NAME),
    ("relname", &NAME),
    ("seq_scan", &INT8),
    ("seq_tup_read", &INT8),
    ("idx_scan", &INT8),
    ("idx_tup_fetch", &INT8),
    ("n_tup_ins", &INT8),
    ("n_tup_upd", &INT8),
    ("n_tup_del", &INT8),
    ("n_tup_hot_upd", &INT8),
    ("n_live_tup", &INT8),
    ("n_dead_tup", &INT8),
    ("n_mod_since_analyze", &INT8),
    ("n_ins_since_vacuum", &INT8),
    ("last_vacuum", &TIMESTAMPTZ),
    ("last_autovacuum", &TIMESTAMPTZ),
    ("last_analyze", &TIMESTAMPTZ),
    ("last_autoanalyze", &TIMESTAMPTZ),
    ("vacuum_count", &INT8),
    ("autovacuum_count", &INT8),
    ("analyze_count", &INT8),
    ("autoanalyze_count", &INT8),
];

static TABLE_READS: &[Column] = &[
    ("relid", &OID),
    ("schemaname", &NAME),
    ("relname", &NAME),
    ("heap_blks_read", &INT8),
    ("heap_blks_hit", &INT8),
    ("idx_blks_read", &INT8),
    ("idx_blks_hit", &INT8),
    ("toast_blks_read", &INT8),
    ("toast_blks_hit", &INT8),
    ("tidx_blks_read", &INT8),
    ("tidx_blks_hit", &INT8),
];

static INDEX_STATISTICS: &[Column] = &[
    ("relid", &OID),
    ("indexrelid", &OID),
    ("schemaname", &NAME),
    ("relname", &NAME),
    ("indexrelname", &NAME),
    ("idx_scan", &INT8),
    ("idx_tup_read", &INT8),
    ("idx_tup_fetch", &INT8),
];

fn tables(schema: &Schema, _: &Scope) -> Vec<Row> {
    of_tables(schema, TABLE_STATISTICS.len())
}

fn reads(schema: &Schema, _: &Scope) -> Vec<Row> {
    of_tables(schema, TABLE_READS.len())
}

/// SQLite does not count what its tables are used for: NULL, not a 0 that would look like a measurement.
fn of_tables(schema: &Schema, columns: usize) -> Vec<Row> {
    let row = |relation: &Relation| {
        let mut row: Row = vec![
            relation.oid.into(),
            namespace_name(relation.namespace).into(),
            relation.name.as_str().into(),
        ];
        row.resize(columns, Cell::Null);
        row
    };
    schema.relations.iter().filter(|relation| relation.is_table()).map(row).collect()
}

fn indexes(schema: &Schema, _: &Scope) -> Vec<Row> {
    let row = |index: &crate::catalog::schema::Index| {
        let table = schema.relation(index.table)?;
        let mut row: Row = vec![
            table.oid.into(),
            index.oid.into(),
            namespace_name(index.namespace).into(),
            table.name.as_str().into(),
            index.name.as_str().into(),
        ];
        row.resize(INDEX_STATISTICS.len(), Cell::Null);
        Some(row)
    };
    schema.indexes.iter().filter_map(row).collect()
}
