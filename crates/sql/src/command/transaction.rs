use walship_protocol::wire::SqlState;

use super::{Command, Cursor, TransactionModes, not_supported};
use crate::error::SqlError;
use crate::lexer::TokenKind;

pub(super) fn transaction(keyword: &str, cursor: &mut Cursor<'_, '_>) -> Result<Command, SqlError> {
    let command = match keyword {
        "start" => {
            cursor.expect("transaction")?;
            Command::Begin(modes(cursor)?)
        }
        "begin" => {
            let immediate = cursor.take(&["immediate", "exclusive"]);
            cursor.take(&["deferred"]);
            cursor.take(&["work", "transaction"]);
            let modes = modes(cursor)?;
            Command::Begin(TransactionModes { immediate, ..modes })
        }
        "commit" | "end" => {
            if cursor.take(&["prepared"]) {
                return Err(no_two_phase());
            }
            cursor.take(&["work", "transaction"]);
            Command::Commit { chain: chain(cursor)? }
        }
        "rollback" | "abort" => {
            if cursor.take(&["prepared"]) {
                return Err(no_two_phase());
            }
            cursor.take(&["work", "transaction"]);
            if cursor.take(&["to"]) {
                cursor.take(&["savepoint"]);
                Command::RollbackTo(cursor.name()?)
            } else {
                Command::Rollback { chain: chain(cursor)? }
            }
        }
        "savepoint" => Command::Savepoint(cursor.name()?),
        "release" => {
            cursor.take(&["savepoint"]);
            Command::Release(cursor.name()?)
        }
        _ if cursor.take(&["transaction"]) => return Err(no_two_phase()),
        _ => return Err(not_supported("prepare")),
    };
    cursor.end()?;
    Ok(command)
}

// isolation levels are read and not kept: every SQLite transaction is serializable
pub(super) fn modes(cursor: &mut Cursor<'_, '_>) -> Result<TransactionModes, SqlError> {
    let mut modes = TransactionModes::default();
    loop {
        if cursor.take_all(&["isolation", "level"]) {
            let known = cursor.take(&["serializable"])
                || cursor.take_all(&["repeatable", "read"])
                || cursor.take_all(&["read", "committed"])
                || cursor.take_all(&["read", "uncommitted"]);
            if !known {
                return Err(cursor.unexpected());
            }
        } else if cursor.take_all(&["read", "only"]) {
            modes.read_only = Some(true);
        } else if cursor.take_all(&["read", "write"]) {
            modes.read_only = Some(false);
        } else if !(cursor.take_all(&["not", "deferrable"]) || cursor.take(&["deferrable"])) {
            return Ok(modes);
        }
        cursor.take_kind(TokenKind::Comma);
    }
}

fn chain(cursor: &mut Cursor<'_, '_>) -> Result<bool, SqlError> {
    if !cursor.take(&["and"]) {
        return Ok(false);
    }
    let chain = !cursor.take(&["no"]);
    cursor.expect("chain")?;
    Ok(chain)
}

fn no_two_phase() -> SqlError {
    SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "two-phase commit is not supported")
}
