//! What to ask instead of what PostgreSQL has and what is not here.

use walship_protocol::wire::SqlState;

use super::SqlError;

/// What to ask of the catalog, where it does not have what was asked for.
pub(super) const WHAT_THERE_IS: &str = "Tables are in pg_tables and pg_class, columns in pg_attribute, sessions in \
     pg_stat_activity, followers in pg_stat_replication, settings in pg_settings; SELECT relname FROM pg_class WHERE \
     relnamespace = 11 lists the whole catalog.";

/// What the names of functions and tables begin with, and what to ask instead.
const INSTEAD: [(&str, &str); 15] = [
    (
        "txid_",
        "There are no transaction ids: the position of a session's last commit is walship_last_commit_lsn().",
    ),
    (
        "pg_current_xact",
        "There are no transaction ids: the position of a session's last commit is walship_last_commit_lsn().",
    ),
    (
        "pg_xact_",
        "There are no transaction ids: the position of a session's last commit is walship_last_commit_lsn().",
    ),
    ("pg_start_backup", "Use pg_basebackup or walctl basebackup."),
    ("pg_backup_", "Use pg_basebackup or walctl basebackup."),
    ("pg_stop_backup", "Use pg_basebackup or walctl basebackup."),
    ("pg_logical", "There is no logical replication; followers replicate whole clusters."),
    ("pg_create_logical", "There is no logical replication; followers replicate whole clusters."),
    ("pg_publication", "There is no logical replication; followers replicate whole clusters."),
    ("pg_stat_statements", "Statements are not counted; pg_stat_activity shows those that run."),
    ("pg_current_xlog", "The functions are called pg_wal... since PostgreSQL 10."),
    ("pg_last_xlog", "The functions are called pg_wal... since PostgreSQL 10."),
    ("pg_xlog", "The functions are called pg_wal... since PostgreSQL 10."),
    (
        "pg_advisory",
        "There are no advisory locks; a transaction that writes has the database's turn to itself.",
    ),
    ("pg_stat_io", "Input and output are not counted; pg_stat_wal counts those of the log."),
];

/// The same error, with what to ask instead if it names a function or relation that PostgreSQL's catalog has.
pub fn with_advice(error: SqlError) -> SqlError {
    let missing = [SqlState::UNDEFINED_FUNCTION, SqlState::UNDEFINED_TABLE].contains(&error.state());
    if !missing || error.report().hint.is_some() {
        return error;
    }
    let message = error.report().message.to_ascii_lowercase();
    let mut words = message.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    let advice = words.find_map(|word| INSTEAD.iter().find(|(begin, _)| word.starts_with(begin)));
    match advice {
        Some((_, hint)) => error.with_hint(*hint),
        None if message.starts_with("relation \"pg_") => error.with_hint(WHAT_THERE_IS),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_comes_with_what_to_ask_instead() {
        let hint = |state: &str, message: &str| {
            with_advice(SqlError::new(state, message)).report().hint.clone().unwrap_or_default()
        };
        assert!(hint("42883", "function txid_current does not exist").contains("walship_last_commit_lsn"));
        assert!(hint("42P01", "relation \"pg_proc\" does not exist").contains("pg_stat_replication"));
        assert_eq!(hint("42P01", "relation \"orders\" does not exist"), "");
        assert_eq!(hint("42601", "syntax error at or near \"pg_xlog\""), "");
    }
}
