//! PostgreSQL's spellings in questions about the catalog, in SQLite's grammar.
//!
//! Not a translator of SQL: what is changed is what psql, drivers and monitoring write around the catalog's names
//! (`pg_catalog.`, `OPERATOR(pg_catalog.~)`, `COLLATE pg_catalog.default`, `E''`, casts, `extract(epoch from ...)`), and
//! the subtraction and comparison of log positions and times, which SQLite would do on their leading digits.

mod arithmetic;
mod calls;
mod casts;
mod known;
mod lexer;
mod operands;
mod output;
mod piece;

use super::SqlError;

pub(crate) use lexer::{Token, tokens};

/// A statement as SQLite is to see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewrittenQuery {
    /// The statement.
    pub sql: String,
    /// Whether it asks the catalog anything: then its results are named, and its operators understood, as PostgreSQL's.
    pub asks_catalog: bool,
}

/// Longer statements carry data, not questions about the catalog.
const SQL_BYTES_MAX: usize = 128 << 10;

/// What a statement must contain for anything in it to change.
const TRIGGERS: [&str; 12] = [
    "pg_",
    "walship_",
    "::",
    "current_",
    "session_user",
    "now(",
    "operator",
    "extract",
    "date_part",
    "interval",
    " ~",
    "information_schema",
];

/// The statement in SQLite's grammar, or `None` if it asks the catalog nothing and needs no change. One that asks for a
/// part of the catalog that is not here is an error that says what to ask instead.
pub fn rewrite(sql: &str) -> Result<Option<RewrittenQuery>, SqlError> {
    if sql.len() > SQL_BYTES_MAX || !TRIGGERS.iter().any(|trigger| contains_ignoring_case(sql, trigger)) {
        return Ok(None);
    }
    if let Some(sql) = known::answer(sql) {
        return Ok(Some(RewrittenQuery { sql, asks_catalog: true }));
    }
    let tokens = tokens(sql);
    known::refuse(&tokens)?;
    let written = output::rewritten(sql, &tokens)?;
    let needed = written.asks_catalog || written.sql != sql;
    Ok(needed.then_some(RewrittenQuery { sql: written.sql, asks_catalog: written.asks_catalog }))
}

