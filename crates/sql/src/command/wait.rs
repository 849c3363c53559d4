use walship_protocol::wire::SqlState;

use super::{Command, Cursor};
use crate::error::SqlError;
use crate::lexer::TokenKind;

pub(super) fn wait_for_lsn(cursor: &mut Cursor<'_, '_>) -> Result<Command, SqlError> {
    cursor.expect("for")?;
    cursor.expect("lsn")?;
    let Some(lsn) = cursor.peek().filter(|token| token.kind == TokenKind::String) else {
        return Err(cursor.unexpected());
    };
    cursor.next();
    let (mut timeout_ms, mut no_throw) = (None, false);
    cursor.take(&["with"]);
    if cursor.take_kind(TokenKind::Open) {
        loop {
            if cursor.take(&["timeout"]) {
                let value = cursor.next().ok_or_else(|| cursor.unexpected())?;
                timeout_ms = milliseconds(&value.value())?;
            } else if cursor.take(&["no_throw"]) {
                no_throw = true;
            } else {
                return Err(cursor.unexpected());
            }
            if cursor.take_kind(TokenKind::Close) {
                break;
            }
            if !cursor.take_kind(TokenKind::Comma) {
                return Err(cursor.unexpected());
            }
        }
    }
    cursor.end()?;
    Ok(Command::WaitForLsn { lsn: lsn.value(), timeout_ms, no_throw })
}

// 0 waits for ever, as in PostgreSQL
fn milliseconds(text: &str) -> Result<Option<u64>, SqlError> {
    let trimmed = text.trim();
    let digits = trimmed.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == ' ');
    let factor = match trimmed.get(digits.len()..).map(str::trim) {
        Some("" | "ms") => Some(1),
        Some("s") => Some(1_000),
        Some("min") => Some(60_000),
        Some("h") => Some(3_600_000),
        _ => None,
    };
    let value =
        digits.parse::<u64>().ok().zip(factor).and_then(|(number, factor)| number.checked_mul(factor));
    let invalid =
        || SqlError::new(SqlState::INVALID_PARAMETER_VALUE, format!("invalid timeout value: \"{text}\""));
    Ok(Some(value.ok_or_else(invalid)?).filter(|&value| value > 0))
}
