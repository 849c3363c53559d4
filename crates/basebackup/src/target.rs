use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::RestoreError;
use crate::take::Modes;

/// While this file is there, the directory is half a backup, or half restored, and must not
/// be started.
pub const INCOMPLETE_MARKER: &str = "backup_incomplete";

/// A directory that is filled, with a backup or with a cluster made of one: empty, or missing
/// before.
///
/// A marker is made durable before anything else and removed after everything else is
/// durable, so that a crash in between leaves nothing that looks complete. Dropped
/// without [`TargetDirectory::finish`], it removes what is in it.
pub struct TargetDirectory {
    path: PathBuf,
    created: bool,
    modes: Modes,
    /// Directories whose entries are not durable yet, parents first.
    directories: Vec<PathBuf>,
    finished: bool,
}

impl TargetDirectory {
    /// Begins. What an earlier, unfinished attempt left there is removed first.
    pub fn begin(path: &Path, modes: Modes) -> Result<TargetDirectory, RestoreError> {
        let created = prepare(path, modes)?;
        let directories = vec![path.to_owned()];
        let target = TargetDirectory { path: path.to_owned(), created, modes, directories, finished: false };
        let marker = path.join(INCOMPLETE_MARKER);
        target.create(INCOMPLETE_MARKER)?.sync_all().map_err(RestoreError::io("fsync", &marker))?;
        sync_directory(path)?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_directory(parent)?;
        }
        Ok(target)
    }

    /// The path of something in it.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A new, empty file.
    pub(crate) fn create(&self, name: &str) -> Result<File, RestoreError> {
        let path = self.join(name);
        let options = OpenOptions::new().write(true).create_new(true).mode(self.modes.file).clone();
        options.open(&path).map_err(RestoreError::io("create", &path))
    }

    /// An empty file, whether there is one of the name or not.
    pub(crate) fn replace(&self, name: &str) -> Result<File, RestoreError> {
        let path = self.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(self.modes.file);
        options.open(&path).map_err(RestoreError::io("create", &path))
    }

    /// Writes a small file, over one that is there, and makes its content durable.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<(), RestoreError> {
        let (path, mut file) = (self.join(name), self.replace(name)?);
        file.write_all(content).map_err(RestoreError::io("write", &path))?;
        file.sync_all().map_err(RestoreError::io("fsync", &path))
    }

    /// Makes a directory.
    pub(crate) fn make_directory(&mut self, name: &str) -> Result<(), RestoreError> {
        let path = self.join(name);
        let made = DirBuilder::new().mode(self.modes.directory).create(&path);
        made.map_err(RestoreError::io("create directory", &path))?;
        self.directories.push(path);
        Ok(())
    }

    /// Ends: the files are durable already, now their names are, and the marker goes.
    pub fn finish(mut self) -> Result<(), RestoreError> {
        for directory in self.directories.iter().rev() {
            sync_directory(directory)?;
        }
        let marker = self.join(INCOMPLETE_MARKER);
        fs::remove_file(&marker).map_err(RestoreError::io("remove", &marker))?;
        self.finished = true;
        sync_directory(&self.path)
    }
}

impl Drop for TargetDirectory {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // whatever cannot be removed still has the marker beside it
        if clear(&self.path).is_ok() {
            let _ = fs::remove_file(self.path.join(INCOMPLETE_MARKER));
        }
        if self.created {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Makes sure that `target` is an empty directory; whether it had to be made.
fn prepare(target: &Path, modes: Modes) -> Result<bool, RestoreError> {
    match fs::metadata(target) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let made = DirBuilder::new().recursive(true).mode(modes.directory).create(target);
            made.map_err(RestoreError::io("create directory", target))?;
            return Ok(true);
        }
        Err(error) => return Err(RestoreError::io("stat", target)(error)),
    }
    let marker = target.join(INCOMPLETE_MARKER);
    if marker.exists() {
        clear(target).map_err(RestoreError::io("clear", target))?;
        fs::remove_file(&marker).map_err(RestoreError::io("remove", &marker))?;
    }
    for entry in fs::read_dir(target).map_err(RestoreError::io("read directory", target))? {
        let entry = entry.map_err(RestoreError::io("read directory", target))?;
        let found = entry.file_name().to_string_lossy().into_owned();
        // every new file system has one
        if found != "lost+found" {
            return Err(RestoreError::NotEmpty { path: target.to_owned(), found });
        }
    }
    Ok(false)
}

/// Removes everything in `target` but the marker, which goes last.
fn clear(target: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(target)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == INCOMPLETE_MARKER || name == "lost+found" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn sync_directory(path: &Path) -> Result<(), RestoreError> {
    let directory = File::open(path).map_err(RestoreError::io("open", path))?;
    directory.sync_all().map_err(RestoreError::io("fsync directory", path))
}
