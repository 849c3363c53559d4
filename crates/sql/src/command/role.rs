use std::borrow::Cow;

use walship_protocol::wire::SqlState;

use super::Command;
use super::cursor::Cursor;
use crate::catalog::parse_timestamp;
use crate::error::SqlError;
use crate::lexer::{Lexer, TokenKind};
use crate::roles::{Level, Password, RoleChange, RoleOptions};

/// Roles that stand for access to every database, as PostgreSQL has them.
const EVERYWHERE: [(&str, Level); 2] =
    [("pg_read_all_data", Level::Read), ("pg_write_all_data", Level::Write)];

/// CREATE, ALTER and DROP of ROLE, USER and GROUP; `None` if it is about something else.
pub(super) fn role(keyword: &str, cursor: &mut Cursor<'_, '_>) -> Result<Option<Command>, SqlError> {
    let is_user = cursor.peek().is_some_and(|token| token.is("user"));
    if !cursor.take(&["role", "user", "group"]) {
        return Ok(None);
    }
    let change = match keyword {
        "create" => {
            let name = cursor.name()?;
            let mut options = role_options(cursor)?;
            if is_user {
                options.login = options.login.or(Some(true));
            }
            RoleChange::Create { name, options }
        }
        "alter" => {
            let name = cursor.name()?;
            if cursor.take_all(&["rename", "to"]) {
                RoleChange::Rename { name, to: cursor.name()? }
            } else if cursor.peek().is_some_and(|token| token.is_any(&["set", "reset", "in"])) {
                return Err(not_supported("settings of a role"));
            } else {
                RoleChange::Alter { name, options: role_options(cursor)? }
            }
        }
        _ => {
            let if_exists = cursor.take_all(&["if", "exists"]);
            RoleChange::Drop { names: names(cursor)?, if_exists }
        }
    };
    cursor.end()?;
    Ok(Some(Command::Role(change)))
}

/// GRANT and REVOKE: of a database, or of one of the roles that stand for all of them.
pub(super) fn grant(keyword: &str, cursor: &mut Cursor<'_, '_>) -> Result<Command, SqlError> {
    let grants = keyword == "grant";
    let (mut level, mut everywhere) = (Level::Read, false);
    loop {
        let token = cursor.peek().ok_or_else(|| cursor.unexpected())?;
        let known = EVERYWHERE.iter().find(|(name, _)| token.is(name));
        match (token.text.to_ascii_lowercase().as_str(), known) {
            (_, Some((_, found))) => {
                everywhere = true;
                level = level.max(*found);
            }
            ("connect" | "select", _) => {}
            ("all" | "insert" | "update" | "delete" | "create", _) => level = Level::Write,
            _ => return Err(only_databases()),
        }
        cursor.next();
        cursor.take(&["privileges"]);
        if !cursor.take_kind(TokenKind::Comma) {
            break;
        }
    }
    if !grants && !everywhere && level == Level::Write && is_all(cursor) {
        // REVOKE ALL takes reading too
        level = Level::Read;
    }
    let database = if everywhere {
        None
    } else {
        if !cursor.take_all(&["on", "database"]) {
            return Err(only_databases());
        }
        Some(cursor.name()?)
    };
    cursor.expect(if grants { "to" } else { "from" })?;
    let roles = names(cursor)?;
    cursor.end()?;
    Ok(Command::Role(match grants {
        true => RoleChange::Grant { database, level, roles },
        false => RoleChange::Revoke { database, level, roles },
    }))
}

/// Whether the privileges that were just read were ALL.
fn is_all(cursor: &Cursor<'_, '_>) -> bool {
    cursor.taken().iter().any(|token| token.is("all"))
}

fn only_databases() -> SqlError {
    not_supported("privileges of anything but whole databases").with_hint(
        "GRANT CONNECT ON DATABASE name TO role lets it read, GRANT ALL ON DATABASE name TO role read and write; \
         GRANT pg_read_all_data or pg_write_all_data TO role does so for every database.",
    )
}

fn not_supported(what: &str) -> SqlError {
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{what}: not supported"))
}

fn names(cursor: &mut Cursor<'_, '_>) -> Result<Vec<String>, SqlError> {
    let mut names = vec![cursor.name()?];
    while cursor.take_kind(TokenKind::Comma) {
        names.push(cursor.name()?);
    }
    Ok(names)
}

