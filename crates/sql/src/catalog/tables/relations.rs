use super::type_rows::{collation, storage};
use super::{BTREE, Column, HEAP, OWNER, all, namespace_name, oid_of};
use crate::catalog::PgType;
use crate::catalog::cell::Cell;
use crate::catalog::functions::{quote_identifier, view_query};
use crate::catalog::schema::{
    self, Column as SchemaColumn, Index, PG_CATALOG, PG_TEMP, PUBLIC, Relation, Schema,
};
use crate::catalog::table::{Row, Rows, Scope, Table};
use crate::catalog::types::{
    ACLITEM_ARRAY, ANYARRAY, BOOL, CHAR, FLOAT4, INT2, INT4, NAME, OID, PG_NODE_TREE, REGPROC, TEXT,
    TEXT_ARRAY, XID,
};

pub(super) static TABLES: &[Table] = &[
    Table { name: "pg_class", columns: CLASS, rows: Rows::Schema(classes) },
    Table { name: "pg_attribute", columns: ATTRIBUTE, rows: Rows::Schema(attributes) },
    Table { name: "pg_attrdef", columns: DEFAULT, rows: Rows::Schema(defaults) },
    Table { name: "pg_namespace", columns: NAMESPACE, rows: Rows::Live(namespaces) },
    Table { name: "pg_am", columns: ACCESS_METHOD, rows: Rows::Live(access_methods) },
    Table { name: "pg_tables", columns: TABLE_VIEW, rows: Rows::Schema(table_view) },
    Table { name: "pg_views", columns: VIEW_VIEW, rows: Rows::Schema(view_view) },
    Table { name: "pg_indexes", columns: INDEX_VIEW, rows: Rows::Schema(index_view) },
];

static CLASS: &[Column] = &[
    ("oid", &OID),
    ("relname", &NAME),
    ("relnamespace", &OID),
    ("reltype", &OID),
    ("reloftype", &OID),
    ("relowner", &OID),
    ("relam", &OID),
    ("relfilenode", &OID),
    ("reltablespace", &OID),
    ("relpages", &INT4),
    ("reltuples", &FLOAT4),
    ("relallvisible", &INT4),
    ("reltoastrelid", &OID),
    ("relhasindex", &BOOL),
    ("relisshared", &BOOL),
    ("relpersistence", &CHAR),
    ("relkind", &CHAR),
    ("relnatts", &INT2),
    ("relchecks", &INT2),
    ("relhasrules", &BOOL),
    ("relhastriggers", &BOOL),
    ("relhassubclass", &BOOL),
    ("relrowsecurity", &BOOL),
    ("relforcerowsecurity", &BOOL),
    ("relispopulated", &BOOL),
    ("relreplident", &CHAR),
    ("relispartition", &BOOL),
    ("relrewrite", &OID),
    ("relfrozenxid", &XID),
    ("relminmxid", &XID),
    ("relacl", &ACLITEM_ARRAY),
    ("reloptions", &TEXT_ARRAY),
    ("relpartbound", &PG_NODE_TREE),
];

/// What differs from one row of pg_class to the next.
struct Class<'a> {
    oid: i64,
    name: &'a str,
    namespace: i64,
    kind: &'static str,
    access_method: i64,
    columns: usize,
    has_index: bool,
    checks: usize,
    has_triggers: bool,
}

impl Class<'_> {
    fn row(&self) -> Row {
        let count = |n: usize| Cell::from(u64::try_from(n).unwrap_or(u64::MAX));
        vec![
            self.oid.into(),
            self.name.into(),
            self.namespace.into(),
            0_i64.into(),
            0_i64.into(),
            OWNER.into(),
            self.access_method.into(),
            self.oid.into(),
            0_i64.into(),
            // not known without reading the table: PostgreSQL's values for "never analyzed"
            0_i64.into(),
            (-1.0).into(),
            0_i64.into(),
            0_i64.into(),
            self.has_index.into(),
            false.into(),
            if self.namespace == PG_TEMP { "t" } else { "p" }.into(),
            self.kind.into(),
            count(self.columns),
            count(self.checks),
            (self.kind == "v").into(),
            self.has_triggers.into(),
            false.into(),
            false.into(),
            false.into(),
            true.into(),
            if self.kind == "r" { "d" } else { "n" }.into(),
            false.into(),
            0_i64.into(),
            0_i64.into(),
            0_i64.into(),
            Cell::Null,
            Cell::Null,
            Cell::Null,
        ]
    }
}

/// In PostgreSQL foreign keys are triggers on both their tables, and psql asks for them only where there are some.
fn has_triggers(schema: &Schema, relation: &Relation) -> bool {
    let keys = schema.constraints.iter().filter(|one| one.kind == "f");
    let mut tables = keys.flat_map(|one| [one.table, one.foreign_table]);
    tables.any(|table| table == relation.oid)
        || schema.triggers.iter().any(|trigger| trigger.table == relation.oid)
}

