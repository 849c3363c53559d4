use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::conf_file::{ConfEntry, parse_conf};
use crate::settings::known;
use crate::{AUTO_CONF_FILE, Context, Contradiction, SettingError, Settings, Source, contradictions};

/// The main configuration file in the data directory.
pub const CONF_FILE: &str = "postgresql.conf";

/// Files that include files that include files.
const INCLUDE_DEPTH_MAX: usize = 10;
/// A configuration file is written by people; a larger one is something else.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A value from the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The setting.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Override {
    /// Reads `name=value`; dashes in the name stand for underscores, as in PostgreSQL's `--name=value`.
    pub fn parse(text: &str) -> Option<Override> {
        let (name, value) = text.split_once('=')?;
        (!name.is_empty()).then(|| Override { name: name.replace('-', "_"), value: value.to_owned() })
    }
}

/// Where something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line of a file, counted from 1.
    Line(PathBuf, u32),
    /// The command line.
    CommandLine,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line(path, line) => write!(f, "{} line {line}", path.display()),
            Place::CommandLine => f.write_str("command line"),
        }
    }
}

/// One thing wrong with the configuration.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {cause}")]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What.
    #[source]
    pub cause: ProblemCause,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum ProblemCause {
    /// Not `name = value`.
    #[error("syntax error near \"{0}\"")]
    Syntax(String),
    /// No such setting, a bad value, or one that may not stand here.
    #[error("{0}")]
    Setting(#[from] SettingError),
    /// A file that the line includes cannot be read.
    #[error("could not read {path}: {source}", path = path.display())]
    Include {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Files include one another.
    #[error("files included {INCLUDE_DEPTH_MAX} deep")]
    IncludeDepth,
}

impl ProblemCause {
    fn hint(&self) -> Option<String> {
        match self {
            ProblemCause::Setting(error) => error.hint(),
            _ => None,
        }
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A configuration file cannot be read.
    #[error("could not read configuration file {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Lines that mean nothing, every one of them.
    #[error("{}", each(.0))]
    Problems(Vec<Problem>),
    /// Values that are valid one by one and not together.
    #[error("{}", each(.0))]
    Contradictions(Vec<Contradiction>),
}

impl LoadError {
    /// Everything that is wrong, each with what is allowed instead, where there is advice.
    pub fn each(&self) -> Vec<(String, Option<String>)> {
        match self {
            LoadError::Read { .. } => vec![(self.to_string(), None)],
            LoadError::Problems(problems) => {
                problems.iter().map(|problem| (problem.to_string(), problem.cause.hint())).collect()
            }
            LoadError::Contradictions(all) => {
                all.iter().map(|one| (one.to_string(), Some(one.hint.clone()))).collect()
            }
        }
    }

    /// What is allowed instead, for the first problem that has advice.
    pub fn hint(&self) -> Option<String> {
        self.each().into_iter().find_map(|(_, hint)| hint)
    }
}

fn each<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join("; ")
}

/// Reads the configuration of a data directory: `postgresql.conf` and what it includes, then `postgresql.auto.conf`,
/// then the command line; the later wins. `base` holds the server's own facts and defaults. A missing
/// `postgresql.conf` is an error, a missing `postgresql.auto.conf` is not.
pub fn load(directory: &Path, overrides: &[Override], base: Settings) -> Result<Settings, LoadError> {
    let mut reader = Reader { settings: base, problems: Vec::new() };
    let main = directory.join(CONF_FILE);
    let text = read_bounded(&main).map_err(|source| LoadError::Read { path: main.clone(), source })?;
    reader.file(&main, &text, 0);

    let auto = directory.join(AUTO_CONF_FILE);
    match read_bounded(&auto) {
        Ok(text) => reader.file(&auto, &text, 0),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(LoadError::Read { path: auto, source }),
    }
    for given in overrides {
        reader.set(&given.name, &given.value, Place::CommandLine);
    }
    if !reader.problems.is_empty() {
        return Err(LoadError::Problems(reader.problems));
    }
    match contradictions(&reader.settings) {
        found if found.is_empty() => Ok(reader.settings),
        found => Err(LoadError::Contradictions(found)),
    }
}

pub(crate) fn read_bounded(path: &Path) -> io::Result<String> {
    let size = std::fs::metadata(path)?.len();
    if size > FILE_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("{size} bytes, more than the {FILE_BYTES_MAX} that a configuration file may have"),
        ));
    }
    std::fs::read_to_string(path)
}