fn role_options(cursor: &mut Cursor<'_, '_>) -> Result<RoleOptions, SqlError> {
    let mut options = RoleOptions::default();
    cursor.take(&["with"]);
    while let Some(token) = cursor.next() {
        let word = token.text.to_ascii_lowercase();
        let (word, on) = match word.strip_prefix("no") {
            Some(word) => (word, false),
            None => (word.as_str(), true),
        };
        let flag = match word {
            "superuser" => &mut options.superuser,
            "createrole" => &mut options.create_role,
            "createdb" => &mut options.create_database,
            "login" => &mut options.login,
            "replication" => &mut options.replication,
            // they change nothing here: roles have no members, rows no policies
            "inherit" | "bypassrls" => continue,
            "encrypted" if on && cursor.peek().is_some_and(|token| token.is("password")) => continue,
            "password" if on => {
                options.password = Some(password(cursor)?);
                continue;
            }
            "connection" if on => {
                cursor.expect("limit")?;
                options.connection_limit = Some(whole_number(cursor)?);
                continue;
            }
            "valid" if on => {
                cursor.expect("until")?;
                options.valid_until = Some(until(cursor)?);
                continue;
            }
            "in" if on => {
                if !cursor.take(&["role", "group"]) {
                    return Err(cursor.unexpected());
                }
                options.everywhere = options.everywhere.max(Some(everywhere(cursor)?));
                continue;
            }
            "role" | "admin" | "user" if on => return Err(not_supported("members of a role")),
            _ => {
                return Err(SqlError::new(
                    SqlState::SYNTAX_ERROR,
                    format!("unrecognized role option \"{}\"", token.text),
                )
                .at(Some(token.start + 1)));
            }
        };
        if flag.replace(on).is_some() {
            return Err(SqlError::new(SqlState::SYNTAX_ERROR, "conflicting or redundant options")
                .at(Some(token.start + 1)));
        }
    }
    Ok(options)
}

fn password(cursor: &mut Cursor<'_, '_>) -> Result<Password, SqlError> {
    if cursor.take(&["null"]) {
        return Ok(Password::Null);
    }
    text(cursor).map(Password::Text)
}

fn text(cursor: &mut Cursor<'_, '_>) -> Result<String, SqlError> {
    match cursor.peek() {
        Some(token) if token.kind == TokenKind::String => {
            cursor.next();
            Ok(token.value())
        }
        // the token itself may be a password in the wrong quotes: it is not repeated
        _ => Err(SqlError::new(SqlState::SYNTAX_ERROR, "syntax error: expected a string in single quotes")),
    }
}

fn whole_number(cursor: &mut Cursor<'_, '_>) -> Result<i32, SqlError> {
    let minus = cursor.peek().is_some_and(|token| token.text == "-");
    if minus {
        cursor.next();
    }
    let token = cursor.peek().ok_or_else(|| cursor.unexpected())?;
    let number: i32 = token.text.parse().map_err(|_| cursor.unexpected())?;
    cursor.next();
    let number = if minus { -number } else { number };
    if number < -1 {
        return Err(SqlError::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("invalid connection limit: {number}"),
        ));
    }
    Ok(number)
}

fn until(cursor: &mut Cursor<'_, '_>) -> Result<Option<walship_types::Timestamp>, SqlError> {
    let text = text(cursor)?;
    if text.eq_ignore_ascii_case("infinity") {
        return Ok(None);
    }
    // a day alone begins at its midnight
    let full = if text.contains(':') { text.clone() } else { format!("{} 00:00:00+00", text.trim()) };
    parse_timestamp(&full).map(Some).ok_or_else(|| {
        let message = format!("invalid input syntax for type timestamp with time zone: \"{text}\"");
        SqlError::new(SqlState::INVALID_DATETIME_FORMAT, message)
    })
}

fn everywhere(cursor: &mut Cursor<'_, '_>) -> Result<Level, SqlError> {
    let mut level = Level::Read;
    for name in names(cursor)? {
        match EVERYWHERE.iter().find(|(known, _)| *known == name) {
            Some((_, found)) => level = level.max(*found),
            None => {
                return Err(not_supported(
                    "membership in roles other than pg_read_all_data and pg_write_all_data",
                ));
            }
        }
    }
    Ok(level)
}

