use std::sync::Arc;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, Error};
use walship_types::{Lsn, Timestamp};

use super::cell::{Cell, parse_timestamp};
use super::privilege::check_function;
use super::table::{Scope, failed};
use super::{PgType, SqlError, functions};

/// A SQL function of the catalog.
pub(crate) struct Function {
    pub(crate) name: &'static str,
    /// How many arguments; -1 for any number.
    pub(crate) arguments: i32,
    pub(crate) returns: &'static PgType,
    pub(crate) nature: Nature,
    pub(crate) body: Body,
}

pub(crate) type Body = fn(&Call<'_, '_>) -> Result<Cell, SqlError>;

/// How a function behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    /// The same arguments give the same answer; NULL in, NULL out.
    Pure,
    /// Reads the node or the session; NULL in, NULL out.
    Reads,
    /// As [`Nature::Reads`], but says itself what NULL means.
    ReadsNull,
    /// Changes something: not to be called from a schema's views and triggers.
    Acts,
}

/// One call of a function.
pub(crate) struct Call<'call, 'context> {
    context: &'call Context<'context>,
    pub(crate) scope: &'call Scope,
}

impl Call<'_, '_> {
    pub(crate) fn count(&self) -> usize {
        self.context.len()
    }

    pub(crate) fn is_null(&self, index: usize) -> bool {
        index >= self.context.len() || self.context.get_raw(index) == ValueRef::Null
    }

    pub(crate) fn kind(&self, index: usize) -> Type {
        self.context.get_raw(index).data_type()
    }

    /// What was made from an argument, kept while the statement runs if the argument is a constant.
    pub(crate) fn kept_for_argument<T: Send + Sync + 'static>(
        &self,
        index: usize,
        make: impl FnOnce() -> Result<T, SqlError>,
    ) -> Result<Arc<T>, SqlError> {
        let argument = i32::try_from(index).unwrap_or(i32::MAX);
        if let Ok(Some(kept)) = self.context.get_aux::<T>(argument) {
            return Ok(kept);
        }
        self.context.set_aux(argument, make()?).map_err(|error| SqlError::new("XX000", error.to_string()))
    }

    /// An argument as text, numbers printed.
    pub(crate) fn text(&self, index: usize) -> String {
        match self.context.get_raw(index) {
            ValueRef::Null => String::new(),
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => number.to_string(),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        }
    }

    /// A whole number, also one written as text, as psql writes oids.
    pub(crate) fn integer(&self, index: usize) -> Result<i64, SqlError> {
        let text = self.text(index);
        text.trim()
            .parse()
            .map_err(|_| SqlError::new("22P02", format!("invalid input syntax for type bigint: \"{text}\"")))
    }

    /// An argument as it is; a blob is no value of the catalog's.
    pub(crate) fn cell(&self, index: usize) -> Cell {
        match self.context.get_raw(index) {
            ValueRef::Null | ValueRef::Blob(_) => Cell::Null,
            ValueRef::Integer(number) => Cell::Int(number),
            ValueRef::Real(number) => Cell::Real(number),
            ValueRef::Text(_) => Cell::Text(self.text(index)),
        }
    }

    /// A number, rounded to a whole one as PostgreSQL rounds numeric: halves away from zero.
    pub(crate) fn whole(&self, index: usize) -> Result<i64, SqlError> {
        const WHOLE_MAX: f64 = 9.2e18;
        let ValueRef::Real(number) = self.context.get_raw(index) else { return self.integer(index) };
        if number.abs() <= WHOLE_MAX {
            return Ok(number.round() as i64);
        }
        Err(SqlError::new("22003", "bigint out of range"))
    }

    /// A bool in any of SQLite's and PostgreSQL's spellings; `default` for NULL or a missing argument.
    pub(crate) fn flag(&self, index: usize, default: bool) -> Result<bool, SqlError> {
        if self.is_null(index) {
            return Ok(default);
        }
        let text = self.text(index);
        match text.to_ascii_lowercase().as_str() {
            "1" | "t" | "true" | "on" | "yes" | "y" => Ok(true),
            "0" | "f" | "false" | "off" | "no" | "n" => Ok(false),
            _ => Err(SqlError::new("22P02", format!("invalid input syntax for type boolean: \"{text}\""))),
        }
    }

    pub(crate) fn lsn(&self, index: usize) -> Result<Lsn, SqlError> {
        let text = self.text(index);
        text.parse()
            .map_err(|_| SqlError::new("22P02", format!("invalid input syntax for type pg_lsn: \"{text}\"")))
    }

    pub(crate) fn timestamp(&self, index: usize) -> Result<Timestamp, SqlError> {
        let text = self.text(index);
        parse_timestamp(&text).ok_or_else(|| {
            SqlError::new(
                "22007",
                format!("invalid input syntax for type timestamp with time zone: \"{text}\""),
            )
        })
    }

    /// The connection that runs the statement.
    pub(crate) fn with_connection<T>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, SqlError> {
        // SAFETY: SQLite calls functions on the connection's own thread; the borrowed connection does not close it.
        let result = unsafe { self.context.get_connection() }.and_then(|connection| read(&connection));
        result.map_err(|error| SqlError::new("XX000", error.to_string()))
    }
}

/// Makes a function known to a connection.
pub(crate) fn register(
    connection: &Connection,
    function: &'static Function,
    scope: &Scope,
) -> rusqlite::Result<()> {
    let scope = scope.clone();
    // never from a schema: a database that needs our functions is no ordinary SQLite file any more
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DIRECTONLY
        | match function.nature {
            Nature::Pure => FunctionFlags::SQLITE_DETERMINISTIC,
            _ => FunctionFlags::empty(),
        };
    connection.create_scalar_function(function.name, function.arguments, flags, move |context| {
        let call = Call { context, scope: &scope };
        let strict = matches!(function.nature, Nature::Pure | Nature::Reads);
        if strict && (0..call.count()).any(|index| call.is_null(index)) {
            return Ok(Cell::Null);
        }
        check_function(&scope, function.name)
            .and_then(|()| (function.body)(&call))
            .map_err(|error| -> Error { failed(&scope.session, error) })
    })
}

/// The type of a function's result, by its name in any case; `None` if it is not one of the catalog's.
pub fn type_of_function(name: &str) -> Option<PgType> {
    functions::all()
        .find(|function| function.name.eq_ignore_ascii_case(name))
        .map(|function| *function.returns)
}