fn classes(schema: &Schema, _: &Scope) -> Vec<Row> {
    let relation = |relation: &Relation| {
        Class {
            oid: relation.oid,
            name: &relation.name,
            namespace: relation.namespace,
            kind: relation.kind,
            access_method: if relation.is_table() { HEAP } else { 0 },
            columns: relation.columns.len(),
            has_index: schema.indexes.iter().any(|index| index.table == relation.oid),
            checks: schema
                .constraints
                .iter()
                .filter(|one| one.table == relation.oid && one.kind == "c")
                .count(),
            has_triggers: has_triggers(schema, relation),
        }
        .row()
    };
    let index = |index: &Index| {
        Class {
            oid: index.oid,
            name: &index.name,
            namespace: index.namespace,
            kind: "i",
            access_method: BTREE,
            columns: index.keys.len(),
            has_index: false,
            checks: 0,
            has_triggers: false,
        }
        .row()
    };
    let own = |table: &'static Table| {
        Class {
            oid: oid_of(table.name).unwrap_or(0),
            name: table.name,
            namespace: PG_CATALOG,
            kind: "v",
            access_method: 0,
            columns: table.columns.len(),
            has_index: false,
            checks: 0,
            has_triggers: false,
        }
        .row()
    };
    schema
        .relations
        .iter()
        .map(relation)
        .chain(schema.indexes.iter().map(index))
        .chain(all().map(own))
        .collect()
}

static ATTRIBUTE: &[Column] = &[
    ("attrelid", &OID),
    ("attname", &NAME),
    ("atttypid", &OID),
    ("attstattarget", &INT4),
    ("attlen", &INT2),
    ("attnum", &INT2),
    ("attndims", &INT4),
    ("attcacheoff", &INT4),
    ("atttypmod", &INT4),
    ("attbyval", &BOOL),
    ("attalign", &CHAR),
    ("attstorage", &CHAR),
    ("attcompression", &CHAR),
    ("attnotnull", &BOOL),
    ("atthasdef", &BOOL),
    ("atthasmissing", &BOOL),
    ("attidentity", &CHAR),
    ("attgenerated", &CHAR),
    ("attisdropped", &BOOL),
    ("attislocal", &BOOL),
    ("attinhcount", &INT4),
    ("attcollation", &OID),
    ("attacl", &ACLITEM_ARRAY),
    ("attoptions", &TEXT_ARRAY),
    ("attfdwoptions", &TEXT_ARRAY),
    ("attmissingval", &ANYARRAY),
];

fn attribute(relation: i64, number: usize, column: &SchemaColumn) -> Row {
    let kind = column.kind;
    vec![
        relation.into(),
        column.name.as_str().into(),
        kind.oid().into(),
        (-1_i64).into(),
        kind.length().into(),
        i64::try_from(number).unwrap_or(0).into(),
        i64::from(kind.type_name().starts_with('_')).into(),
        (-1_i64).into(),
        // PostgreSQL counts a length word of four bytes in
        column.length.map_or(-1, |length| length.saturating_add(4)).into(),
        matches!(kind.length(), 1 | 2 | 4 | 8).into(),
        "i".into(),
        storage(kind).into(),
        "".into(),
        column.not_null.into(),
        column.default.is_some().into(),
        false.into(),
        "".into(),
        column.generated.into(),
        false.into(),
        true.into(),
        0_i64.into(),
        collation(kind).into(),
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null,
    ]
}

fn attributes(schema: &Schema, _: &Scope) -> Vec<Row> {
    let mut rows = Vec::new();
    for relation in &schema.relations {
        rows.extend(
            relation.columns.iter().enumerate().map(|(at, column)| attribute(relation.oid, at + 1, column)),
        );
    }
    for index in &schema.indexes {
        rows.extend(
            index_columns(schema, index)
                .iter()
                .enumerate()
                .map(|(at, column)| attribute(index.oid, at + 1, column)),
        );
    }
    for table in all() {
        let oid = oid_of(table.name).unwrap_or(0);
        rows.extend(table.columns.iter().enumerate().map(|(at, (name, kind))| {
            let (name, default, generated) = ((*name).to_owned(), None, "");
            attribute(
                oid,
                at + 1,
                &SchemaColumn { name, kind: **kind, length: None, not_null: false, default, generated },
            )
        }));
    }
    rows
}

