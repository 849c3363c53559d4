use Nature::{Pure, Reads, ReadsNull};

use super::{Nature, function};
use crate::catalog::cell::Cell;
use crate::catalog::function::{Call, Function};
use crate::catalog::functions::quote_identifier;
use crate::catalog::schema::{DATABASE_OWNER, PG_CATALOG, Schema};
use crate::catalog::types::{BOOL, NAME, OID, REGCLASS, REGTYPE, TEXT};
use crate::catalog::{PgType, SqlError};

pub(super) static FUNCTIONS: &[Function] = &[
    function("pg_get_userbyid", 1, &NAME, Reads, user_by_id),
    function("pg_table_is_visible", 1, &BOOL, Pure, |_| Ok(true.into())),
    function("pg_type_is_visible", 1, &BOOL, Pure, |_| Ok(true.into())),
    function("pg_function_is_visible", 1, &BOOL, Pure, |_| Ok(true.into())),
    function("pg_collation_is_visible", 1, &BOOL, Pure, |_| Ok(true.into())),
    // there are no partitions: nothing but the relation itself, which psql adds
    function("pg_partition_ancestors", 1, &OID, Pure, |_| Ok(Cell::Null)),
    function("pg_relation_is_publishable", 1, &BOOL, Pure, |_| Ok(false.into())),
    // nothing has a comment
    function("obj_description", 1, &TEXT, ReadsNull, |_| Ok(Cell::Null)),
    function("obj_description", 2, &TEXT, ReadsNull, |_| Ok(Cell::Null)),
    function("col_description", 2, &TEXT, ReadsNull, |_| Ok(Cell::Null)),
    function("shobj_description", 2, &TEXT, ReadsNull, |_| Ok(Cell::Null)),
    function("pg_tablespace_location", 1, &TEXT, Pure, |_| Ok("".into())),
    // expressions are kept as their text
    function("pg_get_expr", 2, &TEXT, Pure, |call| Ok(call.text(0).into())),
    function("pg_get_expr", 3, &TEXT, Pure, |call| Ok(call.text(0).into())),
    function("pg_get_indexdef", 1, &TEXT, Reads, index_definition),
    function("pg_get_indexdef", 3, &TEXT, Reads, index_definition),
    function("pg_get_constraintdef", 1, &TEXT, Reads, constraint_definition),
    function("pg_get_constraintdef", 2, &TEXT, Reads, constraint_definition),
    function("pg_get_functiondef", 1, &TEXT, Reads, |_| {
        Err(SqlError::new("0A000", "functions are built in: there is no definition to show"))
    }),
    function("pg_get_viewdef", 1, &TEXT, Reads, view_definition),
    function("pg_get_viewdef", 2, &TEXT, Reads, view_definition),
    function("pg_get_triggerdef", 1, &TEXT, Reads, trigger_definition),
    function("pg_get_triggerdef", 2, &TEXT, Reads, trigger_definition),
    function("pg_regclass", 1, &REGCLASS, Reads, regclass),
    function("pg_regclass_oid", 1, &OID, Reads, regclass_oid),
    function("to_regclass", 1, &REGCLASS, Reads, to_regclass),
    function("pg_regtype", 1, &REGTYPE, Pure, regtype),
    function("pg_regnamespace", 1, &NAME, Pure, |call| {
        Ok(if call.integer(0)? == PG_CATALOG { "pg_catalog" } else { "public" }.into())
    }),
];

fn with_schema<T>(call: &Call<'_, '_>, read: impl FnOnce(&Schema) -> T) -> Result<T, SqlError> {
    let schema = call.with_connection(|connection| call.scope.schema.current(connection))?;
    Ok(read(&schema))
}

fn user_by_id(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let oid = call.integer(0)?;
    if oid == DATABASE_OWNER {
        return Ok("pg_database_owner".into());
    }
    let found = call.scope.source.roles().into_iter().find(|role| i64::from(role.oid) == oid);
    Ok(found.map_or_else(|| format!("unknown (OID={oid})"), |role| role.name).into())
}

