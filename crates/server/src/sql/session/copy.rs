use std::io::{Read, Write};

use super::{Session, Stop};
use crate::sql::error::SqlError;
use crate::sql::lexer::Token;
use crate::sql::state::SqlState;

impl<S: Read + Write> Session<S> {
    /// COPY.
    pub(super) fn copy(&mut self, _text: &str, _tokens: &[Token<'_>]) -> Result<(), Stop> {
        Err(SqlError::new(SqlState::FEATURE_NOT_SUPPORTED, "COPY is not supported").into())
    }
}
