//! Types of results and parameters, known before a statement runs.
//!
//! SQLite itself says which table column a result column is; what is left (calls,
//! literals, parameters) is found by a walk over the statement's syntax tree. What
//! the walk does not understand is text.

mod expression;
mod functions;
mod names;
mod operands;
mod scope;
mod statement;

use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::Connection;
use sqlite3_parser::lexer::sql::Parser;
use sqlite3_parser::{Bump, FallibleIterator};

use self::statement::Walk;
use super::error::SqlError;
use super::plan::{Column, Plan, TypeHints};
use super::statement::Statement;
use super::value::PgType;

/// Fills in the plan's result and parameter types. In questions about the catalog, an operator that would give a wrong
/// number is an error.
pub(super) fn fill_types(
    connection: &Connection,
    statement: &Statement,
    plan: &mut Plan,
    hints: TypeHints<'_>,
) -> Result<(), SqlError> {
    let mut columns: Vec<Option<PgType>> = (0..statement.column_count())
        .map(|column| statement.column_declared_type(column))
        .map(|declared| declared.filter(|declared| !declared.is_empty()))
        .map(|declared| declared.map(|declared| PgType::from_declaration(&declared)))
        .collect();
    let mut parameters: Vec<Option<PgType>> = hints.stated.to_vec();
    parameters.resize(plan.parameters.len(), None);
    for (name, pg_type) in &plan.rewritten.parameter_types {
        let number = name.get(1..).and_then(|digits| digits.parse::<usize>().ok());
        if let Some(slot) = number.and_then(|n| n.checked_sub(1)).and_then(|at| parameters.get_mut(at)) {
            slot.get_or_insert(*pg_type);
        }
    }
    let unknown = columns.iter().chain(&parameters).any(Option::is_none);
    let mut names = Vec::new();
    if (unknown || hints.asks_catalog) && !statement.is_explain() {
        names = walk(connection, &plan.rewritten.text, hints, &mut parameters, &mut columns)?;
    }
    names.resize(columns.len(), None);
    plan.columns = columns
        .into_iter()
        .zip(names)
        .enumerate()
        .map(|(at, (pg_type, name))| Column {
            is_renamed: name.is_some(),
            name: name.unwrap_or_else(|| statement.column_name(at)),
            pg_type: pg_type.unwrap_or(PgType::Text),
        })
        .collect();
    plan.parameters = parameters.into_iter().map(|pg_type| pg_type.unwrap_or(PgType::Text)).collect();
    Ok(())
}

