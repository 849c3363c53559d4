use std::ffi::{CStr, c_char, c_int};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;

use rusqlite::{Connection, ffi};

/// What SQLite said about a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteFailure {
    /// Extended result code.
    pub code: c_int,
    /// SQLite's message.
    pub message: String,
    /// Byte offset into the statement's text, where SQLite knows it.
    pub offset: Option<usize>,
}

/// A value of a result row, borrowed until the next step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value<'a> {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL.
    Real(f64),
    /// TEXT, usually UTF-8.
    Text(&'a [u8]),
    /// BLOB.
    Blob(&'a [u8]),
}

/// A parameter's value, as it is bound.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Parameter {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL.
    Real(f64),
    /// TEXT.
    Text(String),
    /// BLOB.
    Blob(Vec<u8>),
}

/// A compiled statement that lives beside its connection instead of borrowing it,
/// so that portals and the cache of a session may hold some while the engine works on the connection.
///
/// Its owner drops it before the connection: the session's field order and its
/// reset see to that. It cannot leave its thread, but may be lent.
#[derive(Debug)]
pub(super) struct Statement {
    raw: NonNull<ffi::sqlite3_stmt>,
    thread_bound: PhantomData<*mut ()>,
}

/// A statement that another thread may run once, while its owner waits.
pub(super) struct LentStatement<'a>(&'a mut Statement);

// SAFETY: SQLite is built to be used by several threads, one after the other, which the
// exclusive borrow makes sure of.
unsafe impl Send for LentStatement<'_> {}

impl LentStatement<'_> {
    /// Runs the statement until its first row (`true`) or its end (`false`), and ends the run.
    pub(super) fn run(&mut self) -> Result<bool, SqliteFailure> {
        let stepped = self.0.step();
        self.0.reset();
        stepped
    }
}

impl Statement {
    /// Compiles the first statement of `sql`; `None` if there is nothing but blanks and comments.
    pub(super) fn prepare(connection: &Connection, sql: &str) -> Result<Option<Statement>, SqliteFailure> {
        let length = c_int::try_from(sql.len()).map_err(|_| SqliteFailure {
            code: ffi::SQLITE_TOOBIG,
            message: "statement too long".to_owned(),
            offset: None,
        })?;
        let mut raw: *mut ffi::sqlite3_stmt = ptr::null_mut();
        // SAFETY: the handle is open as long as `connection` is borrowed; text and length belong together
        let code = unsafe {
            ffi::sqlite3_prepare_v3(
                connection.handle(),
                sql.as_ptr().cast::<c_char>(),
                length,
                ffi::SQLITE_PREPARE_PERSISTENT,
                &mut raw,
                ptr::null_mut(),
            )
        };
        if code != ffi::SQLITE_OK {
            return Err(failure(connection, code));
        }
        Ok(NonNull::new(raw).map(|raw| Statement { raw, thread_bound: PhantomData }))
    }

    /// Runs until the next row (`true`) or the end (`false`).
    pub(super) fn step(&mut self) -> Result<bool, SqliteFailure> {
        // SAFETY: `raw` is a live statement, used by this thread only
        match unsafe { ffi::sqlite3_step(self.raw.as_ptr()) } {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => Ok(false),
            code => {
                // SAFETY: a live statement has a live connection
                let error = unsafe { failure_of(ffi::sqlite3_db_handle(self.raw.as_ptr()), code) };
                self.reset();
                Err(error)
            }
        }
    }

