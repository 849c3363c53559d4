use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::command::{Placeholders, run_command};
use crate::error::{ArchiveError, CommandOutcome};
use crate::unfinished::Unfinished;

/// Bytes that are copied or compared at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Where files of the log are archived to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A directory, into which files are copied durably.
    Directory(PathBuf),
    /// A command for the shell, which has succeeded when its exit status is 0.
    Command(String),
}

impl Destination {
    /// Archives `pg_wal/NAME` of a data directory. When it returns, the file is in the
    /// archive, as durable as the archive can make it. To archive what is there already,
    /// with the same content, succeeds; a directory's file with other content is an error
    /// and stays what it is.
    pub fn put(
        &self,
        data_directory: &Path,
        name: &str,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<(), ArchiveError> {
        let path = format!("pg_wal/{name}");
        match self {
            Destination::Directory(directory) => put_into(directory, data_directory, name, cancelled),
            Destination::Command(template) => {
                let command = Placeholders { path: &path, file: name, restart: "" }.expand(template);
                match run_command(&command, data_directory, cancelled)? {
                    CommandOutcome::Exited(0) => Ok(()),
                    outcome => Err(ArchiveError::Command { what: "archive command", command, outcome }),
                }
            }
        }
    }
}

fn put_into(
    directory: &Path,
    data_directory: &Path,
    name: &str,
    cancelled: &dyn Fn() -> bool,
) -> Result<(), ArchiveError> {
    if !directory.is_dir() {
        return Err(ArchiveError::NoDirectory(directory.to_owned()));
    }
    let (source, target) = (data_directory.join("pg_wal").join(name), directory.join(name));
    if !target.exists() {
        let unfinished = Unfinished::begin(data_directory, directory, name);
        copy_durably(&source, unfinished.path(), cancelled)?;
        if take_name(unfinished.path(), &target)? {
            return sync_directory(directory);
        }
    }
    // a crash may have come between the copy and the note that it is there, or another
    // node archives the same log
    check_same(&source, &target)?;
    File::open(&target).and_then(|file| file.sync_all()).map_err(ArchiveError::io("fsync", &target))?;
    sync_directory(directory)
}

fn copy_durably(source: &Path, target: &Path, cancelled: &dyn Fn() -> bool) -> Result<(), ArchiveError> {
    let mut from = File::open(source).map_err(ArchiveError::io("open", source))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut to = options.open(target).map_err(ArchiveError::io("create", target))?;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        if cancelled() {
            return Err(ArchiveError::Cancelled);
        }
        let read = from.read(&mut chunk).map_err(ArchiveError::io("read", source))?;
        if read == 0 {
            break;
        }
        to.write_all(chunk.get(..read).unwrap_or_default()).map_err(ArchiveError::io("write", target))?;
    }
    to.sync_all().map_err(ArchiveError::io("fsync", target))
}

/// Renames unless the name is taken meanwhile; whether it did.
fn take_name(from: &Path, to: &Path) -> Result<bool, ArchiveError> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::EXIST) => Ok(false),
        // a file system that cannot rename like that can link
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => match fs::hard_link(from, to) {
            Ok(()) => fs::remove_file(from).map(|()| true).map_err(ArchiveError::io("remove", from)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(ArchiveError::io("link", to)(error)),
        },
        Err(errno) => Err(ArchiveError::io("rename", to)(errno.into())),
    }
}