/// The columns of an index as PostgreSQL lists them: named and typed as what they index.
fn index_columns(schema: &Schema, index: &Index) -> Vec<SchemaColumn> {
    let table = schema.relation(index.table);
    let column = |(at, key): (usize, &schema::IndexKey)| {
        let place = usize::try_from(key.attribute - 1).ok();
        let indexed = place.and_then(|place| table?.columns.get(place)).cloned();
        let mut column = indexed.unwrap_or_else(|| SchemaColumn {
            name: if at == 0 { "expr".to_owned() } else { format!("expr{at}") },
            kind: PgType::Text,
            length: None,
            not_null: false,
            default: None,
            generated: "",
        });
        (column.default, column.not_null, column.generated) = (None, false, "");
        column
    };
    index.keys.iter().enumerate().map(column).collect()
}

static DEFAULT: &[Column] = &[("oid", &OID), ("adrelid", &OID), ("adnum", &INT2), ("adbin", &PG_NODE_TREE)];

fn defaults(schema: &Schema, _: &Scope) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for relation in &schema.relations {
        for (at, column) in relation.columns.iter().enumerate() {
            if let Some(default) = &column.default {
                let number = i64::try_from(at + 1).unwrap_or(0);
                let oid = i64::try_from(rows.len()).unwrap_or(0);
                rows.push(vec![oid.into(), relation.oid.into(), number.into(), default.as_str().into()]);
            }
        }
    }
    rows
}

static NAMESPACE: &[Column] =
    &[("oid", &OID), ("nspname", &NAME), ("nspowner", &OID), ("nspacl", &ACLITEM_ARRAY)];

fn namespaces(_: &Scope) -> Vec<Row> {
    let row = |(oid, name): (i64, &str)| {
        let owner = if oid == PUBLIC { schema::DATABASE_OWNER } else { OWNER };
        vec![oid.into(), name.into(), owner.into(), Cell::Null]
    };
    [(PG_CATALOG, "pg_catalog"), (PUBLIC, "public"), (PG_TEMP, "pg_temp")].into_iter().map(row).collect()
}

static ACCESS_METHOD: &[Column] =
    &[("oid", &OID), ("amname", &NAME), ("amhandler", &REGPROC), ("amtype", &CHAR)];

fn access_methods(_: &Scope) -> Vec<Row> {
    vec![
        vec![HEAP.into(), "heap".into(), "heap_tableam_handler".into(), "t".into()],
        vec![BTREE.into(), "btree".into(), "bthandler".into(), "i".into()],
    ]
}

fn owner(scope: &Scope) -> Cell {
    scope.source.roles().into_iter().find(|role| i64::from(role.oid) == OWNER).map(|role| role.name).into()
}

static TABLE_VIEW: &[Column] = &[
    ("schemaname", &NAME),
    ("tablename", &NAME),
    ("tableowner", &NAME),
    ("tablespace", &NAME),
    ("hasindexes", &BOOL),
    ("hasrules", &BOOL),
    ("hastriggers", &BOOL),
    ("rowsecurity", &BOOL),
];

fn table_view(schema: &Schema, scope: &Scope) -> Vec<Row> {
    let row = |relation: &Relation| {
        vec![
            namespace_name(relation.namespace).into(),
            relation.name.as_str().into(),
            owner(scope),
            Cell::Null,
            schema.indexes.iter().any(|index| index.table == relation.oid).into(),
            false.into(),
            has_triggers(schema, relation).into(),
            false.into(),
        ]
    };
    schema.relations.iter().filter(|relation| relation.is_table()).map(row).collect()
}

static VIEW_VIEW: &[Column] =
    &[("schemaname", &NAME), ("viewname", &NAME), ("viewowner", &NAME), ("definition", &TEXT)];

fn view_view(schema: &Schema, scope: &Scope) -> Vec<Row> {
    let row = |relation: &Relation| {
        let definition = view_query(&relation.sql).map(|query| format!(" {};", query.trim_end_matches(';')));
        vec![
            namespace_name(relation.namespace).into(),
            relation.name.as_str().into(),
            owner(scope),
            definition.into(),
        ]
    };
    schema.relations.iter().filter(|relation| !relation.is_table()).map(row).collect()
}

static INDEX_VIEW: &[Column] = &[
    ("schemaname", &NAME),
    ("tablename", &NAME),
    ("indexname", &NAME),
    ("tablespace", &NAME),
    ("indexdef", &TEXT),
];

fn index_view(schema: &Schema, _: &Scope) -> Vec<Row> {
    let row = |index: &Index| {
        let table = schema.relation(index.table)?;
        let qualified = format!("{}.{}", namespace_name(table.namespace), quote_identifier(&table.name));
        let definition = index.definition(&table.name).replacen(
            &format!(" ON {}", quote_identifier(&table.name)),
            &format!(" ON {qualified}"),
            1,
        );
        Some(vec![
            namespace_name(index.namespace).into(),
            table.name.as_str().into(),
            index.name.as_str().into(),
            Cell::Null,
            definition.into(),
        ])
    };
    schema.indexes.iter().filter_map(row).collect()
}
