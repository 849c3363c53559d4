use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::{Disk, DiskError, DiskFile, Metadata, OpenMode, Operation};

/// The operating system's file system.
#[derive(Debug, Clone, Copy)]
pub struct RealDisk {
    file_mode: u32,
    directory_mode: u32,
}

impl RealDisk {
    /// Files and directories that are created are the owner's alone (0600, 0700).
    pub fn new() -> RealDisk {
        RealDisk { file_mode: 0o600, directory_mode: 0o700 }
    }

    /// The group may read what is created (0640, 0750).
    pub fn group_readable() -> RealDisk {
        RealDisk { file_mode: 0o640, directory_mode: 0o750 }
    }
}

impl Default for RealDisk {
    fn default() -> RealDisk {
        RealDisk::new()
    }
}

fn failed(operation: Operation, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    move |source| DiskError::new(operation, path, source)
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        let write = mode == OpenMode::ReadWrite;
        let opened = OpenOptions::new().read(true).write(write).open(path);
        let file = opened.map_err(failed(Operation::Open, path))?;
        Ok(Arc::new(RealFile { file, path: path.to_owned() }))
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(self.file_mode);
        let file = options.open(path).map_err(failed(Operation::Create, path))?;
        Ok(Arc::new(RealFile { file, path: path.to_owned() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        std::fs::rename(from, to).map_err(failed(Operation::Rename, from))
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        std::fs::remove_file(path).map_err(failed(Operation::Remove, path))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(failed(Operation::List, dir))? {
            let entry = entry.map_err(failed(Operation::List, dir))?;
            names.extend(entry.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        let created = DirBuilder::new().mode(self.directory_mode).create(path);
        created.map_err(failed(Operation::CreateDirectory, path))
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let synced = File::open(dir).and_then(|d| d.sync_all());
        synced.map_err(failed(Operation::SyncDirectory, dir))
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>, DiskError> {
        match std::fs::metadata(path) {
            Ok(found) => Ok(Some(Metadata { len: found.len(), is_dir: found.is_dir() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(DiskError::new(Operation::Metadata, path, error)),
        }
    }
}

#[derive(Debug)]
struct RealFile {
    file: File,
    path: PathBuf,
}

impl DiskFile for RealFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DiskError::new(Operation::Read, &self.path, error)),
            }
        }
        Ok(done)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        self.file.write_all_at(bytes, offset).map_err(failed(Operation::Write, &self.path))
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        self.file.sync_data().map_err(failed(Operation::Sync, &self.path))
    }

    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.file.set_len(len).map_err(failed(Operation::SetLength, &self.path))
    }

    fn len(&self) -> Result<u64, DiskError> {
        let found = self.file.metadata().map_err(failed(Operation::Metadata, &self.path))?;
        Ok(found.len())
    }

    fn allocate(&self, len: u64) -> Result<(), DiskError> {
        match rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            // a file system without reservations: room is then found out by writing
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.set_len(len),
            Err(errno) => Err(DiskError::new(Operation::Allocate, &self.path, errno.into())),
        }
    }

    fn map(&self) -> Result<Bytes, DiskError> {
        // SAFETY: the mapping is read-only and only copied from; what another thread
        // writes to the file shows up as other bytes, which the reader's checksums
        // notice; segment files are never cut shorter, so no page of it can vanish.
        let mapped = unsafe { memmap2::Mmap::map(&self.file) };
        Ok(Bytes::from_owner(mapped.map_err(failed(Operation::Map, &self.path))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_operation_and_path() {
        let disk = RealDisk::new();
        let error = disk.open(Path::new("/nowhere/x"), OpenMode::Read).unwrap_err();
        assert!(error.is_not_found());
        assert!(error.to_string().starts_with("could not open \"/nowhere/x\": "), "{error}");
    }

    #[test]
    fn a_mapping_outlives_the_file_and_shows_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::new();
        let file = disk.create_new(&dir.path().join("f")).unwrap();
        file.write_all_at(b"hello", 3).unwrap();
        let map = file.map().unwrap();
        drop(file);
        assert_eq!(&map[..], b"\0\0\0hello");
        assert!(disk.create_new(&dir.path().join("f")).unwrap_err().is_already_there());
    }
}