/// Returns the names of result columns that are not to be SQLite's.
fn walk(
    connection: &Connection,
    text: &str,
    hints: TypeHints<'_>,
    parameters: &mut [Option<PgType>],
    columns: &mut [Option<PgType>],
) -> Result<Vec<Option<String>>, SqlError> {
    let mut found = parameters.to_vec();
    // the parser is somebody else's and may panic on what it does not expect; then all is text
    let results = catch_unwind(AssertUnwindSafe(|| {
        let bump = Bump::new();
        let command = Parser::new(&bump, text.as_bytes()).next().ok().flatten()?;
        let mut walk = Walk::new(connection, hints, &mut found);
        let types = walk.command(&command);
        let names =
            if hints.asks_catalog { names::result_names(&command, columns.len()) } else { Vec::new() };
        Some((types, names, walk.refused))
    }));
    let Ok(Some((results, names, refused))) = results else { return Ok(Vec::new()) };
    if let Some(refused) = refused {
        return Err(refused);
    }
    parameters.copy_from_slice(&found);
    // a star that the walk could not expand shifts what is behind it
    if let Some(results) = results.filter(|results| results.len() == columns.len()) {
        for (column, found) in columns.iter_mut().zip(results) {
            if column.is_none() {
                *column = found;
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::guard::Guard;
    use crate::lexer::split;
    use crate::plan::{compile, plan_key};
    use crate::signals::Signals;

    fn types(sql: &str) -> (Vec<PgType>, Vec<PgType>) {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "create table t (id integer primary key, name text, price real, ok boolean, at timestamp, raw blob, x);
                 create table u (t_id integer references t, note varchar(9));",
            )
            .unwrap();
        let flags = rusqlite::functions::FunctionFlags::SQLITE_UTF8;
        connection.create_scalar_function("pg_is_in_recovery", 0, flags, |_| Ok(true)).unwrap();
        let guard = Guard::install(&connection, Arc::new(Signals::new(Box::new(|| {}))));
        let functions = |name: &str| (name == "pg_is_in_recovery").then_some(PgType::Bool);
        let tokens = split(sql);
        let hints = TypeHints { stated: &[], functions: &functions, asks_catalog: false };
        let plan = compile(&connection, &guard, sql, &tokens[0], plan_key(sql, &tokens[0], &[]), hints)
            .unwrap()
            .plan;
        (plan.columns.iter().map(|column| column.pg_type).collect(), plan.parameters.clone())
    }

    #[test]
    fn results() {
        use PgType::*;
        for (sql, expected) in [
            (
                "select id, name, price, ok, at, raw, x from t",
                vec![Int8, Text, Float8, Bool, Timestamp, Bytea, Text],
            ),
            (
                "select count(*), sum(id), avg(id), min(name), max(price), total(id) from t",
                vec![Int8, Int8, Float8, Text, Float8, Float8],
            ),
            (
                "select 1, 3000000000, 1.5, 'a', x'00', true, null",
                vec![Int4, Int8, Float8, Text, Bytea, Bool, Text],
            ),
            (
                "select cast(x as integer), cast(x as boolean), id + 1, id * 1.5, id = 1, not ok, -id from t",
                vec![Int8, Bool, Int8, Float8, Bool, Bool, Int8],
            ),
            (
                "select coalesce(null, id, 0), case when ok then price else 0 end, ifnull(name, '') from t",
                vec![Int8, Float8, Text],
            ),
            ("select *, 1 from t", vec![Int8, Text, Float8, Bool, Timestamp, Bytea, Text, Int4]),
            ("with c(n) as (select count(*) from t) select n, n + 1 from c", vec![Int8, Int8]),
            ("select s.n from (select length(name) as n from t) s", vec![Int8]),
            ("select (select max(id) from t), exists (select 1), id in (1) from t", vec![Int8, Bool, Bool]),
            ("select id + 0 from t union all select price from t", vec![Float8]),
            ("values (1, 'a')", vec![Int4, Text]),
            ("insert into t (name) values ('a') returning id, name, id + 1", vec![Int8, Text, Int8]),
            ("select pg_is_in_recovery(), row_number() over (order by id) from t", vec![Bool, Int8]),
            (
                "select last_insert_rowid(), changes(), typeof(1), random(), rowid from t",
                vec![Int8, Int8, Text, Int8, Int8],
            ),
        ] {
            assert_eq!(types(sql).0, expected, "{sql}");
        }
    }

    #[test]
    fn parameters() {
        use PgType::*;
        for (sql, expected) in [
            ("update t set price = price + $1 where id = $2", vec![Float8, Int8]),
            ("insert into t (name, id, ok) values ($2, $1, $3)", vec![Int8, Text, Bool]),
            ("insert into u values ($1, $2), ($3, $4)", vec![Int8, Varchar, Int8, Varchar]),
            (
                "select * from t where at > $1 and ($2 = id or name like $3) limit $4 offset $5",
                vec![Timestamp, Int8, Text, Int8, Int8],
            ),
            ("select $1::bool, $2", vec![Bool, Text]),
            ("select cast($1 as integer), length($2)", vec![Int8, Text]),
            (
                "select id from t where id in ($1, $2) and price between $3 and $4",
                vec![Int8, Int8, Float8, Float8],
            ),
            ("insert into t (id) select $1 where $2 < 3", vec![Int8, Int8]),
            (
                "delete from t where t.id = $1 and exists (select 1 from u where u.t_id = t.id and note = $2)",
                vec![Int8, Varchar],
            ),
            (
                "insert into t (id, name) values ($1, $2) on conflict (id) do update set name = $3 where t.id > $4",
                vec![Int8, Text, Text, Int8],
            ),
            ("select $1 + 1, $2 * 1.5, coalesce($3, id) from t", vec![Int8, Float8, Int8]),
            ("update t set (name, ok) = ($1, $2)", vec![Text, Bool]),
        ] {
            assert_eq!(types(sql).1, expected, "{sql}");
        }
    }
}
