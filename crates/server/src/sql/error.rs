use std::fmt;

use super::state::SqlState;

/// What an error does to the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed; the session goes on.
    Error,
    /// The session ends.
    Fatal,
    /// The whole process is about to end.
    Panic,
    /// Something went on in another way than asked; the statement goes on.
    Warning,
    /// Worth knowing.
    Notice,
}

impl Severity {
    /// As it stands in an ErrorResponse or NoticeResponse.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
            Severity::Panic => "PANIC",
            Severity::Warning => "WARNING",
            Severity::Notice => "NOTICE",
        }
    }
}

/// Everything that an ErrorResponse or NoticeResponse carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it does to the session.
    pub severity: Severity,
    /// The SQLSTATE.
    pub state: SqlState,
    /// The fact, with its values: lower case, no full stop.
    pub message: String,
    /// More facts.
    pub detail: Option<String>,
    /// Advice.
    pub hint: Option<String>,
    /// Where in the query text, in characters counted from 1.
    pub position: Option<usize>,
    /// What was being done, as "COPY t, line 3".
    pub context: Option<String>,
    /// The table concerned, where SQLite says which.
    pub table: Option<String>,
    /// The column concerned, where SQLite says which.
    pub column: Option<String>,
    /// The constraint concerned, where SQLite says which.
    pub constraint: Option<String>,
}

/// An error (or notice) on its way to the client.
#[derive(Clone, PartialEq, Eq)]
pub struct SqlError(Box<Report>);

impl SqlError {
    /// An ERROR: the statement fails, the session goes on.
    pub fn new(state: SqlState, message: impl Into<String>) -> SqlError {
        SqlError(Box::new(Report {
            severity: Severity::Error,
            state,
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            context: None,
            table: None,
            column: None,
            constraint: None,
        }))
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
        self.0.context = Some(context.into());
        self
    }

    /// The same with the objects that a constraint violation names.
    pub fn with_objects(
        mut self,
        table: Option<String>,
        column: Option<String>,
        constraint: Option<String>,
    ) -> SqlError {
        self.0.table = table;
        self.0.column = column;
        self.0.constraint = constraint;
        self
    }

    /// The SQLSTATE.
    pub fn state(&self) -> SqlState {
        self.0.state
    }

    /// Whether the session ends with it.
    pub fn ends_session(&self) -> bool {
        matches!(self.0.severity, Severity::Fatal | Severity::Panic)
    }

    /// All of its fields.
    pub fn report(&self) -> &Report {
        &self.0
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.0;
        write!(f, "{}: {}: {}", report.severity.as_str(), report.state, report.message)?;
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
