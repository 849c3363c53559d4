//! SQLite's failures in PostgreSQL's words and codes.

use rusqlite::ffi;
use walship_protocol::wire::SqlState;

use super::error::SqlError;
use super::statement::SqliteFailure;

/// The error for a failure; without a position, which only the caller can tell.
pub fn sql_error(failure: &SqliteFailure) -> SqlError {
    let message = failure.message.as_str();
    match failure.code {
        ffi::SQLITE_BUSY_SNAPSHOT => {
            return SqlError::new(
                SqlState::SERIALIZATION_FAILURE,
                "could not serialize access due to concurrent update",
            )
            .with_detail("The transaction read before another one committed, and writes now.")
            .with_hint("Run the transaction again; BEGIN IMMEDIATE takes the turn to write at once.");
        }
        ffi::SQLITE_CONSTRAINT_COMMITHOOK => {
            return SqlError::new(SqlState::DISK_FULL, "could not reserve room in the log for the commit")
                .with_hint("Nothing was changed. Free space on the disk that holds pg_wal.");
        }
        _ => {}
    }
    match failure.code & 0xff {
        ffi::SQLITE_CONSTRAINT => constraint(failure.code, message),
        ffi::SQLITE_ERROR => general(message),
        ffi::SQLITE_INTERRUPT => {
            SqlError::new(SqlState::QUERY_CANCELED, "canceling statement due to user request")
        }
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => {
            SqlError::new(SqlState::LOCK_NOT_AVAILABLE, "could not obtain the lock on the database")
                .with_detail(format!("SQLite says: {message}"))
        }
        ffi::SQLITE_READONLY => {
            SqlError::new(SqlState::READ_ONLY_SQL_TRANSACTION, "cannot write in a read-only transaction")
        }
        ffi::SQLITE_FULL => SqlError::new(SqlState::DISK_FULL, message),
        ffi::SQLITE_NOMEM => SqlError::new(SqlState::OUT_OF_MEMORY, message),
        ffi::SQLITE_IOERR | ffi::SQLITE_CANTOPEN => {
            SqlError::new(SqlState::IO_ERROR, format!("{message} (SQLite error {})", failure.code))
        }
        ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB => SqlError::new(SqlState::DATA_CORRUPTED, message),
        ffi::SQLITE_TOOBIG => SqlError::new(SqlState::PROGRAM_LIMIT_EXCEEDED, message),
        ffi::SQLITE_MISMATCH => SqlError::new(SqlState::DATATYPE_MISMATCH, message),
        ffi::SQLITE_AUTH => SqlError::new(SqlState::INSUFFICIENT_PRIVILEGE, message),
        ffi::SQLITE_RANGE => SqlError::new(SqlState::UNDEFINED_PARAMETER, message),
        ffi::SQLITE_SCHEMA => SqlError::new(SqlState::SERIALIZATION_FAILURE, message),
        code => SqlError::new(SqlState::INTERNAL_ERROR, format!("{message} (SQLite error {code})")),
    }
}

fn constraint(code: i32, message: &str) -> SqlError {
    let objects = message.split_once(": ").map_or("", |(_, objects)| objects);
    match code {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID => {
            unique(code, objects, message)
        }
        ffi::SQLITE_CONSTRAINT_NOTNULL => {
            let (table, column) = objects.split_once('.').unwrap_or(("", objects));
            SqlError::new(
                SqlState::NOT_NULL_VIOLATION,
                format!(
                    "null value in column \"{column}\" of relation \"{table}\" violates not-null constraint"
                ),
            )
            .with_objects(Some(table.to_owned()), Some(column.to_owned()), None)
        }
        ffi::SQLITE_CONSTRAINT_CHECK => SqlError::new(
            SqlState::CHECK_VIOLATION,
            format!("new row violates check constraint \"{objects}\""),
        )
        .with_objects(None, None, Some(objects.to_owned())),
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => SqlError::new(
            SqlState::FOREIGN_KEY_VIOLATION,
            "insert, update or delete violates foreign key constraint",
        )
        .with_hint("SQLite does not say which one; PRAGMA foreign_key_list(t) lists those of a table."),
        // RAISE() in a trigger: the user's own message
        ffi::SQLITE_CONSTRAINT_TRIGGER => SqlError::new(SqlState::RAISE_EXCEPTION, message),
        ffi::SQLITE_CONSTRAINT_DATATYPE => SqlError::new(SqlState::DATATYPE_MISMATCH, message),
        _ => SqlError::new(SqlState::INTEGRITY_CONSTRAINT_VIOLATION, message),
    }
}