fn index_definition(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let oid = call.integer(0)?;
    let column = if call.count() > 1 { call.integer(1)? } else { 0 };
    with_schema(call, |schema| {
        let index = schema.index(oid)?;
        match usize::try_from(column) {
            Ok(0) => schema.relation(index.table).map(|table| index.definition(&table.name)),
            Ok(column) => index.keys.get(column - 1).map(|key| key.text.clone()),
            Err(_) => None,
        }
    })
    .map(Cell::from)
}

fn constraint_definition(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let oid = call.integer(0)?;
    let find = |schema: &Schema| {
        schema
            .constraints
            .iter()
            .find(|constraint| constraint.oid == oid)
            .map(|found| found.definition.clone())
    };
    with_schema(call, find).map(Cell::from)
}

fn view_definition(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let wanted = call.text(0);
    let find = |schema: &Schema| {
        let relation = schema.relation_by_text(&wanted).filter(|relation| relation.kind == "v")?;
        view_query(&relation.sql).map(|query| format!(" {};", query.trim_end_matches(';')))
    };
    with_schema(call, find).map(Cell::from)
}

/// What stands behind the AS of a CREATE VIEW.
pub(crate) fn view_query(sql: &str) -> Option<&str> {
    let tokens = crate::catalog::rewrite::tokens(sql);
    let mut depth = 0_i32;
    for token in &tokens {
        match token.text {
            "(" => depth += 1,
            ")" => depth -= 1,
            word if depth == 0 && word.eq_ignore_ascii_case("as") => {
                return sql.get(token.end..).map(str::trim);
            }
            _ => {}
        }
    }
    None
}

fn trigger_definition(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let oid = call.integer(0)?;
    let find = |schema: &Schema| {
        schema.triggers.iter().find(|trigger| trigger.oid == oid).map(|found| found.sql.clone())
    };
    with_schema(call, find).map(Cell::from)
}

/// `x::regclass` prints as the relation's name; a number that is none prints as itself.
fn regclass(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let text = call.text(0);
    let name = with_schema(call, |schema| {
        let index = text.parse().ok().and_then(|oid| schema.index(oid)).map(|index| index.name.clone());
        index.or_else(|| schema.relation_by_text(&text).map(|relation| relation.name.clone()))
    })?;
    match name {
        Some(name) => Ok(quote_identifier(&name).into()),
        None if text.parse::<i64>().is_ok() => Ok(text.into()),
        None if crate::catalog::tables::exists(text.trim_start_matches("pg_catalog.")) => {
            Ok(text.trim_start_matches("pg_catalog.").into())
        }
        None => Err(SqlError::new("42P01", format!("relation \"{text}\" does not exist"))),
    }
}

/// `'name'::regclass`: what it is compared with is a column of oids, so that it has to be a number.
fn regclass_oid(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let text = call.text(0);
    if let Ok(oid) = text.parse::<i64>() {
        return Ok(oid.into());
    }
    let bare = text.trim_start_matches("pg_catalog.");
    let found = with_schema(call, |schema| {
        let index = schema.indexes.iter().find(|index| index.name == bare).map(|index| index.oid);
        schema.relation_by_text(&text).map(|relation| relation.oid).or(index)
    })?;
    match found.or_else(|| crate::catalog::tables::oid_of(bare)) {
        Some(oid) => Ok(oid.into()),
        None => Err(SqlError::new("42P01", format!("relation \"{text}\" does not exist"))),
    }
}

fn to_regclass(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    Ok(regclass(call).unwrap_or(Cell::Null))
}

fn regtype(call: &Call<'_, '_>) -> Result<Cell, SqlError> {
    let text = call.text(0);
    let by_oid = text.parse().ok().and_then(PgType::known);
    match by_oid.or_else(|| PgType::from_name(&text)) {
        Some(found) => Ok(found.sql_name().into()),
        None if text.parse::<i64>().is_ok() => Ok(text.into()),
        None => Err(SqlError::new("42704", format!("type \"{text}\" does not exist"))),
    }
}
