use super::{Column, OWNER};
use crate::catalog::PgType;
use crate::catalog::cell::Cell;
use crate::catalog::schema::PG_CATALOG;
use crate::catalog::table::{Row, Rows, Scope, Table};
use crate::catalog::types::{ACLITEM_ARRAY, BOOL, CHAR, INT2, INT4, NAME, OID, PG_NODE_TREE, REGPROC, TEXT};

pub(super) static TABLES: &[Table] = &[Table { name: "pg_type", columns: TYPE, rows: Rows::Live(types) }];

static TYPE: &[Column] = &[
    ("oid", &OID),
    ("typname", &NAME),
    ("typnamespace", &OID),
    ("typowner", &OID),
    ("typlen", &INT2),
    ("typbyval", &BOOL),
    ("typtype", &CHAR),
    ("typcategory", &CHAR),
    ("typispreferred", &BOOL),
    ("typisdefined", &BOOL),
    ("typdelim", &CHAR),
    ("typrelid", &OID),
    ("typsubscript", &REGPROC),
    ("typelem", &OID),
    ("typarray", &OID),
    ("typinput", &REGPROC),
    ("typoutput", &REGPROC),
    ("typreceive", &REGPROC),
    ("typsend", &REGPROC),
    ("typmodin", &REGPROC),
    ("typmodout", &REGPROC),
    ("typanalyze", &REGPROC),
    ("typalign", &CHAR),
    ("typstorage", &CHAR),
    ("typnotnull", &BOOL),
    ("typbasetype", &OID),
    ("typtypmod", &INT4),
    ("typndims", &INT4),
    ("typcollation", &OID),
    ("typdefaultbin", &PG_NODE_TREE),
    ("typdefault", &TEXT),
    ("typacl", &ACLITEM_ARRAY),
];

fn types(_: &Scope) -> Vec<Row> {
    PgType::ALL.iter().map(|kind| row(*kind)).collect()
}

fn row(kind: PgType) -> Row {
    let element = PgType::ALL.iter().find(|other| other.array() == kind.oid()).map_or(0, |other| other.oid());
    // drivers read these names to learn whether a type has a binary form
    let routine = |suffix: &str| {
        Cell::Text(format!("{}{suffix}", if element == 0 { kind.type_name() } else { "array_" }))
    };
    let by_value = matches!(kind.length(), 1 | 2 | 4 | 8);
    let align = match kind.length() {
        1 => "c",
        2 => "s",
        8 | 16 => "d",
        _ => "i",
    };
    vec![
        kind.oid().into(),
        kind.type_name().into(),
        PG_CATALOG.into(),
        OWNER.into(),
        kind.length().into(),
        by_value.into(),
        if kind.category() == 'P' { "p" } else { "b" }.into(),
        kind.category().to_string().into(),
        matches!(kind.type_name(), "bool" | "text" | "float8" | "oid" | "timestamptz" | "interval" | "inet")
            .into(),
        true.into(),
        ",".into(),
        0_i64.into(),
        "-".into(),
        element.into(),
        kind.array().into(),
        routine("in"),
        routine("out"),
        routine("recv"),
        routine("send"),
        "-".into(),
        "-".into(),
        "-".into(),
        align.into(),
        storage(kind).into(),
        false.into(),
        0_i64.into(),
        (-1_i64).into(),
        0_i64.into(),
        collation(kind).into(),
        Cell::Null,
        Cell::Null,
        Cell::Null,
    ]
}

/// `pg_type.typstorage`: plain, extended, or main for what PostgreSQL keeps in the row if it can.
pub(super) fn storage(kind: PgType) -> &'static str {
    match kind {
        PgType::Numeric | PgType::Inet => "m",
        _ if kind.length() < 0 => "x",
        _ => "p",
    }
}

/// `pg_collation.oid` of the default collation, for types that have one.
pub(super) fn collation(kind: PgType) -> i64 {
    match kind.type_name() {
        "name" => 950,
        _ if kind.category() == 'S' => 100,
        _ => 0,
    }
}
