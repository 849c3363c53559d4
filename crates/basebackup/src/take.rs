use std::io;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use walship_types::Timestamp;

use crate::checksum::Hasher;
use crate::manifest::ManifestWriter;
use crate::tar::{END_OF_ARCHIVE, Member, TarError, padding};
use crate::{BackupFile, FileContent};

/// Bytes that are read, hashed and handed on at once; all the memory that a backup takes.
const CHUNK_BYTES: usize = 256 * 1024;

/// With a limited rate, the bytes of this part of a second are read at once, so that the
/// pauses are short.
const CHUNKS_PER_SECOND: u64 = 8;

/// The smallest piece, in bytes.
const CHUNK_BYTES_MIN: usize = 8 * 1024;

/// Where a backup's bytes go. An error stops the backup.
pub trait BackupSink {
    /// The next bytes of the archive.
    fn archive(&mut self, bytes: Bytes) -> io::Result<()>;
}

impl BackupSink for Vec<u8> {
    fn archive(&mut self, bytes: Bytes) -> io::Result<()> {
        self.extend_from_slice(&bytes);
        Ok(())
    }
}

/// Why a backup could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// A file could not be read.
    #[error("could not read file \"{path}\" for the backup: {source}")]
    Read {
        /// Which one.
        path: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// The receiving side is gone.
    #[error("could not write backup: {0}")]
    Sink(io::Error),
    /// The archive's format does not allow it.
    #[error(transparent)]
    Tar(#[from] TarError),
}

/// Permissions of what is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Modes {
    /// Of directories.
    pub directory: u32,
    /// Of files.
    pub file: u32,
}

impl Modes {
    /// Only the owner, or the owner's group for reading as well.
    pub fn new(group_access: bool) -> Modes {
        if group_access {
            Modes { directory: 0o750, file: 0o640 }
        } else {
            Modes { directory: 0o700, file: 0o600 }
        }
    }
}

/// Writes an archive and its manifest, one member after the other.
pub struct Taker<'a> {
    sink: &'a mut dyn BackupSink,
    manifest: Option<ManifestWriter>,
    modes: Modes,
    rate: Option<RateLimit>,
    chunk_bytes: usize,
    now: Timestamp,
    done: u64,
}

impl<'a> Taker<'a> {
    /// An archive into `sink`; without `manifest` there is none. `bytes_per_second`
    /// limits the rate.
    pub fn new(
        sink: &'a mut dyn BackupSink,
        manifest: Option<ManifestWriter>,
        modes: Modes,
        bytes_per_second: Option<u64>,
        now: Timestamp,
    ) -> Taker<'a> {
        let rate = bytes_per_second.map(RateLimit::new);
        let chunk_bytes = bytes_per_second.map_or(CHUNK_BYTES, |rate| {
            let share = usize::try_from(rate / CHUNKS_PER_SECOND).unwrap_or(CHUNK_BYTES);
            share.next_multiple_of(CHUNK_BYTES_MIN).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES)
        });
        Taker { sink, manifest, modes, rate, chunk_bytes, now, done: 0 }
    }

    /// Bytes of files written so far.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Adds a directory; parents first.
    pub fn directory(&mut self, path: &str) -> Result<(), TakeError> {
        let member = Member::directory(path, self.now, self.modes.directory);
        self.put(Bytes::copy_from_slice(&member.encode()?))
    }

    /// Adds a file, and its line in the manifest.
    pub fn file(&mut self, file: &BackupFile) -> Result<(), TakeError> {
        let sum = self.copy(file)?;
        if let (Some(manifest), Some(sum)) = (self.manifest.as_mut(), sum) {
            manifest.file(&file.path, file.size, file.modified, sum.finish().as_deref());
        }
        Ok(())
    }

    /// Adds a file that the manifest does not list: the log, which has its own checksums.
    pub fn unlisted_file(&mut self, file: &BackupFile) -> Result<(), TakeError> {
        self.copy(file).map(|_| ())
    }

    /// Ends the archive and gives the manifest, in pieces of a bounded size.
    pub fn finish(mut self) -> Result<Option<ManifestWriter>, TakeError> {
        self.put(Bytes::from_static(&END_OF_ARCHIVE))?;
        Ok(self.manifest)
    }

    /// Exactly `file.size` bytes, whatever the file's length is by now.
    fn copy(&mut self, file: &BackupFile) -> Result<Option<Hasher>, TakeError> {
        let member = Member::file(&file.path, file.size, file.modified, self.modes.file);
        self.put(Bytes::copy_from_slice(&member.encode()?))?;
        let mut sum = self.manifest.as_ref().map(|manifest| Hasher::new(manifest.checksum()));
        let mut offset = 0;
        while offset < file.size {
            let length = usize::try_from(file.size - offset).unwrap_or(usize::MAX).min(self.chunk_bytes);
            let chunk = read_chunk(file.content.as_ref(), offset, length)
                .map_err(|source| TakeError::Read { path: file.path.clone(), source })?;
            if let Some(sum) = sum.as_mut() {
                sum.update(&chunk);
            }
            offset += length as u64;
            self.done += length as u64;
            self.put(chunk)?;
        }
        let zeroes = padding(file.size);
        if zeroes > 0 {
            self.put(BytesMut::zeroed(zeroes).freeze())?;
        }
        Ok(sum)
    }

    fn put(&mut self, bytes: Bytes) -> Result<(), TakeError> {
        if let Some(rate) = self.rate.as_mut() {
            std::thread::sleep(rate.spend(bytes.len() as u64, Instant::now()));
        }
        self.sink.archive(bytes).map_err(TakeError::Sink)
    }
}

/// `length` bytes from `offset`; what is not there any more reads as zeroes.
fn read_chunk(content: &dyn FileContent, offset: u64, length: usize) -> io::Result<Bytes> {
    let mut chunk = BytesMut::zeroed(length);
    let mut done = 0;
    while let Some(rest) = chunk.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match content.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(chunk.freeze())
}

/// Spreads bytes over time. What was not used up to a moment does not add up to a burst.
struct RateLimit {
    bytes_per_second: u64,
    /// When everything so far may have been sent.
    due: Option<Instant>,
}

impl RateLimit {
    fn new(bytes_per_second: u64) -> RateLimit {
        RateLimit { bytes_per_second: bytes_per_second.max(1), due: None }
    }

    /// How long to wait before these bytes may go.
    fn spend(&mut self, bytes: u64, now: Instant) -> Duration {
        let due = self.due.unwrap_or(now).max(now);
        let micros = bytes.saturating_mul(1_000_000) / self.bytes_per_second;
        self.due = Some(due + Duration::from_micros(micros));
        due.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_kept_over_many_pieces() {
        let mut rate = RateLimit::new(1000);
        let start = Instant::now();
        assert_eq!(rate.spend(500, start), Duration::ZERO);
        assert_eq!(rate.spend(500, start), Duration::from_millis(500));
        assert_eq!(rate.spend(1, start), Duration::from_secs(1));
        // a pause is no credit
        assert_eq!(rate.spend(1000, start + Duration::from_secs(10)), Duration::ZERO);
        assert_eq!(rate.spend(1, start + Duration::from_secs(10)), Duration::from_secs(1));
    }
}