fn check_same(source: &Path, target: &Path) -> Result<(), ArchiveError> {
    let differs = |difference| Err(ArchiveError::Differs { path: target.to_owned(), difference });
    let open = |path: &Path| File::open(path).map_err(ArchiveError::io("open", path));
    let (mut ours, mut theirs) = (open(source)?, open(target)?);
    let (mut our_chunk, mut their_chunk) = (vec![0; CHUNK_BYTES], vec![0; CHUNK_BYTES]);
    let mut offset: usize = 0;
    loop {
        let our_length = fill(&mut ours, &mut our_chunk).map_err(ArchiveError::io("read", source))?;
        let their_length = fill(&mut theirs, &mut their_chunk).map_err(ArchiveError::io("read", target))?;
        let pairs = our_chunk.iter().zip(&their_chunk).take(our_length.min(their_length));
        if let Some(at) = pairs.into_iter().position(|(a, b)| a != b) {
            return differs(format!("the first difference is at offset {}", offset + at));
        }
        if our_length != their_length {
            let (ours, theirs) = (offset + our_length, offset + their_length);
            return differs(format!("it ends at offset {theirs}, the file to archive at {ours} or later"));
        }
        if our_length < CHUNK_BYTES {
            return Ok(());
        }
        offset += our_length;
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn sync_directory(path: &Path) -> Result<(), ArchiveError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(ArchiveError::io("fsync directory", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "000000010000000000000001";

    fn scene() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let (node, archive) = (scratch.path().join("node"), scratch.path().join("archive"));
        fs::create_dir_all(node.join("pg_wal/archive_status")).unwrap();
        fs::create_dir(&archive).unwrap();
        fs::write(node.join("pg_wal").join(NAME), vec![7; CHUNK_BYTES + 9]).unwrap();
        (scratch, node, archive)
    }

    #[test]
    fn a_copy_is_whole_and_its_repetition_harmless() {
        let (_scratch, node, archive) = scene();
        let destination = Destination::Directory(archive.clone());
        for _ in 0..2 {
            destination.put(&node, NAME, &|| false).unwrap();
            assert_eq!(fs::read(archive.join(NAME)).unwrap(), vec![7; CHUNK_BYTES + 9]);
            assert_eq!(fs::read_dir(&archive).unwrap().count(), 1);
        }
    }

    #[test]
    fn another_files_content_is_never_overwritten() {
        let (_scratch, node, archive) = scene();
        let destination = Destination::Directory(archive.clone());
        let mut other = vec![7; CHUNK_BYTES + 9];
        other[CHUNK_BYTES + 4] = 8;
        for (content, what) in [(other, "offset 1048580"), (vec![7; 5], "it ends at offset 5")] {
            fs::write(archive.join(NAME), &content).unwrap();
            let error = destination.put(&node, NAME, &|| false).unwrap_err().to_string();
            assert!(
                error.contains("already exists with different content") && error.contains(what),
                "{error}"
            );
            assert_eq!(fs::read(archive.join(NAME)).unwrap(), content);
        }
    }

    #[test]
    fn a_missing_directory_is_not_created_and_a_cancel_leaves_nothing() {
        let (_scratch, node, archive) = scene();
        let missing = Destination::Directory(archive.join("not mounted"));
        assert!(matches!(missing.put(&node, NAME, &|| false), Err(ArchiveError::NoDirectory(_))));
        let cancelled = Destination::Directory(archive.clone()).put(&node, NAME, &|| true);
        assert!(matches!(cancelled, Err(ArchiveError::Cancelled)));
        assert_eq!(fs::read_dir(&archive).unwrap().count(), 0);
    }

    #[test]
    fn what_a_crash_left_half_copied_goes_with_the_next_attempt() {
        let (_scratch, node, archive) = scene();
        let killed = Unfinished::begin(&node, &archive, NAME);
        fs::write(killed.path(), "half").unwrap();
        // a process that is killed drops nothing
        std::mem::forget(killed);
        // of another node, which may be at work
        fs::write(archive.join(".archiving.other"), "half").unwrap();
        Destination::Directory(archive.clone()).put(&node, NAME, &|| false).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(&archive).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".archiving.other", NAME]);
        assert_eq!(fs::read_dir(node.join("pg_wal/archive_status")).unwrap().count(), 0);
    }

    #[test]
    fn a_command_gets_path_and_name_and_its_failure_is_told() {
        let (_scratch, node, archive) = scene();
        let to = archive.display();
        Destination::Command(format!("cp %p {to}/%f")).put(&node, NAME, &|| false).unwrap();
        assert!(archive.join(NAME).exists());
        let failed = Destination::Command("test %f = x".to_owned()).put(&node, NAME, &|| false).unwrap_err();
        assert_eq!(failed.to_string(), format!("archive command failed with exit code 1: test {NAME} = x"));
    }
}
