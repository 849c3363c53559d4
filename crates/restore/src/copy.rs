use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::RestoreError;

/// Bytes that are copied between two reports.
const CHUNK_BYTES: u64 = 8 << 20;

/// What of a backup does not become part of a restored cluster: what says that it is a
/// backup or whose it was, and its log, which is read where it is.
const LEFT_OUT: [&str; 12] = [
    "control",
    "backup_label",
    "backup_label.old",
    "backup_manifest",
    "tablespace_map",
    "standby.signal",
    "recovery.signal",
    "promote",
    "postmaster.pid",
    "postmaster.opts",
    "pg_wal",
    "pg_replslot",
];

/// The folder of the databases.
const BASE: &str = "base";
/// Their page hashes are left out, so that they are computed from what was copied, and held
/// against the log: a backup that was damaged since it was taken is found out.
const HASHES: &str = ".hash";

/// Files to copy, and folders to make, relative to the backup.
pub(crate) struct CopyList {
    folders: Vec<PathBuf>,
    files: Vec<(PathBuf, u64)>,
}

impl CopyList {
    /// Everything of a backup that belongs to a cluster.
    pub(crate) fn of(backup: &Path) -> Result<CopyList, RestoreError> {
        let mut list = CopyList { folders: Vec::new(), files: Vec::new() };
        list.add(backup, Path::new(""))?;
        Ok(list)
    }

    fn add(&mut self, backup: &Path, folder: &Path) -> Result<(), RestoreError> {
        let here = backup.join(folder);
        for entry in fs::read_dir(&here).map_err(RestoreError::io("read directory", &here))? {
            let entry = entry.map_err(RestoreError::io("read directory", &here))?;
            let name = entry.file_name();
            let top = folder.as_os_str().is_empty();
            let left_out = name.to_str().is_some_and(|name| match top {
                true => LEFT_OUT.contains(&name),
                false => folder == Path::new(BASE) && name.ends_with(HASHES),
            });
            let path = folder.join(&name);
            let metadata = fs::metadata(entry.path()).map_err(RestoreError::io("stat", &entry.path()))?;
            match metadata.is_dir() {
                _ if left_out || name == "lost+found" => {}
                true => {
                    self.folders.push(path.clone());
                    self.add(backup, &path)?;
                }
                false => self.files.push((path, metadata.len())),
            }
        }
        Ok(())
    }

    /// Bytes in all.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|(_, size)| size).sum()
    }

    /// Copies them, durably but for the names; `copied` is told of bytes on the way, and
    /// ends it with an error.
    pub(crate) fn copy(
        &self,
        from: &Path,
        to: &Path,
        directory_mode: u32,
        copied: &mut dyn FnMut(u64) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        for folder in &self.folders {
            let path = to.join(folder);
            match DirBuilder::new().mode(directory_mode).create(&path) {
                // every cluster has it
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made.map_err(RestoreError::io("create directory", &path))?,
            }
        }
        let file_mode = directory_mode & 0o660;
        for (file, _) in &self.files {
            copy_file(&from.join(file), &to.join(file), file_mode, copied)?;
        }
        for folder in &self.folders {
            sync_directory(&to.join(folder))?;
        }
        Ok(())
    }
}

fn copy_file(
    from: &Path,
    to: &Path,
    mode: u32,
    copied: &mut dyn FnMut(u64) -> Result<(), RestoreError>,
) -> Result<(), RestoreError> {
    let source = File::open(from).map_err(RestoreError::io("open", from))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut target = options.open(to).map_err(RestoreError::io("create", to))?;
    let source = &source;
    loop {
        // lets the operating system copy, where it can without reading
        let n = io::copy(&mut source.take(CHUNK_BYTES), &mut target).map_err(RestoreError::io("copy", to))?;
        if n == 0 {
            break;
        }
        copied(n)?;
    }
    target.sync_all().map_err(RestoreError::io("fsync", to))
}

pub(crate) fn sync_directory(path: &Path) -> Result<(), RestoreError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(RestoreError::io("fsync directory", path))
}