    /// For a run on another thread, while this one waits.
    pub(super) fn lend(&mut self) -> LentStatement<'_> {
        LentStatement(self)
    }

    /// Ends the run, so that its locks are let go.
    pub(super) fn reset(&mut self) {
        // SAFETY: `raw` is a live statement; the result repeats what step said
        unsafe { ffi::sqlite3_reset(self.raw.as_ptr()) };
    }

    /// Forgets the parameters' values.
    pub(super) fn clear_bindings(&mut self) {
        // SAFETY: `raw` is a live statement
        unsafe { ffi::sqlite3_clear_bindings(self.raw.as_ptr()) };
    }

    /// Whether it writes to no database file.
    pub(super) fn is_readonly(&self) -> bool {
        // SAFETY: `raw` is a live statement
        unsafe { ffi::sqlite3_stmt_readonly(self.raw.as_ptr()) != 0 }
    }

    /// Whether it is EXPLAIN or EXPLAIN QUERY PLAN.
    pub(super) fn is_explain(&self) -> bool {
        // SAFETY: `raw` is a live statement
        unsafe { ffi::sqlite3_stmt_isexplain(self.raw.as_ptr()) != 0 }
    }

    /// How often it was compiled again because the schema changed; counts from the last call.
    pub(super) fn take_recompiled(&mut self) -> bool {
        // SAFETY: `raw` is a live statement
        unsafe { ffi::sqlite3_stmt_status(self.raw.as_ptr(), ffi::SQLITE_STMTSTATUS_REPREPARE, 1) > 0 }
    }

    /// Columns of its result; 0 for a statement without one.
    pub(super) fn column_count(&self) -> usize {
        // SAFETY: `raw` is a live statement
        usize::try_from(unsafe { ffi::sqlite3_column_count(self.raw.as_ptr()) }).unwrap_or(0)
    }

    /// Name of a column.
    pub(super) fn column_name(&self, column: usize) -> String {
        // SAFETY: `raw` is a live statement; SQLite answers null for a column that is not there
        unsafe { owned(ffi::sqlite3_column_name(self.raw.as_ptr(), column as c_int)) }.unwrap_or_default()
    }

    /// The declared type of the table column that a result column is.
    pub(super) fn column_declared_type(&self, column: usize) -> Option<String> {
        // SAFETY: as for `column_name`
        unsafe { owned(ffi::sqlite3_column_decltype(self.raw.as_ptr(), column as c_int)) }
    }

    /// A value of the current row.
    pub(super) fn value(&self, column: usize) -> Value<'_> {
        let (raw, column) = (self.raw.as_ptr(), column as c_int);
        // SAFETY: `raw` is a live statement; what the pointers show stays until the next
        // step, reset or conversion, all of which need `&mut self` or are not made
        unsafe {
            match ffi::sqlite3_column_type(raw, column) {
                ffi::SQLITE_INTEGER => Value::Integer(ffi::sqlite3_column_int64(raw, column)),
                ffi::SQLITE_FLOAT => Value::Real(ffi::sqlite3_column_double(raw, column)),
                ffi::SQLITE_TEXT => {
                    let text = ffi::sqlite3_column_text(raw, column);
                    Value::Text(bytes_at(text.cast(), ffi::sqlite3_column_bytes(raw, column)))
                }
                ffi::SQLITE_BLOB => {
                    let blob = ffi::sqlite3_column_blob(raw, column);
                    Value::Blob(bytes_at(blob.cast(), ffi::sqlite3_column_bytes(raw, column)))
                }
                _ => Value::Null,
            }
        }
    }

    /// How many parameters it has, in SQLite's numbering.
    pub(super) fn parameter_count(&self) -> usize {
        // SAFETY: `raw` is a live statement
        usize::try_from(unsafe { ffi::sqlite3_bind_parameter_count(self.raw.as_ptr()) }).unwrap_or(0)
    }

    /// The name of a parameter, with its sign; counted from 1.
    pub(super) fn parameter_name(&self, index: usize) -> Option<String> {
        // SAFETY: `raw` is a live statement; SQLite answers null for an index that is not there
        unsafe { owned(ffi::sqlite3_bind_parameter_name(self.raw.as_ptr(), index as c_int)) }
    }

    /// Binds a value; `index` counts from 1. SQLite keeps its own copy.
    pub(super) fn bind(&mut self, index: usize, value: &Parameter) -> Result<(), SqliteFailure> {
        let (raw, index) = (self.raw.as_ptr(), index as c_int);
        let copy = ffi::SQLITE_TRANSIENT();
        // SAFETY: `raw` is a live statement; pointers and lengths belong together, and SQLite copies them
        let code = unsafe {
            match value {
                Parameter::Null => ffi::sqlite3_bind_null(raw, index),
                Parameter::Integer(value) => ffi::sqlite3_bind_int64(raw, index, *value),
                Parameter::Real(value) => ffi::sqlite3_bind_double(raw, index, *value),
                Parameter::Text(value) => ffi::sqlite3_bind_text64(
                    raw,
                    index,
                    value.as_ptr().cast(),
                    value.len() as u64,
                    copy,
                    ffi::SQLITE_UTF8 as u8,
                ),
                Parameter::Blob(value) if value.is_empty() => ffi::sqlite3_bind_zeroblob(raw, index, 0),
                Parameter::Blob(value) => {
                    ffi::sqlite3_bind_blob64(raw, index, value.as_ptr().cast(), value.len() as u64, copy)
                }
            }
        };
        if code == ffi::SQLITE_OK {
            return Ok(());
        }
        // SAFETY: a live statement has a live connection
        Err(unsafe { failure_of(ffi::sqlite3_db_handle(raw), code) })
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: `raw` is live and not used again; the connection outlives it (see the type)
        unsafe { ffi::sqlite3_finalize(self.raw.as_ptr()) };
    }
}

