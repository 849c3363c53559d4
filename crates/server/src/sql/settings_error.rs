use walship_settings::SettingError;

use super::error::SqlError;
use super::state::SqlState;

/// A setting's error as the client gets it.
pub(super) fn setting_error(error: &SettingError) -> SqlError {
    let known = [
        SqlState::UNDEFINED_OBJECT,
        SqlState::INVALID_PARAMETER_VALUE,
        SqlState::INSUFFICIENT_PRIVILEGE,
        SqlState::CANT_CHANGE_RUNTIME_PARAM,
        SqlState("53400"),
    ];
    let state = known.into_iter().find(|state| state.as_str() == error.sqlstate());
    let reported = SqlError::new(state.unwrap_or(SqlState::INTERNAL_ERROR), error.to_string());
    match error.hint() {
        Some(hint) => reported.with_hint(hint),
        None => reported,
    }
}
