use super::Column;
use crate::catalog::cell::Cell;
use crate::catalog::schema::{Constraint, Index, Schema};
use crate::catalog::table::{Row, Rows, Scope, Table};
use crate::catalog::types::{
    BOOL, BYTEA, CHAR, INT2, INT2_ARRAY, INT2VECTOR, INT4, NAME, OID, OID_ARRAY, OIDVECTOR, PG_NODE_TREE,
};

pub(super) static TABLES: &[Table] = &[
    Table { name: "pg_index", columns: INDEX, rows: Rows::Schema(indexes) },
    Table { name: "pg_constraint", columns: CONSTRAINT, rows: Rows::Schema(constraints) },
    Table { name: "pg_trigger", columns: TRIGGER, rows: Rows::Schema(triggers) },
];

static INDEX: &[Column] = &[
    ("indexrelid", &OID),
    ("indrelid", &OID),
    ("indnatts", &INT2),
    ("indnkeyatts", &INT2),
    ("indisunique", &BOOL),
    ("indnullsnotdistinct", &BOOL),
    ("indisprimary", &BOOL),
    ("indisexclusion", &BOOL),
    ("indimmediate", &BOOL),
    ("indisclustered", &BOOL),
    ("indisvalid", &BOOL),
    ("indcheckxmin", &BOOL),
    ("indisready", &BOOL),
    ("indislive", &BOOL),
    ("indisreplident", &BOOL),
    ("indkey", &INT2VECTOR),
    ("indcollation", &OIDVECTOR),
    ("indclass", &OIDVECTOR),
    ("indoption", &INT2VECTOR),
    ("indexprs", &PG_NODE_TREE),
    ("indpred", &PG_NODE_TREE),
];

/// Numbers as PostgreSQL prints a vector: `1 2 3`.
fn vector(numbers: impl Iterator<Item = i64>) -> Cell {
    Cell::Text(numbers.map(|number| number.to_string()).collect::<Vec<_>>().join(" "))
}

fn indexes(schema: &Schema, _: &Scope) -> Vec<Row> {
    let row = |index: &Index| {
        let count = i64::try_from(index.keys.len()).unwrap_or(0);
        let zeros = || vector(index.keys.iter().map(|_| 0));
        let expressions: Vec<&str> =
            index.keys.iter().filter(|key| key.attribute == 0).map(|key| key.text.as_str()).collect();
        vec![
            index.oid.into(),
            index.table.into(),
            count.into(),
            count.into(),
            index.unique.into(),
            false.into(),
            index.primary.into(),
            false.into(),
            true.into(),
            false.into(),
            true.into(),
            false.into(),
            true.into(),
            true.into(),
            false.into(),
            vector(index.keys.iter().map(|key| key.attribute)),
            zeros(),
            zeros(),
            // bit 0: descending; bit 1: nulls first, which is where SQLite has them in ascending order
            vector(index.keys.iter().map(|key| if key.descending { 1 } else { 2 })),
            (!expressions.is_empty()).then(|| expressions.join(", ")).into(),
            index.predicate.as_deref().into(),
        ]
    };
    schema.indexes.iter().map(row).collect()
}

static CONSTRAINT: &[Column] = &[
    ("oid", &OID),
    ("conname", &NAME),
    ("connamespace", &OID),
    ("contype", &CHAR),
    ("condeferrable", &BOOL),
    ("condeferred", &BOOL),
    ("convalidated", &BOOL),
    ("conrelid", &OID),
    ("contypid", &OID),
    ("conindid", &OID),
    ("conparentid", &OID),
    ("confrelid", &OID),
    ("confupdtype", &CHAR),
    ("confdeltype", &CHAR),
    ("confmatchtype", &CHAR),
    ("conislocal", &BOOL),
    ("coninhcount", &INT4),
    ("connoinherit", &BOOL),
    ("conkey", &INT2_ARRAY),
    ("confkey", &INT2_ARRAY),
    ("conpfeqop", &OID_ARRAY),
    ("conppeqop", &OID_ARRAY),
    ("conffeqop", &OID_ARRAY),
    ("confdelsetcols", &INT2_ARRAY),
    ("conexclop", &OID_ARRAY),
    ("conbin", &PG_NODE_TREE),
];

/// Numbers as PostgreSQL prints an array, NULL for none.
fn array(numbers: &[i64]) -> Cell {
    let texts: Vec<String> = numbers.iter().map(i64::to_string).collect();
    (!texts.is_empty()).then(|| format!("{{{}}}", texts.join(","))).into()
}

fn constraints(schema: &Schema, _: &Scope) -> Vec<Row> {
    let row = |one: &Constraint| {
        let foreign = one.kind == "f";
        let action = |event: &str| match one.definition.split_once(&format!(" ON {event} ")) {
            Some((_, rest)) if rest.starts_with("CASCADE") => "c",
            Some((_, rest)) if rest.starts_with("RESTRICT") => "r",
            Some((_, rest)) if rest.starts_with("SET NULL") => "n",
            Some((_, rest)) if rest.starts_with("SET DEFAULT") => "d",
            _ if foreign => "a",
            _ => " ",
        };
        vec![
            one.oid.into(),
            one.name.as_str().into(),
            one.namespace.into(),
            one.kind.into(),
            one.deferrable.into(),
            one.deferrable.into(),
            true.into(),
            one.table.into(),
            0_i64.into(),
            one.index.into(),
            0_i64.into(),
            one.foreign_table.into(),
            action("UPDATE").into(),
            action("DELETE").into(),
            if foreign { "s" } else { " " }.into(),
            true.into(),
            0_i64.into(),
            true.into(),
            array(&one.columns),
            array(&one.foreign_columns),
            Cell::Null,
            Cell::Null,
            Cell::Null,
            Cell::Null,
            Cell::Null,
            (one.kind == "c").then_some(one.definition.as_str()).into(),
        ]
    };
    schema.constraints.iter().map(row).collect()
}

static TRIGGER: &[Column] = &[
    ("oid", &OID),
    ("tgrelid", &OID),
    ("tgparentid", &OID),
    ("tgname", &NAME),
    ("tgfoid", &OID),
    ("tgtype", &INT2),
    ("tgenabled", &CHAR),
    ("tgisinternal", &BOOL),
    ("tgconstrrelid", &OID),
    ("tgconstrindid", &OID),
    ("tgconstraint", &OID),
    ("tgdeferrable", &BOOL),
    ("tginitdeferred", &BOOL),
    ("tgnargs", &INT2),
    ("tgattr", &INT2VECTOR),
    ("tgargs", &BYTEA),
    ("tgqual", &PG_NODE_TREE),
    ("tgoldtable", &NAME),
    ("tgnewtable", &NAME),
];

fn triggers(schema: &Schema, _: &Scope) -> Vec<Row> {
    let zero = || Cell::Int(0);
    let row = |trigger: &crate::catalog::schema::Trigger| {
        vec![
            trigger.oid.into(),
            trigger.table.into(),
            zero(),
            trigger.name.as_str().into(),
            zero(),
            zero(),
            "O".into(),
            false.into(),
            zero(),
            zero(),
            zero(),
            false.into(),
            false.into(),
            zero(),
            "".into(),
            "".into(),
            Cell::Null,
            Cell::Null,
            Cell::Null,
        ]
    };
    schema.triggers.iter().map(row).collect()
}