// SQLite names the columns, not the constraint: the name is the one that PostgreSQL would have given it
fn unique(code: i32, objects: &str, message: &str) -> SqlError {
    let state = SqlState::UNIQUE_VIOLATION;
    if let Some(index) = objects.strip_prefix("index ") {
        let index = index.trim_matches('\'').to_owned();
        let text = format!("duplicate key value violates unique constraint \"{index}\"");
        return SqlError::new(state, text).with_objects(None, None, Some(index));
    }
    let table = objects.split('.').next().unwrap_or_default();
    let columns: Vec<&str> =
        objects.split(", ").map(|name| name.split_once('.').map_or(name, |(_, column)| column)).collect();
    if table.is_empty() {
        return SqlError::new(state, message);
    }
    let name = if code == ffi::SQLITE_CONSTRAINT_UNIQUE {
        format!("{table}_{}_key", columns.join("_"))
    } else {
        format!("{table}_pkey")
    };
    SqlError::new(state, format!("duplicate key value violates unique constraint \"{name}\""))
        .with_detail(format!("Key ({}) already exists in {table}.", columns.join(", ")))
        .with_objects(Some(table.to_owned()), None, Some(name))
}

// each pattern: what the message begins with, the SQLSTATE, and the message with {} for the rest
const PREFIXES: &[(&str, SqlState, &str)] = &[
    ("no such table: ", SqlState::UNDEFINED_TABLE, "relation \"{}\" does not exist"),
    ("no such view: ", SqlState::UNDEFINED_TABLE, "view \"{}\" does not exist"),
    ("no such column: ", SqlState::UNDEFINED_COLUMN, "column \"{}\" does not exist"),
    ("no such function: ", SqlState::UNDEFINED_FUNCTION, "function {} does not exist"),
    (
        "wrong number of arguments to function ",
        SqlState::UNDEFINED_FUNCTION,
        "wrong number of arguments to function {}",
    ),
    ("ambiguous column name: ", SqlState::AMBIGUOUS_COLUMN, "column reference \"{}\" is ambiguous"),
    ("duplicate column name: ", SqlState::DUPLICATE_COLUMN, "column \"{}\" specified more than once"),
    ("no such savepoint: ", SqlState::INVALID_SAVEPOINT_SPECIFICATION, "savepoint \"{}\" does not exist"),
    ("no such index: ", SqlState::UNDEFINED_OBJECT, "index \"{}\" does not exist"),
    ("no such trigger: ", SqlState::UNDEFINED_OBJECT, "trigger \"{}\" does not exist"),
    ("no such module: ", SqlState::UNDEFINED_OBJECT, "virtual table module \"{}\" does not exist"),
    ("no such collation sequence: ", SqlState::UNDEFINED_OBJECT, "collation \"{}\" does not exist"),
    ("no such window: ", SqlState::UNDEFINED_OBJECT, "window \"{}\" does not exist"),
    ("misuse of ", SqlState::GROUPING_ERROR, "misuse of {}"),
    ("unrecognized token: ", SqlState::SYNTAX_ERROR, "syntax error at or near {}"),
    ("integer overflow", SqlState::NUMERIC_VALUE_OUT_OF_RANGE, "bigint out of range"),
    ("malformed JSON", SqlState::INVALID_TEXT_REPRESENTATION, "invalid input syntax for type json"),
    ("too many ", SqlState::PROGRAM_LIMIT_EXCEEDED, "too many {}"),
    ("Expression tree is too large", SqlState::STATEMENT_TOO_COMPLEX, "expression tree is too large{}"),
    ("parser stack overflow", SqlState::STATEMENT_TOO_COMPLEX, "statement is nested too deeply"),
    ("string or blob too big", SqlState::PROGRAM_LIMIT_EXCEEDED, "string or blob too big"),
    ("cannot modify ", SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE, "cannot modify {}"),
    ("read-only", SqlState::INSUFFICIENT_PRIVILEGE, "permission denied: the table is read-only"),
    ("incomplete input", SqlState::SYNTAX_ERROR, "syntax error at end of input"),
];

fn general(message: &str) -> SqlError {
    if let Some(token) = message.strip_prefix("near ").and_then(|rest| rest.strip_suffix(": syntax error")) {
        return SqlError::new(SqlState::SYNTAX_ERROR, format!("syntax error at or near {token}"));
    }
    let prefixed = PREFIXES.iter().find_map(|(prefix, state, text)| {
        message.strip_prefix(prefix).map(|rest| SqlError::new(*state, text.replace("{}", rest)))
    });
    prefixed.or_else(|| named(message)).unwrap_or_else(|| SqlError::new(SqlState::SYNTAX_ERROR, message))
}

