use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use walship_types::Timestamp;

/// A file that a backup reads. Database files must come as the engine's own open
/// descriptor: opening and closing another one would drop this process's POSIX locks
/// on the file, and with them what keeps other programs from deleting a live -wal.
pub trait FileContent: Send + Sync {
    /// Reads into `buffer` from `offset`; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl FileContent for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

impl FileContent for Bytes {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let rest = self.get(from..).unwrap_or(&[]);
        let length = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        Ok(length)
    }
}

/// One file of a backup.
#[derive(Clone)]
pub struct BackupFile {
    /// Relative to the data directory, `/` between parts, at most 99 bytes.
    pub path: String,
    /// Bytes that go into the backup. A file that has grown since is cut there; one
    /// that has become shorter is filled with zeroes (replay heals both).
    pub size: u64,
    /// Its time of change.
    pub modified: Timestamp,
    /// Where its bytes come from.
    pub content: Arc<dyn FileContent>,
}

impl BackupFile {
    /// A small file whose content is in memory.
    pub fn in_memory(path: impl Into<String>, content: impl Into<Bytes>, modified: Timestamp) -> BackupFile {
        let content: Bytes = content.into();
        BackupFile { path: path.into(), size: content.len() as u64, modified, content: Arc::new(content) }
    }
}
