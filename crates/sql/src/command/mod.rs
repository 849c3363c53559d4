//! Statements told apart by their first words, before SQLite sees them.

mod cursor;
mod role;
mod setting;
mod transaction;
mod wait;

pub(super) use self::cursor::Cursor;
pub(super) use self::role::without_passwords;
use self::role::{grant, role};
use self::setting::{alter_system, set, setting_name};
use self::transaction::transaction;
use self::wait::wait_for_lsn;
use walship_protocol::wire::SqlState;

use super::error::SqlError;
use super::lexer::{Token, TokenKind};
use crate::roles::RoleChange;

/// What a transaction statement asks of the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct TransactionModes {
    /// READ ONLY or READ WRITE, where it is said.
    pub read_only: Option<bool>,
    /// SQLite's BEGIN IMMEDIATE or EXCLUSIVE: the turn is taken at once.
    pub immediate: bool,
}

/// What DISCARD forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Discard {
    /// Everything that the session holds.
    All,
    /// Prepared plans.
    Plans,
    /// Cached sequence values: there are none.
    Sequences,
    /// Temporary tables.
    Temporary,
}

/// A statement, told apart as far as the session needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// Goes to SQLite.
    Sqlite,
    /// VACUUM: goes to SQLite, outside of transactions.
    Vacuum,
    /// PRAGMA: goes to SQLite if it is on the list.
    Pragma,
    /// BEGIN, START TRANSACTION.
    Begin(TransactionModes),
    /// COMMIT, END.
    Commit {
        /// AND CHAIN.
        chain: bool,
    },
    /// ROLLBACK, ABORT.
    Rollback {
        /// AND CHAIN.
        chain: bool,
    },
    /// SAVEPOINT name.
    Savepoint(String),
    /// RELEASE name.
    Release(String),
    /// ROLLBACK TO name.
    RollbackTo(String),
    /// SET TRANSACTION, and SET SESSION CHARACTERISTICS AS TRANSACTION.
    SetTransaction {
        /// The modes.
        modes: TransactionModes,
        /// For the session instead of the transaction.
        session: bool,
    },
    /// SET, SET LOCAL; no value means DEFAULT.
    Set {
        /// The setting.
        name: String,
        /// Its value as text.
        value: Option<String>,
        /// LOCAL.
        local: bool,
    },
    /// RESET; no name means ALL.
    Reset(Option<String>),
    /// SHOW; no name means ALL.
    Show(Option<String>),
    /// DISCARD.
    Discard(Discard),
    /// DEALLOCATE; no name means ALL.
    Deallocate(Option<String>),
    /// CLOSE of a cursor; no name means ALL.
    CloseCursor(Option<String>),
    /// UNLISTEN: nothing is ever listened to.
    Unlisten,
    /// CREATE DATABASE.
    CreateDatabase {
        /// Its name.
        name: String,
        /// WITH PAGE_SIZE = n.
        page_size: Option<u32>,
    },
    /// DROP DATABASE.
    DropDatabase {
        /// Its name.
        name: String,
        /// IF EXISTS.
        if_exists: bool,
    },
    /// CREATE, ALTER and DROP ROLE, GRANT, REVOKE.
    Role(RoleChange),
    /// CHECKPOINT.
    Checkpoint,
    /// ALTER SYSTEM SET/RESET; no name means all, no value means reset.
    AlterSystem {
        /// The setting.
        name: Option<String>,
        /// Its value.
        value: Option<String>,
    },
    /// WAIT FOR LSN.
    WaitForLsn {
        /// The position, as written.
        lsn: String,
        /// WITH (TIMEOUT '...'), in milliseconds.
        timeout_ms: Option<u64>,
        /// WITH (NO_THROW).
        no_throw: bool,
    },
    /// COPY; its grammar is its own.
    Copy,
}

