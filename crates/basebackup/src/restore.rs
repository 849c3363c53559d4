use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use walship_protocol::ManifestChecksum;

use crate::checksum::Hasher;
use crate::error::RestoreError;
use crate::manifest::{MANIFEST_FILE, Manifest, is_safe};
use crate::take::Modes;
use crate::tar::{MemberKind, TarEvent, TarReader};
use crate::verify::{Problem, compare};

/// While this file is there, the directory is half a backup and must not be started.
pub const INCOMPLETE_MARKER: &str = "backup_incomplete";

/// Largest manifest that is taken, in bytes: some hundred thousand files.
const MANIFEST_BYTES_MAX: usize = 64 << 20;

struct OpenFile {
    name: String,
    file: File,
    sum: Hasher,
    size: u64,
}

/// Unpacks a base backup into a directory that is empty or does not exist yet.
///
/// A marker is made durable before anything else and removed after everything else is
/// durable, so that a crash in between leaves nothing that looks like a backup. Dropped
/// without [`Restore::finish`], it removes what it unpacked.
pub struct Restore {
    target: PathBuf,
    created_target: bool,
    modes: Modes,
    reader: TarReader,
    open: Option<OpenFile>,
    directories: Vec<PathBuf>,
    checksum: ManifestChecksum,
    found: BTreeMap<String, (u64, Option<String>)>,
    manifest: Vec<u8>,
    finished: bool,
}

impl Restore {
    /// Begins. What an earlier, unfinished one left in `target` is removed first.
    /// `checksum` is the kind that the manifest was asked for with.
    pub fn begin(target: &Path, modes: Modes, checksum: ManifestChecksum) -> Result<Restore, RestoreError> {
        let created_target = prepare(target, modes)?;
        let restore = Restore {
            target: target.to_owned(),
            created_target,
            modes,
            reader: TarReader::default(),
            open: None,
            directories: vec![target.to_owned()],
            checksum,
            found: BTreeMap::new(),
            manifest: Vec::new(),
            finished: false,
        };
        let marker = target.join(INCOMPLETE_MARKER);
        restore.create(&marker)?.sync_all().map_err(RestoreError::io("fsync", &marker))?;
        sync_directory(target)?;
        if let Some(parent) = target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_directory(parent)?;
        }
        Ok(restore)
    }

    /// Takes the next bytes of the archive.
    pub fn archive(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        self.reader.push(bytes);
        while let Some(event) = self.reader.next_event()? {
            match event {
                TarEvent::Member(member) => {
                    if !is_safe(&member.name) || member.name == INCOMPLETE_MARKER {
                        return Err(RestoreError::UnsafePath(member.name));
                    }
                    match member.kind {
                        MemberKind::File => self.begin_file(member.name)?,
                        MemberKind::Directory => self.make_directory(&member.name)?,
                        MemberKind::Other(kind) => {
                            return Err(RestoreError::Kind { name: member.name, kind });
                        }
                    }
                }
                TarEvent::Data(data) => {
                    if let Some(open) = self.open.as_mut() {
                        let path = self.target.join(&open.name);
                        open.file.write_all(&data).map_err(RestoreError::io("write", &path))?;
                        open.sum.update(&data);
                        open.size += data.len() as u64;
                    }
                }
                TarEvent::FileEnd => self.end_file()?,
            }
        }
        Ok(())
    }

    /// Takes the next bytes of the manifest.
    pub fn manifest(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        if self.manifest.len() + bytes.len() > MANIFEST_BYTES_MAX {
            return Err(RestoreError::ManifestTooLarge { max: MANIFEST_BYTES_MAX });
        }
        self.manifest.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes one more file, not part of the backup (`standby.signal`).
    pub fn add_file(&mut self, name: &str, content: &[u8]) -> Result<(), RestoreError> {
        let path = self.target.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(self.modes.file);
        let mut file = options.open(&path).map_err(RestoreError::io("create", &path))?;
        file.write_all(content).map_err(RestoreError::io("write", &path))?;
        file.sync_all().map_err(RestoreError::io("fsync", &path))
    }

    /// The bytes of a small file that was unpacked already.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, RestoreError> {
        let path = self.target.join(name);
        fs::read(&path).map_err(RestoreError::io("read", &path))
    }

    /// Ends: the archive must be complete, and every file what the manifest says (if one
    /// came). Everything is durable when this returns.
    pub fn finish(mut self) -> Result<(), RestoreError> {
        self.reader.finish()?;
        if !self.manifest.is_empty() {
            let manifest = Manifest::parse(&self.manifest)?;
            for (path, entry) in &manifest.files {
                let found =
                    self.found.get(path).ok_or_else(|| RestoreError::Differs(Problem::Missing(path.clone())));
                let (size, sum) = found?;
                compare(path, entry, *size, self.checksum, sum.as_deref()).map_err(RestoreError::Differs)?;
            }
            let bytes = std::mem::take(&mut self.manifest);
            self.add_file(MANIFEST_FILE, &bytes)?;
        }
        for directory in self.directories.iter().rev() {
            sync_directory(directory)?;
        }
        let marker = self.target.join(INCOMPLETE_MARKER);
        fs::remove_file(&marker).map_err(RestoreError::io("remove", &marker))?;
        self.finished = true;
        sync_directory(&self.target)
    }

    fn begin_file(&mut self, name: String) -> Result<(), RestoreError> {
        let file = self.create(&self.target.join(&name))?;
        self.open = Some(OpenFile { name, file, sum: Hasher::new(self.checksum), size: 0 });
        Ok(())
    }

    fn end_file(&mut self) -> Result<(), RestoreError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let path = self.target.join(&open.name);
        open.file.sync_all().map_err(RestoreError::io("fsync", &path))?;
        self.found.insert(open.name, (open.size, open.sum.finish()));
        Ok(())
    }

    fn make_directory(&mut self, name: &str) -> Result<(), RestoreError> {
        let path = self.target.join(name);
        let made = DirBuilder::new().mode(self.modes.directory).create(&path);
        made.map_err(RestoreError::io("create directory", &path))?;
        self.directories.push(path);
        Ok(())
    }

    fn create(&self, path: &Path) -> Result<File, RestoreError> {
        let options = OpenOptions::new().write(true).create_new(true).mode(self.modes.file).clone();
        options.open(path).map_err(RestoreError::io("create", path))
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        self.open = None;
        // whatever cannot be removed still has the marker beside it
        let _ = clear(&self.target);
        let _ = fs::remove_file(self.target.join(INCOMPLETE_MARKER));
        if self.created_target {
            let _ = fs::remove_dir(&self.target);
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
