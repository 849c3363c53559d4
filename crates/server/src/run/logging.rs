use tracing_subscriber::EnvFilter;
use walship_settings::{Settings, Typed as _};

use super::log_line::LogLine;

/// Starts logging to standard error; later calls change nothing. `log_min_messages`
/// gives the level, `log_destination = jsonlog` lines of JSON; the environment's
/// `RUST_LOG`, if set, gives levels per module instead.
pub(crate) fn start_logging(settings: &Settings) {
    let level = match settings.text("log_min_messages").as_str() {
        "debug5" | "debug4" | "debug3" => "trace",
        "debug2" | "debug1" | "debug" => "debug",
        "error" | "log" | "fatal" | "panic" => "error",
        "warning" => "info",
        _ => "info",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    // a second start in one process (tests) keeps the first one's logging
    let _ = if settings.text("log_destination").contains("jsonlog") {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.event_format(LogLine).try_init()
    };
}