impl Command {
    /// Tells a statement apart by its tokens, which are not empty.
    /// Positions of errors are byte offsets into the text, counted from 1.
    pub(super) fn of(tokens: &[Token<'_>]) -> Result<Command, SqlError> {
        let mut cursor = Cursor::new(tokens);
        let Some(first) = cursor.next().filter(|token| token.kind == TokenKind::Word) else {
            return Ok(Command::Sqlite);
        };
        let keyword = first.text.to_ascii_lowercase();
        let command = match keyword.as_str() {
            "begin" | "start" | "commit" | "end" | "rollback" | "abort" | "savepoint" | "release"
            | "prepare" => {
                return transaction(&keyword, &mut cursor);
            }
            "set" => return set(&mut cursor),
            "reset" | "show" => {
                let name = setting_name(&mut cursor)?;
                let name = Some(name).filter(|name| name != "all");
                if keyword == "show" { Command::Show(name) } else { Command::Reset(name) }
            }
            "discard" => Command::Discard(discard(&mut cursor)?),
            "deallocate" => {
                cursor.take(&["prepare"]);
                Command::Deallocate(named_or_all(&mut cursor)?)
            }
            "close" => Command::CloseCursor(named_or_all(&mut cursor)?),
            "unlisten" => return Ok(Command::Unlisten),
            "listen" | "notify" => return Err(no_notifications(&keyword)),
            "grant" | "revoke" => return grant(&keyword, &mut cursor),
            "declare" | "fetch" | "move" | "execute" | "lock" => {
                return Err(not_supported(&keyword));
            }
            "create" if cursor.take(&["database"]) => return create_database(&mut cursor),
            "drop" if cursor.take(&["database"]) => {
                let if_exists = cursor.take_all(&["if", "exists"]);
                Command::DropDatabase { name: cursor.name()?, if_exists }
            }
            "alter" if cursor.take(&["system"]) => return alter_system(&mut cursor),
            "create" | "alter" | "drop" => match role(&keyword, &mut cursor)? {
                Some(command) => return Ok(command),
                None => return Ok(Command::Sqlite),
            },
            "checkpoint" => Command::Checkpoint,
            "wait" => return wait_for_lsn(&mut cursor),
            "copy" => return Ok(Command::Copy),
            "vacuum" => return vacuum(tokens),
            "pragma" => return Ok(Command::Pragma),
            "attach" | "detach" => return Err(no_attach()),
            _ => return Ok(Command::Sqlite),
        };
        cursor.end()?;
        Ok(command)
    }

    /// Whether it may run in a transaction that has failed.
    pub(super) fn ends_transaction(&self) -> bool {
        matches!(self, Command::Commit { .. } | Command::Rollback { .. } | Command::RollbackTo(_))
    }

    /// Whether it stands outside of transactions; else its name for the error that says so.
    pub(super) fn refuses_transaction(&self) -> Option<&'static str> {
        match self {
            Command::Vacuum => Some("VACUUM"),
            Command::CreateDatabase { .. } => Some("CREATE DATABASE"),
            Command::DropDatabase { .. } => Some("DROP DATABASE"),
            Command::AlterSystem { .. } => Some("ALTER SYSTEM"),
            Command::Role(change) => Some(role_tag(change)),
            Command::Discard(Discard::All) => Some("DISCARD ALL"),
            Command::WaitForLsn { .. } => Some("WAIT FOR LSN"),
            _ => None,
        }
    }
}

/// The command tag of a change of roles.
pub fn role_tag(change: &RoleChange) -> &'static str {
    match change {
        RoleChange::Create { .. } => "CREATE ROLE",
        RoleChange::Alter { .. } | RoleChange::Rename { .. } => "ALTER ROLE",
        RoleChange::Drop { .. } => "DROP ROLE",
        RoleChange::Grant { .. } => "GRANT",
        RoleChange::Revoke { .. } => "REVOKE",
    }
}

fn discard(cursor: &mut Cursor<'_, '_>) -> Result<Discard, SqlError> {
    if cursor.take(&["all"]) {
        Ok(Discard::All)
    } else if cursor.take(&["plans"]) {
        Ok(Discard::Plans)
    } else if cursor.take(&["sequences"]) {
        Ok(Discard::Sequences)
    } else if cursor.take(&["temp", "temporary"]) {
        Ok(Discard::Temporary)
    } else {
        Err(cursor.unexpected())
    }
}

fn named_or_all(cursor: &mut Cursor<'_, '_>) -> Result<Option<String>, SqlError> {
    if cursor.take(&["all"]) { Ok(None) } else { cursor.name().map(Some) }
}

fn create_database(cursor: &mut Cursor<'_, '_>) -> Result<Command, SqlError> {
    let name = cursor.name()?;
    let mut page_size = None;
    cursor.take(&["with"]);
    while let Some(option) = cursor.next() {
        cursor.take_kind(TokenKind::Equals);
        let value = cursor.next().ok_or_else(|| cursor.unexpected())?;
        if !option.is("page_size") {
            return Err(SqlError::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!("option \"{}\" of CREATE DATABASE is not supported", option.text),
            )
            .with_hint("The one option is PAGE_SIZE, in bytes.")
            .at(Some(option.start + 1)));
        }
        page_size = Some(value.text.parse().map_err(|_| {
            SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid page size: \"{}\"", value.text))
        })?);
    }
    Ok(Command::CreateDatabase { name, page_size })
}

fn vacuum(tokens: &[Token<'_>]) -> Result<Command, SqlError> {
    if tokens.iter().any(|token| token.is("into")) {
        return Err(SqlError::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            "VACUUM INTO is not allowed: it would write a file on the server",
        )
        .with_hint("Use walctl export, which writes a copy of a database online."));
    }
    Ok(Command::Vacuum)
}

