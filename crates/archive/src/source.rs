use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::command::{Placeholders, run_command};
use crate::error::{ArchiveError, CommandOutcome};
use crate::name::PARTIAL_SUFFIX;

/// Bytes that are copied at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Compressed files that are told from missing ones, and not read.
const UNREADABLE: [(&str, &str); 2] = [(".lz4", "lz4"), (".zst", "zstd")];

/// Where archived files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Archive {
    /// A directory: segments as they are, or compressed with gzip under `NAME.gz`, as
    /// `pg_receivewal` leaves them.
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
    let gzip = with(".gz");
    if let Some(file) = open_if_there(&gzip)? {
        let limit = size.map_or(u64::MAX, |size| size.saturating_add(1));
        let decoder = Tolerant { inner: MultiGzDecoder::new(file).take(limit), cut: whole.is_some() };
        return copy(decoder, &gzip, target, fill_to, cancelled);
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

/// A reader for which the end may come early, where a file is known to be incomplete.
struct Tolerant<R> {
    inner: R,
    cut: bool,
}

impl<R: Read> Read for Tolerant<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Err(error) if self.cut && error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            other => other,
        }
    }
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

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const NAME: &str = "000000010000000000000001";

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    struct Scene {
        scratch: tempfile::TempDir,
        archive: Archive,
    }

    impl Scene {
        fn new() -> Scene {
            let scratch = tempfile::tempdir().unwrap();
            let archive = Archive::Directory(scratch.path().join("archive"));
            fs::create_dir(scratch.path().join("archive")).unwrap();
            Scene { scratch, archive }
        }

        fn file(&self, name: &str, content: &[u8]) {
            fs::write(self.scratch.path().join("archive").join(name), content).unwrap();
        }

        fn fetch(&self, name: &str, size: u64) -> Result<Option<Vec<u8>>, ArchiveError> {
            let target = self.scratch.path().join("fetched");
            let fetched = self.archive.fetch(name, Some(size), &target, &|| false)?;
            Ok((fetched == Fetched::There).then(|| fs::read(target).unwrap()))
        }
    }

    #[test]
    fn segments_come_plain_or_from_gzip() {
        let scene = Scene::new();
        assert_eq!(scene.fetch(NAME, 4).unwrap(), None);
        scene.file(&format!("{NAME}.gz"), &gzip(b"from"));
        assert_eq!(scene.fetch(NAME, 4).unwrap().unwrap(), b"from");
        scene.file(NAME, b"wal!");
        assert_eq!(scene.fetch(NAME, 4).unwrap().unwrap(), b"wal!");
    }

    #[test]
    fn an_incomplete_segment_is_filled_up() {
        let scene = Scene::new();
        let partial = format!("{NAME}.partial");
        let mut cut = gzip(&[7; 100_000]);
        cut.truncate(cut.len() - 9);
        scene.file(&format!("{NAME}.gz.partial"), &cut);
        let content = scene.fetch(&partial, 200_000).unwrap().unwrap();
        assert_eq!(content.len(), 200_000);
        assert!(content.starts_with(&[7; 10]) && content.ends_with(&[0; 10]));
        scene.file(&partial, b"abc");
        assert_eq!(scene.fetch(&partial, 5).unwrap().unwrap(), b"abc\0\0");
    }

    #[test]
    fn what_cannot_be_a_segment_is_named() {
        let scene = Scene::new();
        scene.file(NAME, b"short");
        let error = scene.fetch(NAME, 9).unwrap_err().to_string();
        assert!(error.ends_with("has wrong size: 5 bytes, expected 9"), "{error}");
        scene.file(&format!("{NAME}.gz"), &gzip(b"long"));
        fs::remove_file(scene.archive.place(NAME)).unwrap();
        assert!(matches!(scene.fetch(NAME, 3), Err(ArchiveError::Size { found: 4, .. })));
        let other = "000000010000000000000002";
        scene.file(&format!("{other}.lz4"), b"");
        assert!(matches!(scene.fetch(other, 3), Err(ArchiveError::Compressed { method: "lz4", .. })));
    }

    #[test]
    fn a_command_brings_files_or_says_that_there_are_none() {
        let scene = Scene::new();
        let directory = scene.scratch.path().to_owned();
        let archive = |template: &str| Archive::Command {
            template: template.to_owned(),
            directory: directory.clone(),
            restart: String::new(),
        };
        scene.file(NAME, b"wal!");
        let target = directory.join("target");
        let fetch = |template: &str| archive(template).fetch(NAME, Some(4), &target, &|| false);
        assert_eq!(fetch("cp archive/%f %p").unwrap(), Fetched::There);
        assert_eq!(fs::read(&target).unwrap(), b"wal!");
        assert_eq!(fetch("cp nothing/%f %p 2>/dev/null").unwrap(), Fetched::Missing);
        assert_eq!(fetch("true").unwrap(), Fetched::Missing);
        assert!(matches!(fetch("no_such_program_here 2>/dev/null"), Err(ArchiveError::Command { .. })));
    }
}