fn contains_ignoring_case(text: &str, wanted: &str) -> bool {
    text.as_bytes().windows(wanted.len()).any(|window| window.eq_ignore_ascii_case(wanted.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn becomes(sql: &str) -> String {
        rewrite(sql).unwrap().map_or_else(|| sql.to_owned(), |query| query.sql)
    }

    #[test]
    fn leaves_what_is_not_about_the_catalog() {
        for sql in [
            "SELECT 1",
            "INSERT INTO t VALUES ('a::b', 'pg_catalog.x', 'it''s now() - 1')",
            "SELECT a - b, ~c, -d FROM t WHERE current_price > 1",
            "SELECT \"a::b\" FROM t -- now() - pg_lsn",
            "SELECT x FROM t WHERE y = ~ 5",
        ] {
            assert_eq!(rewrite(sql).unwrap(), None, "{sql}");
        }
    }

    #[test]
    fn turns_postgresqls_spellings_into_sqlites() {
        for (sql, expected) in [
            ("SELECT pg_catalog.version()", "SELECT version()"),
            (
                "SELECT * FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(t)$' COLLATE pg_catalog.default",
                "SELECT * FROM pg_class c WHERE c.relname REGEXP '^(t)$'",
            ),
            (
                "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_'",
                "SELECT nspname FROM pg_namespace WHERE nspname NOT REGEXP '^pg_'",
            ),
            ("SELECT current_user, current_user()", "SELECT current_user(), current_user()"),
            ("SELECT '42'::int8, a.b::text", "SELECT CAST('42' AS INTEGER), CAST(a.b AS TEXT)"),
            (
                "SELECT f(x, (1))::pg_catalog.regtype::pg_catalog.text",
                "SELECT CAST(pg_regtype(f(x, (1))) AS TEXT)",
            ),
            (
                "SELECT * FROM pg_attribute WHERE attrelid = 't'::regclass",
                "SELECT * FROM pg_attribute WHERE attrelid = pg_regclass_oid('t')",
            ),
            (
                "SELECT conrelid::pg_catalog.regclass AS x FROM pg_constraint",
                "SELECT pg_regclass(conrelid) AS x FROM pg_constraint",
            ),
            ("SELECT E'a\\nb' || pg_backend_pid()", "SELECT 'a\nb' || pg_backend_pid()"),
            (
                "SELECT pg_current_wal_lsn() - replay_lsn FROM pg_stat_replication",
                "SELECT pg_lsn_mi(pg_current_wal_lsn(), replay_lsn) FROM pg_stat_replication",
            ),
            (
                "SELECT extract(epoch FROM now() - pg_last_xact_replay_timestamp())::int",
                "SELECT pg_int4(pg_epoch(pg_time_difference(now(), pg_last_xact_replay_timestamp())))",
            ),
            (
                "SELECT EXTRACT(EPOCH FROM replay_lag) FROM pg_stat_replication",
                "SELECT pg_epoch(replay_lag) FROM pg_stat_replication",
            ),
            (
                "SELECT pid FROM pg_stat_activity WHERE now() - xact_start > interval '5 min'",
                "SELECT pid FROM pg_stat_activity WHERE pg_time_difference(now(), xact_start) COLLATE pg_interval > pg_interval('5 min') COLLATE pg_interval",
            ),
            (
                "SELECT pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()",
                "SELECT pg_last_wal_receive_lsn() COLLATE pg_lsn > pg_last_wal_replay_lsn() COLLATE pg_lsn",
            ),
            (
                "SELECT now() + interval '1 h', now() - '1 h'::interval",
                "SELECT pg_time_sum(now(), pg_interval('1 h')) COLLATE pg_timestamptz, pg_time_before(now(), pg_interval('1 h')) COLLATE pg_timestamptz",
            ),
            (
                "SELECT pg_current_wal_lsn() + 16",
                "SELECT pg_lsn_sum(pg_current_wal_lsn(), 16) COLLATE pg_lsn",
            ),
            (
                "SELECT coalesce(confirmed_flush_lsn, '0/0') - '0/0' FROM pg_replication_slots WHERE active = 't'",
                "SELECT pg_lsn_mi(coalesce(confirmed_flush_lsn, '0/0'), '0/0') FROM pg_replication_slots WHERE active = 1",
            ),
            (
                "SELECT case pg_is_in_recovery() when 't' then null else pg_current_wal_lsn() end AS lsn",
                "SELECT CASE pg_is_in_recovery() when 1 then null else pg_current_wal_lsn() COLLATE pg_lsn end COLLATE pg_lsn AS lsn",
            ),
            (
                "SELECT b - a FROM (SELECT sent_lsn AS b, replay_lsn AS a FROM pg_stat_replication) x",
                "SELECT pg_lsn_mi(b, a) FROM (SELECT sent_lsn AS b, replay_lsn AS a FROM pg_stat_replication) x",
            ),
            (
                "SELECT max(now() - xact_start)::text FROM pg_stat_activity",
                "SELECT CAST(max(pg_time_difference(now(), xact_start) COLLATE pg_interval) AS TEXT) FROM pg_stat_activity",
            ),
            (
                "SELECT * FROM (VALUES ('a'), ('b')) AS tmp(state) CROSS JOIN pg_database",
                "SELECT * FROM (SELECT column1 AS state FROM (VALUES ('a'), ('b'))) AS tmp CROSS JOIN pg_database",
            ),
            (
                "SELECT (not pg_is_in_recovery())::text, (pid > 5)::int, (SELECT 1 WHERE true)::text FROM pg_locks",
                "SELECT pg_bool_text((not pg_is_in_recovery())), pg_int4((pid > 5)), CAST((SELECT 1 WHERE true) AS TEXT) FROM pg_locks",
            ),
            (
                "SELECT active::text, current_timestamp - (backend_start) FROM pg_stat_activity, pg_replication_slots",
                "SELECT pg_bool_text(active), pg_time_difference(now(), (backend_start)) COLLATE pg_interval FROM pg_stat_activity, pg_replication_slots",
            ),
            (
                "SELECT ARRAY(SELECT b.rolname FROM pg_roles b) AS m",
                "SELECT (SELECT '{' || coalesce(group_concat(b.rolname), '') || '}' FROM pg_roles b) AS m",
            ),
        ] {
            assert_eq!(becomes(sql), expected, "{sql}");
        }
    }

    #[test]
    fn a_statement_made_to_be_nasty_is_refused_or_left_to_sqlite() {
        let many = |text: &str, count| text.repeat(count);
        for (sql, is_refused) in [
            (format!("SELECT pg_lsn({}", many("case ", 20_000)), true),
            (format!("SELECT {}", many("now(", 20_000)), true),
            (format!("SELECT {}now()", many("pg_catalog.", 10_000)), true),
            (format!("SELECT now(){}", many(" - '1 s'", 10_000)), true),
            (format!("SELECT now(), {}1{}", many("(", 50_000), many(")", 50_000)), false),
            (format!("SELECT now(), {}", many("(values(", 10_000)), false),
            (format!("SELECT now(), {}", many("extract(", 10_000)), true),
        ] {
            let begin: String = sql.chars().take(40).collect();
            assert_eq!(rewrite(&sql).is_err(), is_refused, "{begin}");
        }
    }

    #[test]
    fn says_what_to_ask_instead() {
        for (sql, hint) in [
            ("SELECT * FROM pg_catalog.pg_proc p", "pg_settings"),
            ("SELECT c.tableoid, c.oid FROM pg_class c", "walctl export"),
            ("SELECT table_name FROM information_schema.tables", "pg_tables"),
        ] {
            let error = rewrite(sql).unwrap_err();
            assert!(error.report().hint.as_deref().unwrap_or_default().contains(hint), "{sql}: {error:?}");
        }
    }
}
