use std::fmt::{self, Write as _};

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The field that is for programs only: the words of the message say the same.
const FOR_PROGRAMS: &str = "event";

/// Log lines for people, as PostgreSQL writes them with `log_line_prefix = '%m [%p] '`:
/// one line for each event, its message and then the values that the message does not say.
pub(super) struct LogLine;

impl<S, N> FormatEvent<S, N> for LogLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let now = Timestamp::now().strftime("%Y-%m-%d %H:%M:%S%.3f UTC");
        let pid = std::process::id();
        writeln!(writer, "{now} [{pid}] {}:  {}", severity(*event.metadata().level()), parts.text())
    }
}

/// PostgreSQL's word for a level.
pub(super) fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "ERROR",
        Level::WARN => "WARNING",
        Level::INFO => "LOG",
        Level::DEBUG | Level::TRACE => "DEBUG",
    }
}

/// What an event says.
#[derive(Default)]
pub(super) struct Parts {
    /// The word that names what has happened, if it is something for operators.
    pub(super) event: Option<String>,
    message: String,
    error: Option<String>,
    hint: Option<String>,
    values: Vec<(&'static str, String)>,
}

impl Parts {
    fn add(&mut self, name: &'static str, value: String) {
        match name {
            FOR_PROGRAMS => self.event = Some(value),
            "message" => self.message = value,
            "error" => self.error = Some(value),
            "hint" => self.hint = Some(value),
            _ => self.values.push((name, value)),
        }
    }

    /// What the line has besides its message.
    pub(super) fn values(&self) -> &[(&'static str, String)] {
        &self.values
    }

    /// `message: error (name value, name value); hint: ...`, on one line.
    pub(super) fn text(&self) -> String {
        let mut text = self.message.clone();
        if let Some(error) = self.error.as_ref().filter(|error| !text.contains(*error)) {
            // writing to a string cannot fail
            let _ = write!(text, ": {error}");
        }
        let unsaid = self.values.iter().filter(|(_, value)| !value.is_empty() && !says(&text, value));
        let unsaid: Vec<String> =
            unsaid.map(|(name, value)| format!("{} {value}", name.replace('_', " "))).collect();
        if !unsaid.is_empty() {
            let _ = write!(text, " ({})", unsaid.join(", "));
        }
        if let Some(hint) = &self.hint {
            let _ = write!(text, "; hint: {hint}");
        }
        text.replace('\n', " ")
    }
}

/// Whether the words of a text include a value.
fn says(text: &str, value: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(value).any(|(at, _)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + value.len()..).and_then(|after| after.chars().next());
        !before.is_some_and(inside) && !after.is_some_and(inside)
    })
}

impl Visit for Parts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(parts: &[(&'static str, &str)]) -> String {
        let mut all = Parts::default();
        for (name, value) in parts {
            all.add(name, (*value).to_owned());
        }
        all.text()
    }

    #[test]
    fn a_line_says_everything_once() {
        let listening = [("event", "listening"), ("address", "a:1"), ("message", "listening on a:1")];
        assert_eq!(text(&listening), "listening on a:1");
        let checkpoint =
            [("message", "checkpoint complete"), ("redo", "0/10"), ("removed_segments", "0"), ("none", "")];
        assert_eq!(text(&checkpoint), "checkpoint complete (redo 0/10, removed segments 0)");
        let failed = [("message", "could not accept"), ("error", "too many\nfiles"), ("hint", "close some")];
        assert_eq!(text(&failed), "could not accept: too many files; hint: close some");
        assert_eq!(text(&[("message", "end at 0/100"), ("left", "10")]), "end at 0/100 (left 10)");
    }
}
