use super::lexer::{Token, TokenKind};

/// What a statement is called in its command tag, and what its count means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    /// SELECT and VALUES: counts rows sent.
    Select,
    /// INSERT and REPLACE: counts rows changed.
    Insert,
    /// UPDATE: counts rows changed.
    Update,
    /// DELETE: counts rows changed.
    Delete,
    /// Others: the name is the tag; rows, if there are any, make it a SELECT.
    Other(&'static str),
}

const NAMES: &[(&str, &str)] = &[
    ("explain", "EXPLAIN"),
    ("pragma", "PRAGMA"),
    ("analyze", "ANALYZE"),
    ("reindex", "REINDEX"),
    ("vacuum", "VACUUM"),
];

const OBJECTS: &[(&str, [&str; 3])] = &[
    ("table", ["CREATE TABLE", "DROP TABLE", "ALTER TABLE"]),
    ("index", ["CREATE INDEX", "DROP INDEX", "ALTER INDEX"]),
    ("view", ["CREATE VIEW", "DROP VIEW", "ALTER VIEW"]),
    ("trigger", ["CREATE TRIGGER", "DROP TRIGGER", "ALTER TRIGGER"]),
];

impl Verb {
    /// The verb of a statement's tokens.
    pub(super) fn of(tokens: &[Token<'_>]) -> Verb {
        let Some(first) = tokens.first() else { return Verb::Select };
        if first.is("with") {
            return main_verb(tokens);
        }
        if let Some(verb) = verb_of(first) {
            return verb;
        }
        let action = ["create", "drop", "alter"].iter().position(|action| first.is(action));
        if let Some(action) = action {
            // between the action and the object stand TEMP, UNIQUE, VIRTUAL
            let object = tokens.iter().skip(1).take(2).find_map(|token| {
                OBJECTS.iter().find(|(object, _)| token.is(object)).and_then(|(_, tags)| tags.get(action))
            });
            return Verb::Other(object.copied().unwrap_or("CREATE"));
        }
        let named = NAMES.iter().find(|(keyword, _)| first.is(keyword)).map(|(_, name)| *name);
        named.map_or(Verb::Select, Verb::Other)
    }

    /// Its name in messages, as in "cannot execute INSERT in a read-only transaction".
    pub(super) fn name(self) -> &'static str {
        match self {
            Verb::Select => "SELECT",
            Verb::Insert => "INSERT",
            Verb::Update => "UPDATE",
            Verb::Delete => "DELETE",
            Verb::Other(name) => name,
        }
    }

    /// Whether it may change what other plans were made from.
    pub(super) fn changes_schema(self) -> bool {
        matches!(self, Verb::Other(name) if name.starts_with("CREATE") || name.starts_with("DROP") || name.starts_with("ALTER"))
    }

    /// The command tag.
    pub(super) fn tag(self, rows_sent: u64, rows_changed: u64, has_result: bool) -> String {
        match self {
            Verb::Select => format!("SELECT {rows_sent}"),
            Verb::Insert => format!("INSERT 0 {rows_changed}"),
            Verb::Update => format!("UPDATE {rows_changed}"),
            Verb::Delete => format!("DELETE {rows_changed}"),
            Verb::Other("PRAGMA" | "ANALYZE" | "VACUUM") if has_result => format!("SELECT {rows_sent}"),
            Verb::Other(name) => name.to_owned(),
        }
    }
}

fn verb_of(token: &Token<'_>) -> Option<Verb> {
    [
        ("select", Verb::Select),
        ("values", Verb::Select),
        ("insert", Verb::Insert),
        ("replace", Verb::Insert),
        ("update", Verb::Update),
        ("delete", Verb::Delete),
    ]
    .iter()
    .find(|(keyword, _)| token.is(keyword))
    .map(|(_, verb)| *verb)
}

// behind the common table expressions, which stand in parentheses
fn main_verb(tokens: &[Token<'_>]) -> Verb {
    let mut depth = 0usize;
    for token in tokens {
        match token.kind {
            TokenKind::Open => depth += 1,
            TokenKind::Close => depth = depth.saturating_sub(1),
            TokenKind::Word if depth == 0 => {
                if let Some(verb) = verb_of(token) {
                    return verb;
                }
            }
            _ => {}
        }
    }
    Verb::Select
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::split;

    #[test]
    fn tags_are_postgresqls() {
        for (sql, expected) in [
            ("select 1", "SELECT 2"),
            ("with a as (select 1), b as (delete from x) insert into t select * from a", "INSERT 0 3"),
            ("replace into t values (1)", "INSERT 0 3"),
            ("create unique index i on t (a)", "CREATE INDEX"),
            ("create temp table t (a)", "CREATE TABLE"),
            ("drop view v", "DROP VIEW"),
            ("alter table t add b", "ALTER TABLE"),
            ("vacuum", "VACUUM"),
            ("explain select 1", "EXPLAIN"),
        ] {
            assert_eq!(Verb::of(&split(sql)[0]).tag(2, 3, false), expected, "{sql}");
        }
    }
}