/// A statement as others may see it: every string behind the word PASSWORD is hidden.
pub(crate) fn without_passwords(text: &str) -> Cow<'_, str> {
    const WORD: &[u8] = b"password";
    if !text.as_bytes().windows(WORD.len()).any(|word| word.eq_ignore_ascii_case(WORD)) {
        return Cow::Borrowed(text);
    }
    let (mut shown, mut copied, mut is_next) = (String::new(), 0, false);
    for token in Lexer::new(text) {
        if is_next && token.kind != TokenKind::Word {
            shown.push_str(text.get(copied..token.start).unwrap_or_default());
            shown.push_str("'********'");
            copied = token.end();
        }
        is_next = token.is("password");
    }
    shown.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::split;

    fn change(sql: &str) -> Result<RoleChange, SqlError> {
        match Command::of(&split(sql)[0])? {
            Command::Role(change) => Ok(change),
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn roles_in_postgresqls_spelling() {
        let text = |text: &str| Some(Password::Text(text.to_owned()));
        let options = RoleOptions {
            login: Some(true),
            replication: Some(false),
            connection_limit: Some(-1),
            password: text("it's"),
            valid_until: Some(None),
            ..RoleOptions::default()
        };
        assert_eq!(
            change("CREATE USER \"Ann\" WITH NOREPLICATION ENCRYPTED PASSWORD 'it''s' CONNECTION LIMIT -1 VALID UNTIL 'infinity'")
                .unwrap(),
            RoleChange::Create { name: "Ann".to_owned(), options }
        );
        assert_eq!(
            change("alter role ann password null in role pg_read_all_data, pg_write_all_data").unwrap(),
            RoleChange::Alter {
                name: "ann".to_owned(),
                options: RoleOptions {
                    password: Some(Password::Null),
                    everywhere: Some(Level::Write),
                    ..RoleOptions::default()
                }
            }
        );
        assert_eq!(
            change("drop user if exists a, b").unwrap(),
            RoleChange::Drop { names: vec!["a".to_owned(), "b".to_owned()], if_exists: true }
        );
        assert!(change("create role x valid until '2030-01-01'").is_ok());
        for bad in [
            "create role",
            "create role x login nologin",
            "create role x password \"secret\"",
            "create role x connection limit many",
            "create role x in role other",
            "create role x shiny",
        ] {
            let error = change(bad).unwrap_err();
            assert!(!error.report().message.contains("secret"), "{bad}: {error:?}");
        }
    }

    #[test]
    fn grants_are_of_databases() {
        let roles = || vec!["ann".to_owned()];
        let shop = || Some("shop".to_owned());
        for (sql, expected) in [
            (
                "grant connect on database shop to ann",
                RoleChange::Grant { database: shop(), level: Level::Read, roles: roles() },
            ),
            (
                "GRANT ALL PRIVILEGES ON DATABASE shop TO ann",
                RoleChange::Grant { database: shop(), level: Level::Write, roles: roles() },
            ),
            (
                "grant pg_write_all_data to ann",
                RoleChange::Grant { database: None, level: Level::Write, roles: roles() },
            ),
            (
                "revoke insert, update on database shop from ann",
                RoleChange::Revoke { database: shop(), level: Level::Write, roles: roles() },
            ),
            (
                "revoke all on database shop from ann",
                RoleChange::Revoke { database: shop(), level: Level::Read, roles: roles() },
            ),
        ] {
            assert_eq!(change(sql).unwrap(), expected, "{sql}");
        }
        assert_eq!(change("grant select on t to ann").unwrap_err().state(), SqlState::FEATURE_NOT_SUPPORTED);
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(
            without_passwords("ALTER ROLE a PassWord 'x''y' LOGIN; create role b password null"),
            "ALTER ROLE a PassWord '********' LOGIN; create role b password null"
        );
        assert_eq!(without_passwords("create role a password \"oops\""), "create role a password '********'");
        assert_eq!(without_passwords("create role a password 'half"), "create role a password '********'");
        assert_eq!(without_passwords("select 1"), "select 1");
    }
}