// messages that have a name in their middle
fn named(message: &str) -> Option<SqlError> {
    let relation_exists =
        |name: &str| SqlError::new(SqlState::DUPLICATE_TABLE, format!("relation \"{name}\" already exists"));
    if let Some(rest) = message.strip_suffix(" already exists") {
        let (kind, name) = rest.split_once(' ')?;
        return match kind {
            "table" | "view" | "index" => Some(relation_exists(name.trim_matches('"'))),
            _ => Some(SqlError::new(SqlState::DUPLICATE_OBJECT, message)),
        };
    }
    if let Some((table, "modified" | "dropped" | "altered" | "indexed")) =
        message.strip_prefix("table ").and_then(|rest| rest.split_once(" may not be "))
    {
        return Some(
            SqlError::new(
                SqlState::INSUFFICIENT_PRIVILEGE,
                format!("permission denied: \"{table}\" is a system catalog"),
            )
            .with_hint("CREATE, ALTER and DROP change the schema; other catalogs only tell what there is."),
        );
    }
    for kind in ["table", "index", "view"] {
        if let Some(name) = message.strip_prefix(&format!("there is already a {kind} named ")) {
            return Some(relation_exists(name.trim_matches('"')));
        }
        if let Some(name) = message.strip_prefix(&format!("there is already an {kind} named ")) {
            return Some(relation_exists(name.trim_matches('"')));
        }
    }
    if let Some((table, column)) =
        message.strip_prefix("table ").and_then(|rest| rest.split_once(" has no column named "))
    {
        return Some(SqlError::new(
            SqlState::UNDEFINED_COLUMN,
            format!("column \"{column}\" of relation \"{table}\" does not exist"),
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Statement;

    fn of(sql: &str) -> SqlError {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "create table t (a integer primary key, b text unique, c not null default 0, d check (d > 0));
                 create table u (t references t); insert into t values (1, 'x', 0, 1);
                 create unique index ux on u (t + 1);",
            )
            .unwrap();
        let failure = match Statement::prepare(&connection, sql) {
            Err(failure) => failure,
            Ok(statement) => statement.unwrap().step().unwrap_err(),
        };
        sql_error(&failure)
    }

    #[test]
    fn messages_and_states_are_those_that_users_know() {
        for (sql, state, message) in [
            ("select * from nope", "42P01", "relation \"nope\" does not exist"),
            ("select nope from t", "42703", "column \"nope\" does not exist"),
            ("selec 1", "42601", "syntax error at or near \"selec\""),
            ("select (1", "42601", "syntax error at end of input"),
            ("select nope()", "42883", "function nope does not exist"),
            ("create table t (a)", "42P07", "relation \"t\" already exists"),
            ("insert into t (z) values (1)", "42703", "column \"z\" of relation \"t\" does not exist"),
            (
                "insert into t values (1, 'y', 0, 1)",
                "23505",
                "duplicate key value violates unique constraint \"t_pkey\"",
            ),
            (
                "insert into t values (2, 'x', 0, 1)",
                "23505",
                "duplicate key value violates unique constraint \"t_b_key\"",
            ),
            (
                "insert into t values (2, 'y', null, 1)",
                "23502",
                "null value in column \"c\" of relation \"t\" violates not-null constraint",
            ),
            ("insert into t values (2, 'y', 0, 0)", "23514", "new row violates check constraint \"d > 0\""),
            ("insert into u values (9)", "23503", "insert, update or delete violates foreign key constraint"),
            (
                "insert into u values (1), (1)",
                "23505",
                "duplicate key value violates unique constraint \"ux\"",
            ),
            ("select abs(-9223372036854775807 - 1)", "22003", "bigint out of range"),
            ("select json('{')", "22P02", "invalid input syntax for type json"),
            ("select a from t join u on a = t.a join t v", "42702", "column reference \"a\" is ambiguous"),
            ("insert into t (a) values ('x')", "42804", "datatype mismatch"),
        ] {
            let error = of(sql);
            assert_eq!((error.state().as_str(), error.report().message.as_str()), (state, message), "{sql}");
        }
    }

    #[test]
    fn objects_are_named_where_sqlite_names_them() {
        let error = of("insert into t values (2, 'y', null, 1)");
        assert_eq!(error.report().subject.as_ref().and_then(|subject| subject.table.as_deref()), Some("t"));
        assert_eq!(error.report().subject.as_ref().and_then(|subject| subject.column.as_deref()), Some("c"));
        assert_eq!(
            of("insert into t values (2, 'x', 0, 1)")
                .report()
                .subject
                .as_ref()
                .and_then(|subject| subject.constraint.as_deref()),
            Some("t_b_key")
        );
    }
}
