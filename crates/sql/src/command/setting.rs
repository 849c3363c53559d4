use super::transaction::modes;
use super::{Command, Cursor};
use crate::error::SqlError;
use crate::lexer::TokenKind;

pub(super) fn set(cursor: &mut Cursor<'_, '_>) -> Result<Command, SqlError> {
    if cursor.take_all(&["session", "characteristics", "as", "transaction"]) {
        let modes = modes(cursor)?;
        cursor.end()?;
        return Ok(Command::SetTransaction { modes, session: true });
    }
    let local = cursor.take(&["local"]);
    cursor.take(&["session"]);
    if cursor.take(&["transaction"]) {
        let modes = modes(cursor)?;
        cursor.end()?;
        return Ok(Command::SetTransaction { modes, session: false });
    }
    let name = setting_name(cursor)?;
    let takes_value_directly = matches!(name.as_str(), "timezone" | "client_encoding");
    if !(cursor.take(&["to"]) || cursor.take_kind(TokenKind::Equals) || takes_value_directly) {
        return Err(cursor.unexpected());
    }
    let value = setting_value(cursor)?;
    cursor.end()?;
    Ok(Command::Set { name, value, local })
}

// a name, possibly of two parts, or one of the spellings with a space
pub(super) fn setting_name(cursor: &mut Cursor<'_, '_>) -> Result<String, SqlError> {
    if cursor.take_all(&["time", "zone"]) {
        return Ok("timezone".to_owned());
    }
    if cursor.take_all(&["transaction", "isolation", "level"]) {
        return Ok("transaction_isolation".to_owned());
    }
    if cursor.take(&["names"]) {
        return Ok("client_encoding".to_owned());
    }
    if cursor.take_all(&["session", "authorization"]) {
        return Ok("session_authorization".to_owned());
    }
    let mut name = cursor.name()?;
    while cursor.take_kind(TokenKind::Dot) {
        name = format!("{name}.{}", cursor.name()?);
    }
    Ok(name)
}

// one value, or a list of them; `None` is DEFAULT
fn setting_value(cursor: &mut Cursor<'_, '_>) -> Result<Option<String>, SqlError> {
    if cursor.take(&["default"]) {
        return Ok(None);
    }
    let mut values = Vec::new();
    loop {
        let mut value = String::new();
        match cursor.peek() {
            Some(sign) if matches!(sign.text, "-" | "+") => {
                cursor.next();
                value.push_str(if sign.text == "-" { "-" } else { "" });
            }
            _ => {}
        }
        match cursor.peek() {
            Some(token)
                if matches!(
                    token.kind,
                    TokenKind::Word | TokenKind::QuotedIdentifier | TokenKind::String | TokenKind::Number
                ) =>
            {
                value.push_str(&token.value());
                cursor.next();
            }
            _ => return Err(cursor.unexpected()),
        }
        values.push(value);
        if !cursor.take_kind(TokenKind::Comma) {
            return Ok(Some(values.join(", ")));
        }
    }
}

pub(super) fn alter_system(cursor: &mut Cursor<'_, '_>) -> Result<Command, SqlError> {
    let command = if cursor.take(&["reset"]) {
        let name = setting_name(cursor)?;
        Command::AlterSystem { name: Some(name).filter(|name| name != "all"), value: None }
    } else {
        cursor.expect("set")?;
        let name = setting_name(cursor)?;
        if !(cursor.take(&["to"]) || cursor.take_kind(TokenKind::Equals)) {
            return Err(cursor.unexpected());
        }
        Command::AlterSystem { name: Some(name), value: setting_value(cursor)? }
    };
    cursor.end()?;
    Ok(command)
}
