use std::sync::Once;

use rusqlite::ffi;

use crate::EngineError;

/// The oldest SQLite that the engine runs on: 3.51.3 fixed the race in which a
/// checkpoint beside a commit loses frames when the -wal restarts.
pub const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// Compile-time options without which nothing works: redo writes pages through
/// `sqlite_dbpage`, positions come from snapshots.
const OPTIONS_REQUIRED: [(&str, &std::ffi::CStr); 2] =
    [("SQLITE_ENABLE_DBPAGE_VTAB", c"ENABLE_DBPAGE_VTAB"), ("SQLITE_ENABLE_SNAPSHOT", c"ENABLE_SNAPSHOT")];

static CONFIGURE: Once = Once::new();

/// Checks that the SQLite linked into this process can do what the engine needs,
/// and configures it for many connections. Called before any database is opened.
pub fn check_requirements() -> Result<(), EngineError> {
    CONFIGURE.call_once(|| {
        // SAFETY: SQLITE_CONFIG_MEMSTATUS takes one int. Called too late it
        // does nothing and says so, which costs speed and nothing else: with
        // it, every allocation of every connection takes one global mutex.
        unsafe { ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0i32) };
    });
    let version = rusqlite::version_number();
    if version < SQLITE_VERSION_MIN {
        return Err(EngineError::SqliteTooOld { found: rusqlite::version(), required: "3.51.3" });
    }
    for (name, option) in OPTIONS_REQUIRED {
        // SAFETY: the argument is a C string that outlives the call.
        if unsafe { ffi::sqlite3_compileoption_used(option.as_ptr()) } == 0 {
            return Err(EngineError::SqliteLacksOption { option: name });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linked_sqlite_meets_the_requirements() {
        check_requirements().unwrap();
    }
}
