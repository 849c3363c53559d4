use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use walship_protocol::ManifestChecksum;

use crate::checksum::Hasher;
use crate::error::RestoreError;
use crate::manifest::{MANIFEST_FILE, Manifest, ManifestEntry};

/// Bytes read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Something that is not as the manifest says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A listed file is not there.
    #[error("\"{0}\" is present in the manifest but not on disk")]
    Missing(String),
    /// A file is not listed.
    #[error("\"{0}\" is present on disk but not in the manifest")]
    Extra(String),
    /// A file has another size.
    #[error("\"{path}\" has size {found} on disk but size {expected} in the manifest")]
    Size {
        /// The file.
        path: String,
        /// In the manifest.
        expected: u64,
        /// On disk.
        found: u64,
    },
    /// A file has other content.
    #[error("checksum mismatch for file \"{path}\": expected {expected}, found {found}")]
    Checksum {
        /// The file.
        path: String,
        /// In the manifest.
        expected: String,
        /// On disk.
        found: String,
    },
    /// A file cannot be read.
    #[error("could not read file \"{path}\": {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
}

/// What pg_verifybackup leaves out too: the log has its own checksums, and these files
/// are written by whoever starts the backup.
const IGNORED: &[&str] =
    &[MANIFEST_FILE, "pg_wal", "postgresql.auto.conf", "recovery.signal", "standby.signal"];

/// Holds a plain backup against its manifest and gives everything that is wrong with it.
/// `progress` is called with the bytes read so far and in all.
pub fn verify(directory: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Vec<Problem>, RestoreError> {
    let path = directory.join(MANIFEST_FILE);
    let bytes = fs::read(&path).map_err(RestoreError::io("read", &path))?;
    let manifest = Manifest::parse(&bytes)?;
    let mut problems = Vec::new();
    let mut extra = BTreeSet::new();
    list(directory, "", &mut extra)?;
    for path in manifest.files.keys() {
        extra.remove(path);
    }
    problems.extend(extra.into_iter().map(Problem::Extra));
    let total = manifest.files.values().map(|entry| entry.size).sum();
    let mut done = 0;
    for (path, entry) in &manifest.files {
        problems.extend(check_file(directory, path, entry, &mut |read| progress(done + read, total)).err());
        done += entry.size;
        progress(done, total);
    }
    Ok(problems)
}

fn check_file(
    directory: &Path,
    path: &str,
    entry: &ManifestEntry,
    progress: &mut dyn FnMut(u64),
) -> Result<(), Problem> {
    if ignored(path) {
        return Ok(());
    }
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Problem::Missing(path.to_owned()),
        _ => Problem::Unreadable { path: path.to_owned(), reason: error.to_string() },
    };
    let mut file = File::open(directory.join(path)).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?.len();
    if found != entry.size {
        return Err(Problem::Size { path: path.to_owned(), expected: entry.size, found });
    }
    let kind = entry.checksum.as_ref().map_or(ManifestChecksum::None, |(kind, _)| *kind);
    if kind == ManifestChecksum::None {
        return Ok(());
    }
    let mut sum = Hasher::new(kind);
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut size = 0;
    loop {
        let read = file.read(&mut chunk).map_err(unreadable)?;
        if read == 0 {
            return compare(path, entry, size, kind, sum.finish().as_deref());
        }
        sum.update(chunk.get(..read).unwrap_or(&[]));
        size += read as u64;
        progress(size);
    }
}

/// Holds one file's size and checksum against its line.
pub(crate) fn compare(
    path: &str,
    entry: &ManifestEntry,
    size: u64,
    kind: ManifestChecksum,
    sum: Option<&str>,
) -> Result<(), Problem> {
    if size != entry.size {
        return Err(Problem::Size { path: path.to_owned(), expected: entry.size, found: size });
    }
    match (&entry.checksum, sum) {
        (Some((listed, expected)), Some(found)) if *listed == kind && expected != found => {
            let (path, expected, found) = (path.to_owned(), expected.clone(), found.to_owned());
            Err(Problem::Checksum { path, expected, found })
        }
        _ => Ok(()),
    }
}

/// Whether the manifest says nothing of this path.
pub(crate) fn ignored(path: &str) -> bool {
    IGNORED
        .iter()
        .any(|name| path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

fn list(directory: &Path, prefix: &str, found: &mut BTreeSet<String>) -> Result<(), RestoreError> {
    let here: PathBuf = directory.join(prefix);
    for entry in fs::read_dir(&here).map_err(RestoreError::io("read directory", &here))? {
        let entry = entry.map_err(RestoreError::io("read directory", &here))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        if ignored(&path) {
            continue;
        }
        let kind = entry.file_type().map_err(RestoreError::io("stat", &here))?;
        if kind.is_dir() {
            list(directory, &path, found)?;
        } else {
            found.insert(path);
        }
    }
    Ok(())
}