struct Reader {
    settings: Settings,
    problems: Vec<Problem>,
}

impl Reader {
    fn file(&mut self, path: &Path, text: &str, depth: usize) {
        let (entries, errors) = parse_conf(text);
        for error in errors {
            let place = Place::Line(path.to_owned(), error.line);
            self.problems.push(Problem { place, cause: ProblemCause::Syntax(error.near) });
        }
        for entry in entries {
            match entry.name.to_ascii_lowercase().as_str() {
                "include" => self.include(path, &entry, depth, true),
                "include_if_exists" => self.include(path, &entry, depth, false),
                _ => self.set(&entry.name, &entry.value, Place::Line(path.to_owned(), entry.line)),
            }
        }
    }

    fn include(&mut self, from: &Path, entry: &ConfEntry, depth: usize, required: bool) {
        let place = Place::Line(from.to_owned(), entry.line);
        if depth >= INCLUDE_DEPTH_MAX {
            return self.problems.push(Problem { place, cause: ProblemCause::IncludeDepth });
        }
        let path = from.parent().unwrap_or(Path::new(".")).join(&entry.value);
        match read_bounded(&path) {
            Ok(text) => self.file(&path, &text, depth + 1),
            Err(error) if !required && error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => {
                self.problems.push(Problem { place, cause: ProblemCause::Include { path, source } });
            }
        }
    }

    fn set(&mut self, name: &str, text: &str, place: Place) {
        let parsed = known(name).and_then(|definition| match definition.context {
            Context::Internal => Err(SettingError::Fixed { name: definition.name }),
            _ => definition.parse(text),
        });
        match parsed {
            Ok(value) => {
                let source = match place {
                    Place::Line(path, line) => Source::File { path, line },
                    Place::CommandLine => Source::CommandLine,
                };
                self.settings.put(name, value, source);
            }
            Err(error) => self.problems.push(Problem { place, cause: error.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Typed;

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    }

    #[test]
    fn later_places_win() {
        let dir = directory(&[
            (
                CONF_FILE,
                "port = 1\nmax_connections = 10\ninclude 'more.conf'\ninclude_if_exists = 'none.conf'",
            ),
            ("more.conf", "max_connections = 20\nlock_timeout = 1s"),
            (AUTO_CONF_FILE, "port = 2"),
        ]);
        let overrides = [Override::parse("lock-timeout=2s").unwrap()];
        let settings = load(dir.path(), &overrides, Settings::defaults()).unwrap();
        assert_eq!(settings.integer("port"), 2);
        assert_eq!(settings.integer("max_connections"), 20);
        assert_eq!(settings.show("lock_timeout").unwrap(), "2s");
        assert_eq!(settings.source("lock_timeout"), Some(&Source::CommandLine));
        let place = Source::File { path: dir.path().join("more.conf"), line: 1 };
        assert_eq!(settings.source("max_connections"), Some(&place));
    }

    #[test]
    fn every_problem_is_named_with_file_line_and_value() {
        let dir = directory(&[(
            CONF_FILE,
            "nope = 1\nport = x\nport\nserver_version = '9'\ninclude 'gone'\ninclude 'postgresql.conf'",
        )]);
        let overrides = [Override { name: "port".to_owned(), value: "0".to_owned() }];
        let error = load(dir.path(), &overrides, Settings::defaults()).unwrap_err();
        let conf = dir.path().join(CONF_FILE);
        let message = error.to_string();
        for expected in [
            format!("{} line 1: unrecognized configuration parameter \"nope\"", conf.display()),
            format!("{} line 2: invalid value for parameter \"port\": \"x\"", conf.display()),
            format!("{} line 3: syntax error near \"end of line\"", conf.display()),
            format!("{} line 4: parameter \"server_version\" cannot be changed", conf.display()),
            format!("{} line 5: could not read {}", conf.display(), dir.path().join("gone").display()),
            format!("{} line 6: files included 10 deep", conf.display()),
            "command line: 0 is outside the valid range for parameter \"port\" (1 .. 65535)".to_owned(),
        ] {
            assert!(message.contains(&expected), "{expected:?} not in {message}");
        }
        let missing = load(Path::new("/nonexistent"), &[], Settings::defaults()).unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/postgresql.conf"), "{missing}");
    }
}
