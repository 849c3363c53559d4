use std::sync::Arc;

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};
use walship_settings::{Settings, Typed as _};

use super::events::{Collect, EventLog};
use super::line::LogLine;

/// Starts logging to standard error; later calls change nothing. `log_min_messages`
/// gives the level, `log_destination = jsonlog` lines of JSON; the environment's
/// `RUST_LOG`, if set, gives levels per module instead.
pub(crate) fn start_logging(settings: &Settings) -> Arc<EventLog> {
    let level = match settings.text("log_min_messages").as_str() {
        "debug5" | "debug4" | "debug3" => "trace",
        "debug2" | "debug1" | "debug" => "debug",
        "error" | "log" | "fatal" | "panic" => "error",
        "warning" => "info",
        _ => "info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = if settings.text("log_destination").contains("jsonlog") {
        lines.json().flatten_event(true).with_filter(filter).boxed()
    } else {
        lines.event_format(LogLine).with_filter(filter).boxed()
    };
    let events = Arc::new(EventLog::default());
    // events are kept whatever the level of the lines is
    let collect = Collect(Arc::clone(&events)).with_filter(LevelFilter::INFO);
    // a second start in one process (tests) keeps the first one's logging
    let _ = tracing_subscriber::registry().with(lines).with(collect).try_init();
    events
}
