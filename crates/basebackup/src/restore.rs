use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use bytes::Bytes;
use walship_disk::write_behind;
use walship_protocol::ManifestChecksum;

use crate::checksum::Hasher;
use crate::error::RestoreError;
use crate::manifest::{MANIFEST_FILE, is_safe};
use crate::received::Received;
use crate::take::Modes;
use crate::tar::{MemberKind, TarEvent, TarReader};
use crate::target::{INCOMPLETE_MARKER, TargetDirectory};
use crate::verify::ignored;

/// Bytes after which the disk is asked to begin writing them, so that the sync at the
/// file's end finds little left to do.
const WRITE_BEHIND_BYTES: u64 = 8 << 20;

struct OpenFile {
    name: String,
    file: File,
    sum: Hasher,
    size: u64,
    /// Of these bytes the disk was asked to begin.
    begun: u64,
}

/// Unpacks a base backup into a directory that is empty or does not exist yet.
///
/// Until everything is durable and was held against the manifest, a marker says that it
/// is not. Dropped without [`Restore::finish`], it removes what it unpacked.
pub struct Restore {
    reader: TarReader,
    open: Option<OpenFile>,
    received: Received,
    target: TargetDirectory,
}

impl Restore {
    /// Begins. What an earlier, unfinished one left in `target` is removed first.
    /// `checksum` is the kind that the manifest was asked for with.
    pub fn begin(target: &Path, modes: Modes, checksum: ManifestChecksum) -> Result<Restore, RestoreError> {
        let target = TargetDirectory::begin(target, modes)?;
        Ok(Restore { reader: TarReader::default(), open: None, received: Received::new(checksum), target })
    }

    /// Takes the next bytes of the archive.
    pub fn archive(&mut self, bytes: Bytes) -> Result<(), RestoreError> {
        self.reader.push(bytes);
        while let Some(event) = self.reader.next_event()? {
            match event {
                TarEvent::Member(member) => {
                    if !is_safe(&member.name) || member.name == INCOMPLETE_MARKER {
                        return Err(RestoreError::UnsafePath(member.name));
                    }
                    match member.kind {
                        MemberKind::File => self.begin_file(member.name)?,
                        MemberKind::Directory => self.target.make_directory(&member.name)?,
                        MemberKind::Other(kind) => {
                            return Err(RestoreError::Kind { name: member.name, kind });
                        }
                    }
                }
                TarEvent::Data(data) => self.write(&data)?,
                TarEvent::FileEnd => self.end_file()?,
            }
        }
        Ok(())
    }

    /// Takes the next bytes of the manifest.
    pub fn manifest(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.received.manifest(bytes)
    }

    /// Writes one more file, not part of the backup (`standby.signal`).
    pub fn add_file(&mut self, name: &str, content: &[u8]) -> Result<(), RestoreError> {
        self.target.write(name, content)
    }

    /// The bytes of a small file that was unpacked already.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, RestoreError> {
        let path = self.target.join(name);
        fs::read(&path).map_err(RestoreError::io("read", &path))
    }

    /// Ends: the archive must be complete, and every file what the manifest says (if one
    /// came). Everything is durable when this returns.
    pub fn finish(self) -> Result<(), RestoreError> {
        self.reader.finish()?;
        if let Some(manifest) = self.received.check()? {
            self.target.write(MANIFEST_FILE, manifest)?;
        }
        self.target.finish()
    }

    fn begin_file(&mut self, name: String) -> Result<(), RestoreError> {
        // added behind the server's own, it is the one that counts
        let again = self.received.has(&name) && ignored(&name);
        let file = if again { self.target.replace(&name)? } else { self.target.create(&name)? };
        self.open = Some(OpenFile { name, file, sum: self.received.hasher(), size: 0, begun: 0 });
        Ok(())
    }

    fn write(&mut self, data: &[u8]) -> Result<(), RestoreError> {
        let Some(open) = self.open.as_mut() else { return Ok(()) };
        let written = open.file.write_all(data);
        written.map_err(|source| RestoreError::io("write", &self.target.join(&open.name))(source))?;
        open.sum.update(data);
        open.size += data.len() as u64;
        if open.size - open.begun >= WRITE_BEHIND_BYTES {
            write_behind(&open.file, open.begun..open.size);
            open.begun = open.size;
        }
        Ok(())
    }

    fn end_file(&mut self) -> Result<(), RestoreError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let path = self.target.join(&open.name);
        open.file.sync_all().map_err(RestoreError::io("fsync", &path))?;
        self.received.file(open.name, open.size, open.sum);
        Ok(())
    }
}
