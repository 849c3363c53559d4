use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes, BytesMut};
use walship_disk::write_behind;
use walship_protocol::ManifestChecksum;
use walship_types::Timestamp;

use crate::checksum::Hasher;
use crate::error::RestoreError;
use crate::manifest::MANIFEST_FILE;
use crate::received::Received;
use crate::take::Modes;
use crate::tar::{END_OF_ARCHIVE, Member, TarEvent, TarReader, padding};
use crate::target::TargetDirectory;

/// The archive's name, as pg_basebackup has it.
const ARCHIVE_FILE: &str = "base.tar";
/// What is added to it when it is compressed.
const ZSTD_SUFFIX: &str = ".zst";

/// Bytes after which the disk is asked to begin writing them.
const WRITE_BEHIND_BYTES: u64 = 8 << 20;

/// Bytes read at once.
const CHUNK_BYTES: usize = 256 << 10;

/// Keeps a base backup as the archive that it came as, `base.tar` or `base.tar.zst`, with
/// its manifest beside it, in a directory that is empty or does not exist yet.
///
/// The same care as [`Restore`](crate::Restore) takes: what is kept was held against the
/// manifest, and half an archive is marked, or removed, as such.
pub struct Store {
    reader: TarReader,
    open: Option<(String, Hasher, u64)>,
    received: Received,
    /// The last bytes, which end the archive; what is added goes before them.
    tail: BytesMut,
    output: Output,
    name: String,
    modes: Modes,
    target: TargetDirectory,
}

impl Store {
    /// Begins; with `zstd_level`, the archive is compressed.
    pub fn begin(
        target: &Path,
        modes: Modes,
        checksum: ManifestChecksum,
        zstd_level: Option<i32>,
    ) -> Result<Store, RestoreError> {
        let target = TargetDirectory::begin(target, modes)?;
        let name = format!("{ARCHIVE_FILE}{}", if zstd_level.is_some() { ZSTD_SUFFIX } else { "" });
        let file = Counted { file: target.create(&name)?, written: 0, begun: 0 };
        let output = match zstd_level {
            None => Output::Plain(file),
            Some(level) => {
                let encoder = zstd::Encoder::new(file, level);
                Output::Zstd(Box::new(encoder.map_err(RestoreError::io("compress", &target.join(&name)))?))
            }
        };
        let (reader, received, tail) = (TarReader::default(), Received::new(checksum), BytesMut::new());
        Ok(Store { reader, open: None, received, tail, output, name, modes, target })
    }

    /// Takes the next bytes of the archive.
    pub fn archive(&mut self, bytes: Bytes) -> Result<(), RestoreError> {
        self.keep(&bytes)?;
        self.reader.push(bytes);
        while let Some(event) = self.reader.next_event()? {
            match event {
                TarEvent::Member(member) => self.open = Some((member.name, self.received.hasher(), 0)),
                TarEvent::Data(data) => {
                    if let Some((_, sum, size)) = self.open.as_mut() {
                        sum.update(&data);
                        *size += data.len() as u64;
                    }
                }
                TarEvent::FileEnd => {
                    if let Some((name, sum, size)) = self.open.take() {
                        self.received.file(name, size, sum);
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes the next bytes of the manifest.
    pub fn manifest(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.received.manifest(bytes)
    }

    /// Adds a file behind all others; unpacking takes it in place of one of the same name.
    pub fn add_file(&mut self, name: &str, content: &[u8]) -> Result<(), RestoreError> {
        let size = content.len() as u64;
        let member = Member::file(name, size, Timestamp::now(), self.modes.file).encode()?;
        self.put(&member)?;
        self.put(content)?;
        self.put(END_OF_ARCHIVE.get(..padding(size)).unwrap_or_default())
    }

    /// Ends: the archive must be complete, and every file what the manifest says (if one
    /// came). Everything is durable when this returns.
    pub fn finish(mut self) -> Result<(), RestoreError> {
        self.reader.finish()?;
        let end = self.tail.split();
        self.put(&end)?;
        let path = self.target.join(&self.name);
        let file = self.output.finish().map_err(RestoreError::io("write", &path))?;
        file.sync_all().map_err(RestoreError::io("fsync", &path))?;
        if let Some(manifest) = self.received.check()? {
            self.target.write(MANIFEST_FILE, manifest)?;
        }
        self.target.finish()
    }

    /// Writes everything but the end, which may still be moved.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let surplus = (self.tail.len() + bytes.len()).saturating_sub(END_OF_ARCHIVE.len());
        let from_tail = surplus.min(self.tail.len());
        let old = self.tail.split_to(from_tail);
        let (now, later) = bytes.split_at(surplus - from_tail);
        self.put(&old)?;
        self.put(now)?;
        self.tail.extend_from_slice(later);
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let written = self.output.write_all(bytes);
        written.map_err(|source| RestoreError::io("write", &self.target.join(&self.name))(source))
    }
}

/// Where the archive's bytes go.
enum Output {
    Plain(Counted),
    Zstd(Box<zstd::Encoder<'static, Counted>>),
}

impl Output {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Output::Plain(file) => file.write_all(bytes),
            Output::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<File> {
        match self {
            Output::Plain(file) => Ok(file.file),
            Output::Zstd(encoder) => encoder.finish().map(|file| file.file),
        }
    }
}

/// A file whose bytes are on their way to the disk while more come.
struct Counted {
    file: File,
    written: u64,
    begun: u64,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.written += written as u64;
        if self.written - self.begun >= WRITE_BEHIND_BYTES {
            write_behind(&self.file, self.begun..self.written);
            self.begun = self.written;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The archive in a directory that [`Store`] or pg_basebackup made, if there is one.
pub fn stored_archive(directory: &Path) -> Option<PathBuf> {
    let names = [ARCHIVE_FILE.to_owned(), format!("{ARCHIVE_FILE}{ZSTD_SUFFIX}")];
    names.iter().map(|name| directory.join(name)).find(|path| path.exists())
}

/// Gives a stored archive's bytes, decompressed, piece by piece to `take`.
pub fn read_stored<E: From<RestoreError>>(
    archive: &Path,
    mut take: impl FnMut(Bytes) -> Result<(), E>,
) -> Result<(), E> {
    let file = File::open(archive).map_err(RestoreError::io("open", archive))?;
    let compressed = archive.extension().is_some_and(|ending| ending == "zst");
    let mut input: Box<dyn Read> = if compressed {
        Box::new(zstd::Decoder::new(file).map_err(RestoreError::io("decompress", archive))?)
    } else {
        Box::new(file)
    };
    loop {
        let mut chunk = BytesMut::zeroed(CHUNK_BYTES);
        let read = match input.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(RestoreError::io("read", archive)(error).into()),
        };
        take(chunk.freeze().copy_to_bytes(read))?;
    }
}
