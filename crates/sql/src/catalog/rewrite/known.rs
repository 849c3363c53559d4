use super::lexer::{Kind, Token};
use crate::catalog::advice::WHAT_THERE_IS;
use crate::catalog::tables;
use crate::catalog::{SqlError, type_of_function};

/// Questions of psql 15 that no small change makes SQLite's, with what they come to here. Each is known by how it
/// begins and by what it reads; the oid that it asks about is the first string in it that is a number, or its last word.
const KNOWN: [(&str, &str, &str); 5] = [
    (
        "SELECT pol.polname, pol.polpermissive,",
        "pg_policy",
        "SELECT NULL, NULL, NULL, NULL, NULL, NULL WHERE 0",
    ),
    (
        "SELECT oid, stxrelid::",
        "pg_statistic_ext",
        "SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL WHERE 0",
    ),
    ("SELECT pubname\n", "pg_publication", "SELECT NULL AS pubname, NULL, NULL WHERE 0"),
    (
        "SELECT t.tgname, pg_catalog.pg_get_triggerdef(",
        "pg_trigger t",
        "SELECT t.tgname, pg_get_triggerdef(t.oid, true), t.tgenabled, t.tgisinternal, NULL AS parent FROM pg_trigger t \
         WHERE t.tgrelid = OID ORDER BY 1",
    ),
    (
        "SELECT nspname, relname, relkind, pg_catalog.pg_get_viewdef(",
        "pg_class c",
        "SELECT nspname, relname, relkind, pg_get_viewdef(c.oid, true), NULL AS reloptions, NULL AS checkoption \
         FROM pg_class c LEFT JOIN pg_namespace n ON c.relnamespace = n.oid WHERE c.oid = OID",
    ),
];

/// The statement that answers one of psql's questions, if this is one.
pub(super) fn answer(sql: &str) -> Option<String> {
    let trimmed = sql.trim_start();
    let (_, _, answer) =
        KNOWN.iter().find(|(begin, reads, _)| trimmed.starts_with(begin) && sql.contains(reads))?;
    let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let last = || sql.split_whitespace().next_back().filter(is_number);
    let oid = sql.split('\'').find(is_number).or_else(last).unwrap_or("0");
    Some(answer.replace("OID", oid))
}

/// Refuses what the catalog does not have, with what to ask instead.
pub(super) fn refuse(tokens: &[Token<'_>]) -> Result<(), SqlError> {
    for (index, token) in tokens.iter().enumerate() {
        let follows = |words: &[&str]| {
            index
                .checked_sub(1)
                .and_then(|at| tokens.get(at))
                .is_some_and(|previous| words.iter().any(|word| previous.is(word)))
        };
        if !follows(&["from", "join"]) || !token.kind.eq(&Kind::Word) {
            continue;
        }
        let dotted = tokens.get(index + 1).is_some_and(|next| next.is_symbol("."));
        let name = if dotted { tokens.get(index + 2) } else { None };
        if token.is("information_schema") {
            return Err(SqlError::new("42P01", "schema \"information_schema\" does not exist").with_hint(
                "Ask pg_tables, pg_views, pg_indexes, pg_class and pg_attribute, or SQLite's sqlite_schema and pragma_table_info.",
            ));
        }
        let Some(name) = name.filter(|_| token.is("pg_catalog")) else { continue };
        let of_the_catalog = name.text.to_ascii_lowercase().starts_with("pg_");
        if of_the_catalog && !tables::exists(name.text) && type_of_function(name.text).is_none() {
            return Err(SqlError::new(
                "42P01",
                format!("relation \"pg_catalog.{}\" does not exist", name.text),
            )
            .with_hint(WHAT_THERE_IS));
        }
    }
    let reads_catalog = tokens.iter().any(|token| token.kind == Kind::Word && tables::exists(token.text));
    if reads_catalog && tokens.iter().any(|token| token.is("tableoid")) {
        return Err(SqlError::new(
            "0A000",
            "the questions that pg_dump asks about the catalog are not answered here",
        )
        .with_hint("Use walctl export for a copy of a database, walctl basebackup for one of the cluster."));
    }
    Ok(())
}
