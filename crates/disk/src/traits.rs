use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::{DiskError, Operation};

/// A disk that many parts share.
pub type SharedDisk = Arc<dyn Disk>;

/// Largest file that [`Disk::read`] takes into memory, in bytes. Nothing that is read
/// whole (control files, histories, labels) comes near it.
pub const READ_WHOLE_BYTES_MAX: u64 = 64 << 20;

/// How an existing file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading.
    Read,
    /// For reading and writing.
    ReadWrite,
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Length in bytes; of no meaning for a directory.
    pub len: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// A file system. Nothing is durable before the matching sync: content by
/// [`DiskFile::sync_data`], names (created, renamed, removed) by [`Disk::sync_dir`].
pub trait Disk: fmt::Debug + Send + Sync {
    /// Opens an existing file.
    fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError>;

    /// Creates a file for reading and writing; an error if the name is taken.
    fn create_new(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError>;

    /// Renames within the disk; replaces `to` if it is a file.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> Result<(), DiskError>;

    /// Names in a directory, sorted. Names that are not UTF-8 are none of ours and left out.
    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError>;

    /// Creates a directory whose parent exists; an error if the name is taken.
    fn create_dir(&self, path: &Path) -> Result<(), DiskError>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError>;

    /// What is at `path`; `None` if nothing is.
    fn metadata(&self, path: &Path) -> Result<Option<Metadata>, DiskError>;

    /// The content of a file of up to [`READ_WHOLE_BYTES_MAX`].
    fn read(&self, path: &Path) -> Result<Vec<u8>, DiskError> {
        let file = self.open(path, OpenMode::Read)?;
        let len = file.len()?;
        if len > READ_WHOLE_BYTES_MAX {
            let source = io::Error::other(format!("{len} bytes, at most {READ_WHOLE_BYTES_MAX} expected"));
            return Err(DiskError::new(Operation::Read, path, source));
        }
        let mut content = vec![0; usize::try_from(len).unwrap_or(0)];
        let mut done = 0;
        while done < content.len() {
            match file.read_at(&mut content[done..], done as u64)? {
                0 => break,
                n => done += n,
            }
        }
        content.truncate(done);
        Ok(content)
    }
}

/// An open file. Every method takes its own offset, so one may be used by many threads.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Where it was opened; a rename does not change this.
    fn path(&self) -> &Path;

    /// Reads into `buf` from `offset`; fewer bytes than asked for only at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, DiskError>;

    /// Writes all of `bytes` at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError>;

    /// Makes the content and the length durable (fdatasync). After an error the content
    /// is in an unknown state and may look synced to a second call: never call it again.
    fn sync_data(&self) -> Result<(), DiskError>;

    /// Cuts or extends with zeroes.
    fn set_len(&self, len: u64) -> Result<(), DiskError>;

    /// Length in bytes.
    fn len(&self) -> Result<u64, DiskError>;

    /// Whether the length is 0.
    fn is_empty(&self) -> Result<bool, DiskError> {
        Ok(self.len()? == 0)
    }

    /// Reserves room for `len` bytes from the start and extends the file to it.
    fn allocate(&self, len: u64) -> Result<(), DiskError>;

    /// The content as memory. On a real disk it is a shared mapping: what is written to
    /// the file later shows in it, so what is read from it has to be copied before it is
    /// checked, and the file must never be cut shorter while the mapping lives.
    fn map(&self) -> Result<Bytes, DiskError>;
}