/// The declared type of a table's column, looked up in temp, then main; `None` if there is no such column.
/// An existing column without a type has an empty one.
pub(super) fn declared_type(connection: &Connection, table: &str, column: &str) -> Option<String> {
    let (table, column) = (std::ffi::CString::new(table).ok()?, std::ffi::CString::new(column).ok()?);
    let mut declared: *const c_char = ptr::null();
    // SAFETY: the handle is open; both names are terminated; outputs that are null are not wanted
    let code = unsafe {
        ffi::sqlite3_table_column_metadata(
            connection.handle(),
            ptr::null(),
            table.as_ptr(),
            column.as_ptr(),
            &mut declared,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
        )
    };
    if code != ffi::SQLITE_OK {
        return None;
    }
    // SAFETY: SQLite's own string, valid until the schema changes; copied at once
    Some(unsafe { owned(declared) }.unwrap_or_default())
}

/// What SQLite says about the last failure of a connection.
pub(super) fn failure(connection: &Connection, code: c_int) -> SqliteFailure {
    // SAFETY: the handle is open as long as `connection` is borrowed
    unsafe { failure_of(connection.handle(), code) }
}

// SAFETY: `db` must be an open connection of this thread
unsafe fn failure_of(db: *mut ffi::sqlite3, code: c_int) -> SqliteFailure {
    // SAFETY: as above; the message is copied before anything else is called
    unsafe {
        let extended = ffi::sqlite3_extended_errcode(db);
        let code = if extended & 0xff == code & 0xff { extended } else { code };
        let message = owned(ffi::sqlite3_errmsg(db)).unwrap_or_default();
        let offset = usize::try_from(ffi::sqlite3_error_offset(db)).ok();
        SqliteFailure { code, message, offset }
    }
}

// SAFETY: `text` must be null or a terminated string that lives during the call
unsafe fn owned(text: *const c_char) -> Option<String> {
    // SAFETY: as above
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

// SAFETY: `bytes` must be null or show `length` bytes that live for 'a
unsafe fn bytes_at<'a>(bytes: *const u8, length: c_int) -> &'a [u8] {
    match usize::try_from(length) {
        // SAFETY: as above
        Ok(length) if length > 0 && !bytes.is_null() => unsafe { slice::from_raw_parts(bytes, length) },
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were_bound() {
        let connection = Connection::open_in_memory().unwrap();
        let mut statement = Statement::prepare(&connection, "select $2, $1, ?3, $4").unwrap().unwrap();
        assert_eq!(statement.parameter_name(1).as_deref(), Some("$2"));
        for (index, value) in [
            Parameter::Integer(-1),
            Parameter::Text("é".to_owned()),
            Parameter::Blob(vec![]),
            Parameter::Real(1.5),
        ]
        .iter()
        .enumerate()
        {
            statement.bind(index + 1, value).unwrap();
        }
        assert!(statement.step().unwrap());
        assert_eq!(statement.value(0), Value::Integer(-1));
        assert_eq!(statement.value(1), Value::Text("é".as_bytes()));
        assert_eq!(statement.value(2), Value::Blob(&[]));
        assert!(!statement.step().unwrap());
    }

    #[test]
    fn failures_say_where() {
        let connection = Connection::open_in_memory().unwrap();
        let failure = Statement::prepare(&connection, "select nope").unwrap_err();
        assert_eq!((failure.message.as_str(), failure.offset), ("no such column: nope", Some(7)));
        connection.execute_batch("create table t (a int primary key)").unwrap();
        assert_eq!(declared_type(&connection, "t", "a").as_deref(), Some("INT"));
        assert_eq!(declared_type(&connection, "t", "b"), None);
    }
}
