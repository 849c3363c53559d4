use std::fmt;

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

/// What an ErrorResponse or NoticeResponse carries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ErrorFields {
    /// How bad it is.
    pub severity: Severity,
    /// SQLSTATE, five characters.
    pub sqlstate: String,
    /// What happened, with its values.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Where in the statement, in characters from 1.
    pub position: Option<usize>,
}

impl ErrorFields {
    /// An error.
    pub fn error(sqlstate: &str, message: impl Into<String>) -> ErrorFields {
        ErrorFields {
            severity: Severity::Error,
            sqlstate: sqlstate.to_owned(),
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
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

    /// Field codes and values in the order in which PostgreSQL sends them.
    pub fn to_fields(&self) -> Vec<(u8, String)> {
        let severity = self.severity.as_str().to_owned();
        let mut fields = vec![
            (b'S', severity.clone()),
            (b'V', severity),
            (b'C', self.sqlstate.clone()),
            (b'M', self.message.clone()),
        ];
        fields.extend(self.detail.clone().map(|detail| (b'D', detail)));
        fields.extend(self.hint.clone().map(|hint| (b'H', hint)));
        fields.extend(self.position.map(|position| (b'P', position.to_string())));
        fields
    }

    /// From field codes and values; unknown ones are skipped.
    pub fn from_fields(fields: impl IntoIterator<Item = (u8, String)>) -> ErrorFields {
        let mut error = ErrorFields::error("XX000", "");
        for (code, value) in fields {
            match code {
                b'V' => error.severity = Severity::parse(&value),
                b'C' => error.sqlstate = value,
                b'M' => error.message = value,
                b'D' => error.detail = Some(value),
                b'H' => error.hint = Some(value),
                b'P' => error.position = value.parse().ok(),
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
