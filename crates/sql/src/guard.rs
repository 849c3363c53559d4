use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, ffi};
use walship_protocol::wire::SqlState;

use super::error::SqlError;
use super::pragma::check_pragma;
use super::signals::Signals;

/// What the statement that was compiled last would do.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    /// Changes something in the database itself.
    pub writes_main: bool,
    /// Changes a temporary table.
    pub writes_temporary: bool,
    /// Calls a function that changes settings.
    pub sets_settings: bool,
    /// Why it was refused.
    pub refused: Option<SqlError>,
}

#[derive(Debug)]
struct Watched {
    signals: Arc<Signals>,
    notes: RefCell<Notes>,
}

/// Watches what statements of a connection do when they are compiled (SQLite's authorizer),
/// and ends those that were cancelled while they run (its progress handler).
///
/// It has to be dropped after the connection: the session's field order sees to that.
#[derive(Debug)]
pub(super) struct Guard {
    // SQLite holds a pointer to it
    watched: Box<Watched>,
}

// virtual machine steps between two looks at the cancel flag: some microseconds
const STEPS_BETWEEN_LOOKS: c_int = 4096;

impl Guard {
    /// Watches that connection from now on.
    pub(super) fn install(connection: &Connection, signals: Arc<Signals>) -> Guard {
        let guard = Guard { watched: Box::new(Watched { signals, notes: RefCell::default() }) };
        let context: *const Watched = &*guard.watched;
        // SAFETY: the handle is open; the context is boxed and outlives the connection (see the type);
        // both callbacks run on the thread that uses the connection, which is this one
        unsafe {
            ffi::sqlite3_set_authorizer(connection.handle(), Some(authorize), context.cast_mut().cast());
            ffi::sqlite3_progress_handler(
                connection.handle(),
                STEPS_BETWEEN_LOOKS,
                Some(is_cancelled),
                context.cast_mut().cast(),
            );
        }
        guard
    }

    /// Forgets what was noted: a statement is going to be compiled.
    pub(super) fn begin(&self) {
        *self.watched.notes.borrow_mut() = Notes::default();
    }

    /// What was noted since.
    pub(super) fn notes(&self) -> Notes {
        self.watched.notes.borrow().clone()
    }
}

unsafe extern "C" fn is_cancelled(context: *mut c_void) -> c_int {
    // SAFETY: the context that `install` gave
    let watched = unsafe { &*context.cast::<Watched>() };
    c_int::from(watched.signals.interrupted().load(Ordering::Relaxed))
}

unsafe extern "C" fn authorize(
    context: *mut c_void,
    action: c_int,
    first: *const c_char,
    second: *const c_char,
    database: *const c_char,
    _accessor: *const c_char,
) -> c_int {
    // SAFETY: the context that `install` gave
    let watched = unsafe { &*context.cast::<Watched>() };
    // SAFETY: SQLite's strings live during the call
    let (first, second, database) = unsafe { (text(first), text(second), text(database)) };
    let Ok(mut notes) = watched.notes.try_borrow_mut() else { return ffi::SQLITE_DENY };
    match notes.check(action, first, second, database) {
        Ok(()) => ffi::SQLITE_OK,
        Err(error) => {
            notes.refused.get_or_insert(error);
            ffi::SQLITE_DENY
        }
    }
}

// SAFETY: `text` must be null or a terminated string that lives for 'a
unsafe fn text<'a>(text: *const c_char) -> Option<&'a str> {
    // SAFETY: as above
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_str().unwrap_or_default())
}

impl Notes {
    fn check(
        &mut self,
        action: c_int,
        first: Option<&str>,
        second: Option<&str>,
        database: Option<&str>,
    ) -> Result<(), SqlError> {
        match action {
            ffi::SQLITE_INSERT
            | ffi::SQLITE_UPDATE
            | ffi::SQLITE_DELETE
            | ffi::SQLITE_ALTER_TABLE
            | ffi::SQLITE_REINDEX
            | ffi::SQLITE_ANALYZE
            | ffi::SQLITE_CREATE_VTABLE
            | ffi::SQLITE_DROP_VTABLE => match database {
                Some("temp") => self.writes_temporary = true,
                _ => self.writes_main = true,
            },
            ffi::SQLITE_PRAGMA => check_pragma(first.unwrap_or_default(), second)?,
            ffi::SQLITE_FUNCTION => match second {
                Some(name) if name.eq_ignore_ascii_case("load_extension") => {
                    return Err(SqlError::new(
                        SqlState::INSUFFICIENT_PRIVILEGE,
                        "load_extension() is not allowed: it would run code in the server",
                    ));
                }
                Some(name) if name.eq_ignore_ascii_case("set_config") => self.sets_settings = true,
                _ => {}
            },
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statement::Statement;

    #[test]
    fn says_what_a_statement_would_write() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("create table t (a); create temp table u (a)").unwrap();
        let guard = Guard::install(&connection, Arc::new(Signals::new(Box::new(|| {}))));
        let noted = |sql: &str| {
            guard.begin();
            let result = Statement::prepare(&connection, sql);
            (result.is_ok(), guard.notes())
        };
        assert!(noted("insert into t values (1)").1.writes_main);
        assert!(noted("create index i on t (a)").1.writes_main);
        let (_, temporary) = noted("update u set a = 1");
        assert!(temporary.writes_temporary && !temporary.writes_main);
        let (_, reading) = noted("select * from t");
        assert!(!reading.writes_main && !reading.writes_temporary);
        let (compiled, refused) = noted("pragma journal_mode = delete");
        assert!(!compiled);
        assert_eq!(refused.refused.unwrap().state(), SqlState::FEATURE_NOT_SUPPORTED);
        let (compiled, refused) = noted("select load_extension('x')");
        assert!(!compiled && refused.refused.is_some());
    }
}