fn not_supported(keyword: &str) -> SqlError {
    let keyword = keyword.to_ascii_uppercase();
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, format!("{keyword} is not supported"))
}

fn no_notifications(keyword: &str) -> SqlError {
    not_supported(keyword).with_detail("There are no notifications between sessions.")
}

fn no_attach() -> SqlError {
    SqlError::new(
        SqlState::FEATURE_NOT_SUPPORTED,
        "ATTACH and DETACH are not allowed: a commit over several files could not be logged as one",
    )
    .with_hint("Connect to the other database instead; CREATE DATABASE makes a new one.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lexer::split;

    fn of(sql: &str) -> Result<Command, SqlError> {
        Command::of(&split(sql)[0])
    }

    #[test]
    fn transactions_in_both_spellings() {
        let plain = TransactionModes::default();
        let immediate = TransactionModes { immediate: true, ..plain };
        let read_only = TransactionModes { read_only: Some(true), ..plain };
        for (sql, expected) in [
            ("begin", Command::Begin(plain)),
            ("BEGIN IMMEDIATE TRANSACTION", Command::Begin(immediate)),
            ("begin deferred", Command::Begin(plain)),
            ("begin work isolation level serializable, read only", Command::Begin(read_only)),
            ("start transaction read only not deferrable", Command::Begin(read_only)),
            ("end", Command::Commit { chain: false }),
            ("commit and chain", Command::Commit { chain: true }),
            ("abort and no chain", Command::Rollback { chain: false }),
            ("rollback work to savepoint A", Command::RollbackTo("a".to_owned())),
            ("rollback to \"A b\"", Command::RollbackTo("A b".to_owned())),
            ("release s", Command::Release("s".to_owned())),
            ("savepoint s", Command::Savepoint("s".to_owned())),
        ] {
            assert_eq!(of(sql).unwrap(), expected, "{sql}");
        }
        assert_eq!(of("begin nonsense").unwrap_err().report().position, Some(7));
        assert_eq!(of("prepare transaction 'x'").unwrap_err().state(), SqlState::FEATURE_NOT_SUPPORTED);
    }

    #[test]
    fn settings_take_every_kind_of_value() {
        let set = |name: &str, value: Option<&str>, local| Command::Set {
            name: name.to_owned(),
            value: value.map(str::to_owned),
            local,
        };
        for (sql, expected) in [
            ("set a = 1", set("a", Some("1"), false)),
            ("SET LOCAL Lock_Timeout TO '5s'", set("lock_timeout", Some("5s"), true)),
            ("set session x.y to default", set("x.y", None, false)),
            ("set a to -1", set("a", Some("-1"), false)),
            ("set search_path = a, \"B\"", set("search_path", Some("a, B"), false)),
            ("set time zone 'UTC'", set("timezone", Some("UTC"), false)),
            ("set names 'utf8'", set("client_encoding", Some("utf8"), false)),
        ] {
            assert_eq!(of(sql).unwrap(), expected, "{sql}");
        }
        assert_eq!(of("show all").unwrap(), Command::Show(None));
        assert_eq!(of("show time zone").unwrap(), Command::Show(Some("timezone".to_owned())));
        assert!(of("set a").is_err());
        assert!(of("set a = ").is_err());
    }

    #[test]
    fn what_would_break_capture_is_refused() {
        for sql in
            ["attach 'x' as y", "detach y", "vacuum into 'x'", "listen x", "declare c cursor for select 1"]
        {
            assert_eq!(of(sql).unwrap_err().state(), SqlState::FEATURE_NOT_SUPPORTED, "{sql}");
        }
    }

    #[test]
    fn waits_have_units() {
        let wait = |timeout_ms, no_throw| Command::WaitForLsn { lsn: "0/1".to_owned(), timeout_ms, no_throw };
        assert_eq!(of("wait for lsn '0/1'").unwrap(), wait(None, false));
        assert_eq!(of("WAIT FOR LSN '0/1' WITH (TIMEOUT '2s', NO_THROW)").unwrap(), wait(Some(2000), true));
        assert_eq!(of("wait for lsn '0/1' with (timeout 100)").unwrap(), wait(Some(100), false));
        assert!(of("wait for lsn '0/1' with (timeout 'x')").is_err());
    }

    #[test]
    fn databases_and_the_system() {
        assert_eq!(
            of("create database shop with page_size = 8192").unwrap(),
            Command::CreateDatabase { name: "shop".to_owned(), page_size: Some(8192) }
        );
        assert_eq!(
            of("drop database if exists shop").unwrap(),
            Command::DropDatabase { name: "shop".to_owned(), if_exists: true }
        );
        assert_eq!(of("create table t (a)").unwrap(), Command::Sqlite);
        assert_eq!(of("alter system reset all").unwrap(), Command::AlterSystem { name: None, value: None });
    }
}
