use std::fmt;

use walship_protocol::wire::{ErrorFields, Severity, SqlState};

/// An error (or notice) on its way to the client.
#[derive(Clone, PartialEq, Eq)]
pub struct SqlError(Box<ErrorFields>);

impl SqlError {
    /// An ERROR: the statement fails, the session goes on.
    pub fn new(state: impl Into<SqlState>, message: impl Into<String>) -> SqlError {
        SqlError(Box::new(ErrorFields::error(state, message)))
    }

    /// A FATAL error: the session ends.
    pub fn fatal(state: SqlState, message: impl Into<String>) -> SqlError {
        SqlError::new(state, message).with_severity(Severity::Fatal)
    }

    /// A WARNING, sent as a NoticeResponse.
    pub fn warning(state: SqlState, message: impl Into<String>) -> SqlError {
        SqlError::new(state, message).with_severity(Severity::Warning)
    }

    /// A NOTICE, sent as a NoticeResponse.
    pub fn notice(state: SqlState, message: impl Into<String>) -> SqlError {
        SqlError::new(state, message).with_severity(Severity::Notice)
    }

    /// The same with another severity.
    pub fn with_severity(mut self, severity: Severity) -> SqlError {
        self.0.severity = severity;
        self
    }

    /// The same with more facts.
    pub fn with_detail(mut self, detail: impl Into<String>) -> SqlError {
        self.0.detail = Some(detail.into());
        self
    }

    /// The same with advice.
    pub fn with_hint(mut self, hint: impl Into<String>) -> SqlError {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same with a place in the query text, in characters counted from 1.
    pub fn at(mut self, position: Option<usize>) -> SqlError {
        self.0.position = position;
        self
    }

    /// The same with what was being done.
    pub fn with_context(mut self, context: impl Into<String>) -> SqlError {
        self.0.subject_mut().context = Some(context.into());
        self
    }

    /// The same with the objects that a constraint violation names.
    pub fn with_objects(
        mut self,
        table: Option<String>,
        column: Option<String>,
        constraint: Option<String>,
    ) -> SqlError {
        let subject = self.0.subject_mut();
        subject.table = table;
        subject.column = column;
        subject.constraint = constraint;
        self
    }

    /// The SQLSTATE.
    pub fn state(&self) -> SqlState {
        self.0.sqlstate
    }

    /// Whether the session ends with it.
    pub fn ends_session(&self) -> bool {
        matches!(self.0.severity, Severity::Fatal | Severity::Panic)
    }

    /// All of its fields.
    pub fn report(&self) -> &ErrorFields {
        &self.0
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.0;
        write!(f, "{}: {}: {}", report.severity.as_str(), report.sqlstate, report.message)?;
        if let Some(detail) = &report.detail {
            write!(f, " (detail: {detail})")?;
        }
        if let Some(hint) = &report.hint {
            write!(f, " (hint: {hint})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for SqlError {}

impl From<ErrorFields> for SqlError {
    fn from(fields: ErrorFields) -> SqlError {
        SqlError(Box::new(fields))
    }
}

impl From<SqlError> for ErrorFields {
    fn from(error: SqlError) -> ErrorFields {
        *error.0
    }
}

impl From<&walship_settings::SettingError> for SqlError {
    fn from(error: &walship_settings::SettingError) -> SqlError {
        let told = SqlError::new(error.sqlstate(), error.to_string());
        match error.hint() {
            Some(hint) => told.with_hint(hint),
            None => told,
        }
    }
}

impl From<walship_settings::SettingError> for SqlError {
    fn from(error: walship_settings::SettingError) -> SqlError {
        SqlError::from(&error)
    }
}
