use std::fmt;

use super::sqlstate::SqlState;

/// How bad an error or notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The command failed.
    Error,
    /// The connection ends.
    Fatal,
    /// The process ends.
    Panic,
    /// Something to think about.
    Warning,
    /// Something to know.
    Notice,
}

impl Severity {
    /// The word that the protocol has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "ERROR",
            Severity::Fatal => "FATAL",
            Severity::Panic => "PANIC",
            Severity::Warning => "WARNING",
            Severity::Notice => "NOTICE",
        }
    }

    fn parse(word: &str) -> Severity {
        match word {
            "FATAL" => Severity::Fatal,
            "PANIC" => Severity::Panic,
            "WARNING" => Severity::Warning,
            "ERROR" => Severity::Error,
            _ => Severity::Notice,
        }
    }
}

/// What an error is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ErrorSubject {
    /// What was being done, as "COPY t, line 3".
    pub context: Option<String>,
    /// The table concerned.
    pub table: Option<String>,
    /// The column concerned.
    pub column: Option<String>,
    /// The constraint concerned.
    pub constraint: Option<String>,
}

/// What an ErrorResponse or NoticeResponse carries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ErrorFields {
    /// How bad it is.
    pub severity: Severity,
    /// The SQLSTATE.
    pub sqlstate: SqlState,
    /// What happened, with its values.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Where in the statement, in characters from 1.
    pub position: Option<usize>,
    /// What it is about; boxed, as few errors say it and many are passed on.
    pub subject: Option<Box<ErrorSubject>>,
}

impl ErrorFields {
    /// An error.
    pub fn error(sqlstate: impl Into<SqlState>, message: impl Into<String>) -> ErrorFields {
        ErrorFields {
            severity: Severity::Error,
            sqlstate: sqlstate.into(),
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            subject: None,
        }
    }

    /// The same, ending the connection.
    pub fn fatal(mut self) -> ErrorFields {
        self.severity = Severity::Fatal;
        self
    }

    /// The same with a hint.
    pub fn with_hint(mut self, hint: impl Into<String>) -> ErrorFields {
        self.hint = Some(hint.into());
        self
    }

    /// The same with a detail.
    pub fn with_detail(mut self, detail: impl Into<String>) -> ErrorFields {
        self.detail = Some(detail.into());
        self
    }

    /// What it is about, to be said.
    pub fn subject_mut(&mut self) -> &mut ErrorSubject {
        self.subject.get_or_insert_default()
    }

    /// Hands over field codes and values in the order in which PostgreSQL sends them.
    pub fn each_field(&self, mut field: impl FnMut(u8, &str)) {
        let severity = self.severity.as_str();
        let position = self.position.map(|position| position.to_string());
        let subject = self.subject.as_deref();
        let about = |part: fn(&ErrorSubject) -> &Option<String>| subject.and_then(|s| part(s).as_deref());
        let fields = [
            (b'S', Some(severity)),
            (b'V', Some(severity)),
            (b'C', Some(self.sqlstate.as_str())),
            (b'M', Some(self.message.as_str())),
            (b'D', self.detail.as_deref()),
            (b'H', self.hint.as_deref()),
            (b'P', position.as_deref()),
            (b'W', about(|subject| &subject.context)),
            (b't', about(|subject| &subject.table)),
            (b'c', about(|subject| &subject.column)),
            (b'n', about(|subject| &subject.constraint)),
        ];
        for (code, value) in fields {
            if let Some(value) = value {
                field(code, value);
            }
        }
    }

    /// From field codes and values; unknown ones are skipped.
    pub fn from_fields(fields: impl IntoIterator<Item = (u8, String)>) -> ErrorFields {
        let mut error = ErrorFields::error(SqlState::INTERNAL_ERROR, "");
        for (code, value) in fields {
            match code {
                b'V' => error.severity = Severity::parse(&value),
                b'C' => error.sqlstate = SqlState::new(&value),
                b'M' => error.message = value,
                b'D' => error.detail = Some(value),
                b'H' => error.hint = Some(value),
                b'P' => error.position = value.parse().ok(),
                b'W' => error.subject_mut().context = Some(value),
                b't' => error.subject_mut().table = Some(value),
                b'c' => error.subject_mut().column = Some(value),
                b'n' => error.subject_mut().constraint = Some(value),
                _ => {}
            }
        }
        error
    }
}

/// The message, then its SQLSTATE; detail and hint are for those who ask.
impl fmt::Display for ErrorFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.sqlstate)
    }
}
