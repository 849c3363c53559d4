use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::command::{Placeholders, run_command};
use crate::compressed::Compression;
use crate::error::{ArchiveError, CommandOutcome};
use crate::name::PARTIAL_SUFFIX;

/// Bytes that are copied at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Compressed files that are told from missing ones, and not read.
const UNREADABLE: [(&str, &str); 2] = [(".xz", "xz"), (".bz2", "bzip2")];

/// Where archived files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Archive {
    /// A directory: segments as they are, or compressed under `NAME.gz` or `NAME.lz4`, as
    /// `pg_receivewal` leaves them, or `NAME.zst`.
    Directory(PathBuf),
    /// A command for the shell, which puts the file `%f` at the path `%p`, and fails when
    /// there is none.
    Command {
        /// The command.
        template: String,
        /// The data directory, in which it runs.
        directory: PathBuf,
        /// `%r`: the name of the oldest segment that a restart needs.
        restart: String,
    },
}

/// Whether an archive has a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// It was there, and is at its target now.
    There,
    /// It was not there.
    Missing,
}

impl Archive {
    /// Copies an archived file to `target`, replacing what is there. `size`: a segment has
    /// that many bytes; an incomplete one (`.partial`) is filled up with zeroes to them.
    pub fn fetch(
        &self,
        name: &str,
        size: Option<u64>,
        target: &Path,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Fetched, ArchiveError> {
        let unfinished = target.with_extension("fetching");
        let fetched = match self {
            Archive::Directory(directory) => fetch_from(directory, name, size, &unfinished, cancelled)?,
            Archive::Command { template, directory, restart } => {
                let relative = unfinished.strip_prefix(directory).unwrap_or(&unfinished);
                let path = relative.to_string_lossy();
                let command = Placeholders { path: &path, file: name, restart }.expand(template);
                fetch_with(&command, directory, &unfinished, cancelled)?
            }
        };
        if fetched == Fetched::There {
            if let Some(expected) = size {
                let found = fs::metadata(&unfinished).map_err(ArchiveError::io("stat", &unfinished))?.len();
                if found != expected {
                    let path = self.place(name);
                    let _ = fs::remove_file(&unfinished);
                    return Err(ArchiveError::Size { path, expected, found });
                }
            }
            fs::rename(&unfinished, target).map_err(ArchiveError::io("rename", target))?;
        }
        Ok(fetched)
    }

    /// The files that there are; `None` if that cannot be known.
    pub fn names(&self) -> Result<Option<Vec<String>>, ArchiveError> {
        let Archive::Directory(directory) = self else { return Ok(None) };
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ArchiveError::NoDirectory(directory.clone()));
            }
            Err(error) => return Err(ArchiveError::io("read directory", directory)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(ArchiveError::io("read directory", directory))?;
            names.extend(entry.file_name().into_string());
        }
        names.sort_unstable();
        Ok(Some(names))
    }

    /// For messages: where a file of that name is.
    pub fn place(&self, name: &str) -> PathBuf {
        match self {
            Archive::Directory(directory) => directory.join(name),
            Archive::Command { .. } => PathBuf::from(name),
        }
    }
}

fn fetch_with(
    command: &str,
    directory: &Path,
    target: &Path,
    cancelled: &dyn Fn() -> bool,
) -> Result<Fetched, ArchiveError> {
    let _ = fs::remove_file(target);
    match run_command(command, directory, cancelled)? {
        CommandOutcome::Exited(0) if target.exists() => Ok(Fetched::There),
        // as PostgreSQL: a command that succeeds and brings nothing has nothing
        CommandOutcome::Exited(0) => Ok(Fetched::Missing),
        // the shell itself could not do it: not an answer about the file
        outcome @ (CommandOutcome::Exited(126 | 127) | CommandOutcome::Killed(_)) => {
            Err(ArchiveError::Command { what: "restore command", command: command.to_owned(), outcome })
        }
        CommandOutcome::Exited(_) => {
            let _ = fs::remove_file(target);
            Ok(Fetched::Missing)
        }
    }
}

fn fetch_from(
    directory: &Path,
    name: &str,
    size: Option<u64>,
    target: &Path,
    cancelled: &dyn Fn() -> bool,
) -> Result<Fetched, ArchiveError> {
    let whole = name.strip_suffix(PARTIAL_SUFFIX);
    // pg_receivewal's name of what it still writes: NAME.gz.partial
    let with = |method: &str| match whole {
        Some(whole) => directory.join(format!("{whole}{method}{PARTIAL_SUFFIX}")),
        None => directory.join(format!("{name}{method}")),
    };
    let fill_to = size.filter(|_| whole.is_some());
    let plain = directory.join(name);
    if let Some(file) = open_if_there(&plain)? {
        return copy(file, &plain, target, fill_to, cancelled);
    }
    for method in Compression::ALL {
        let path = with(method.suffix());
        if let Some(file) = open_if_there(&path)? {
            let limit = size.map_or(u64::MAX, |size| size.saturating_add(1));
            let content = method.reader(file, whole.is_some()).map_err(ArchiveError::io("read", &path))?;
            return copy(content.take(limit), &path, target, fill_to, cancelled);
        }
    }
    for (suffix, method) in UNREADABLE {
        let path = with(suffix);
        if path.exists() {
            return Err(ArchiveError::Compressed { path, method });
        }
    }
    if !directory.is_dir() {
        return Err(ArchiveError::NoDirectory(directory.to_owned()));
    }
    Ok(Fetched::Missing)
}

/// Whether a decoder has met what cannot be, rather than the disk failed.
fn is_damage(error: &io::Error) -> bool {
    error.raw_os_error().is_none()
}

fn open_if_there(path: &Path) -> Result<Option<File>, ArchiveError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ArchiveError::io("open", path)(error)),
    }
}

fn copy(
    mut from: impl Read,
    source: &Path,
    target: &Path,
    fill_to: Option<u64>,
    cancelled: &dyn Fn() -> bool,
) -> Result<Fetched, ArchiveError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut to = options.open(target).map_err(ArchiveError::io("create", target))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut copied = 0_u64;
    loop {
        if cancelled() {
            return Err(ArchiveError::Cancelled);
        }
        let read = match from.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if is_damage(&error) => {
                return Err(ArchiveError::Damaged { path: source.to_owned(), source: error });
            }
            other => other.map_err(ArchiveError::io("read", source))?,
        };
        if read == 0 {
            break;
        }
        to.write_all(chunk.get(..read).unwrap_or_default()).map_err(ArchiveError::io("write", target))?;
        copied += read as u64;
    }
    if let Some(size) = fill_to.filter(|size| copied < *size) {
        to.set_len(size).map_err(ArchiveError::io("extend", target))?;
    }
    Ok(Fetched::There)
}
