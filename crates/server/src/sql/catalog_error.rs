use super::error::SqlError;
use super::state::SqlState;
use crate::catalog;

impl From<catalog::SqlError> for SqlError {
    fn from(error: catalog::SqlError) -> SqlError {
        let mut told = SqlError::new(SqlState(error.sqlstate), error.message);
        if let Some(detail) = error.detail {
            told = told.with_detail(detail);
        }
        match error.hint {
            Some(hint) => told.with_hint(hint),
            None => told,
        }
    }
}
