use walship_protocol::wire::SqlState;

use super::error::SqlError;

/// What may be done with a PRAGMA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PragmaRule {
    /// Tells something; an argument says about what.
    Query,
    /// May be read; setting it would break what the server relies on.
    ReadOnly(&'static str),
    /// May be read and set.
    Any,
}

const LOGGED: &str = "the server's log depends on it";
const CAPTURE: &str = "every commit has to go through the -wal, from which it is logged";
const SEALS: &str = "the server decides when SQLite's -wal is checkpointed";
const PROCESS: &str = "it would change the whole process";
const FILES: &str = "it would change where the server keeps files";
const SCHEMA: &str = "it could damage the database";

/// Every PRAGMA that is allowed in some form, by name.
pub(super) const PRAGMAS: &[(&str, PragmaRule)] = &[
    ("analysis_limit", PragmaRule::Any),
    ("application_id", PragmaRule::Any),
    ("auto_vacuum", PragmaRule::Any),
    ("automatic_index", PragmaRule::Any),
    ("busy_timeout", PragmaRule::ReadOnly("lock_timeout is the setting for that")),
    ("cache_size", PragmaRule::Any),
    ("cache_spill", PragmaRule::Any),
    ("case_sensitive_like", PragmaRule::Any),
    ("cell_size_check", PragmaRule::Any),
    ("collation_list", PragmaRule::Query),
    ("compile_options", PragmaRule::Query),
    ("data_version", PragmaRule::Query),
    ("database_list", PragmaRule::Query),
    ("defer_foreign_keys", PragmaRule::Any),
    ("encoding", PragmaRule::ReadOnly("a database keeps the encoding that it was created with")),
    ("foreign_key_check", PragmaRule::Query),
    ("foreign_key_list", PragmaRule::Query),
    ("foreign_keys", PragmaRule::Any),
    ("freelist_count", PragmaRule::Query),
    ("function_list", PragmaRule::Query),
    ("ignore_check_constraints", PragmaRule::Any),
    ("incremental_vacuum", PragmaRule::Any),
    ("index_info", PragmaRule::Query),
    ("index_list", PragmaRule::Query),
    ("index_xinfo", PragmaRule::Query),
    ("integrity_check", PragmaRule::Query),
    ("journal_mode", PragmaRule::ReadOnly(CAPTURE)),
    ("journal_size_limit", PragmaRule::ReadOnly(SEALS)),
    ("legacy_alter_table", PragmaRule::Any),
    ("locking_mode", PragmaRule::ReadOnly(CAPTURE)),
    ("max_page_count", PragmaRule::ReadOnly(LOGGED)),
    ("mmap_size", PragmaRule::ReadOnly(LOGGED)),
    ("module_list", PragmaRule::Query),
    ("optimize", PragmaRule::Any),
    ("page_count", PragmaRule::Query),
    ("page_size", PragmaRule::ReadOnly("a database keeps the page size that it was created with")),
    ("pragma_list", PragmaRule::Query),
    ("query_only", PragmaRule::Any),
    ("quick_check", PragmaRule::Query),
    ("read_uncommitted", PragmaRule::Any),
    ("recursive_triggers", PragmaRule::Any),
    ("reverse_unordered_selects", PragmaRule::Any),
    ("schema_version", PragmaRule::ReadOnly(SCHEMA)),
    ("secure_delete", PragmaRule::Any),
    ("short_column_names", PragmaRule::Any),
    ("full_column_names", PragmaRule::Any),
    ("stats", PragmaRule::Query),
    ("synchronous", PragmaRule::ReadOnly("the setting synchronous_commit says how durable a commit is")),
    ("table_info", PragmaRule::Query),
    ("table_list", PragmaRule::Query),
    ("table_xinfo", PragmaRule::Query),
    ("temp_store", PragmaRule::Any),
    ("threads", PragmaRule::ReadOnly(PROCESS)),
    ("trusted_schema", PragmaRule::Any),
    ("user_version", PragmaRule::Any),
    ("wal_autocheckpoint", PragmaRule::ReadOnly(SEALS)),
];

// refused in every form, with a reason of their own
const REFUSED: &[(&str, &str)] = &[
    ("wal_checkpoint", SEALS),
    ("writable_schema", SCHEMA),
    ("hard_heap_limit", PROCESS),
    ("soft_heap_limit", PROCESS),
    ("shrink_memory", PROCESS),
    ("temp_store_directory", FILES),
    ("data_store_directory", FILES),
    ("checkpoint_fullfsync", LOGGED),
    ("fullfsync", LOGGED),
    ("default_cache_size", LOGGED),
];

/// Whether a PRAGMA may be run with that argument.
pub(super) fn check_pragma(name: &str, argument: Option<&str>) -> Result<(), SqlError> {
    let name = name.to_ascii_lowercase();
    let refused = |reason: &str| {
        SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("PRAGMA {name} is not allowed: {reason}"))
    };
    if let Some((_, reason)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
        let error = refused(reason);
        return Err(if name == "wal_checkpoint" { error.with_hint("Use CHECKPOINT.") } else { error });
    }
    match PRAGMAS.iter().find(|(known, _)| *known == name) {
        Some((_, PragmaRule::ReadOnly(reason))) if argument.is_some() => Err(SqlError::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            format!("PRAGMA {name} cannot be set: {reason}"),
        )),
        Some(_) => Ok(()),
        None => Err(refused("it is not among those that are known to be harmless").with_hint(
            "SELECT name FROM pragma_pragma_list lists SQLite's; docs/sql.md lists the allowed ones.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn harmless_ones_pass_and_the_others_say_why() {
        for (name, argument) in [
            ("table_info", Some("t")),
            ("FOREIGN_KEYS", Some("on")),
            ("journal_mode", None),
            ("user_version", Some("3")),
        ] {
            assert!(check_pragma(name, argument).is_ok(), "{name}");
        }
        for (name, argument) in [
            ("journal_mode", Some("delete")),
            ("wal_checkpoint", None),
            ("writable_schema", Some("1")),
            ("nope", None),
        ] {
            let error = check_pragma(name, argument).unwrap_err();
            assert_eq!(error.state(), SqlState::FEATURE_NOT_SUPPORTED, "{name}");
            assert!(error.report().message.contains(": "), "{error}");
        }
    }
}
