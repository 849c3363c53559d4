use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry};
use walship_settings::{Settings, Typed};

use super::events::{Collect, EventLog};
use super::file::{FilePlan, LogFiles};
use super::journal::{Journal, SOCKET};
use super::levels::{ByLevels, Levels};
use super::line::LogLine;
use crate::run::{Failure, Program};

/// Of the process, as its subscriber is.
static LEVELS: OnceLock<Arc<Levels>> = OnceLock::new();
static FILES: OnceLock<Arc<LogFiles>> = OnceLock::new();

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts logging: to standard error, to files (`logging_collector`) or to systemd's journal, as text or JSON
/// (`log_destination`), at the levels of `log_min_messages` and `log_module_levels`; the environment's `RUST_LOG`, if
/// set, gives levels instead. Later calls in one process change nothing.
pub(crate) fn start_logging(
    settings: &Settings,
    root: &Path,
    program: Program,
) -> Result<Arc<EventLog>, Failure> {
    let levels = Arc::new(Levels::default());
    levels.set(settings);
    let lines = match settings.text("log_destination").as_str() {
        "journal" => journal(program)?,
        destination => text_lines(writer(settings, root)?, destination == "jsonlog"),
    };
    let lines = match EnvFilter::try_from_default_env() {
        Ok(filter) => lines.with_filter(filter).boxed(),
        Err(_) => lines.with_filter(ByLevels(Arc::clone(&levels))).boxed(),
    };
    let events = Arc::new(EventLog::default());
    // events are kept whatever the level of the lines is
    let collect = Collect(Arc::clone(&events)).with_filter(LevelFilter::INFO);
    // a second start in one process (tests) keeps the first one's logging
    if tracing_subscriber::registry().with(lines).with(collect).try_init().is_ok() {
        let _ = LEVELS.set(levels);
    }
    Ok(events)
}

/// Puts changed levels into force.
pub(crate) fn set_levels(settings: &(impl Typed + ?Sized)) {
    if LEVELS.get().is_some_and(|levels| levels.set(settings)) {
        tracing::callsite::rebuild_interest_cache();
    }
}

/// The file that lines go to now, if they go to files.
pub(crate) fn current_log_file() -> Option<std::path::PathBuf> {
    FILES.get().map(|files| files.path())
}

fn text_lines(writer: BoxMakeWriter, json: bool) -> Lines {
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_target(false);
    match json {
        true => lines.json().flatten_event(true).boxed(),
        false => lines.event_format(LogLine).boxed(),
    }
}

fn journal(program: Program) -> Result<Lines, Failure> {
    let journal = Journal::connect(Path::new(SOCKET), program.name()).map_err(|error| {
        Failure::new(format!("could not connect to systemd's journal at \"{SOCKET}\": {error}"))
            .hint("set log_destination = stderr or jsonlog where there is no systemd")
    })?;
    Ok(journal.boxed())
}

fn writer(settings: &Settings, root: &Path) -> Result<BoxMakeWriter, Failure> {
    if !settings.bool("logging_collector") {
        return Ok(BoxMakeWriter::new(std::io::stderr));
    }
    let pattern = settings.text("log_filename");
    let directory = root.join(settings.text("log_directory"));
    if pattern.is_empty()
        || pattern.contains('/')
        || jiff::fmt::strtime::format(&pattern, jiff::Timestamp::now()).is_err()
    {
        return Err(Failure::new(format!("invalid log_filename \"{pattern}\""))
            .hint("it is the name of a file, without a folder, with conversions as strftime has them: walship-%Y-%m-%d.log"));
    }
    let group_reads = settings.integer("data_directory_mode") & 0o040 != 0;
    let plan = FilePlan {
        directory: directory.clone(),
        pattern,
        age: settings.timeout("log_rotation_age"),
        size: Some(settings.bytes("log_rotation_size")).filter(|size| *size > 0),
        truncate: settings.bool("log_truncate_on_rotation"),
        mode: if group_reads { 0o640 } else { 0o600 },
    };
    let files = LogFiles::open(plan).map_err(|error| {
        Failure::new(format!("could not open a log file in \"{}\": {error}", directory.display()))
    })?;
    let files = Arc::new(files);
    if std::io::stderr().is_terminal() {
        eprintln!("log lines go to \"{}\"", files.path().display());
    }
    let files = Arc::clone(FILES.get_or_init(|| files));
    Ok(BoxMakeWriter::new(files))
}
