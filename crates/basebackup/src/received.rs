use std::collections::BTreeMap;

use walship_protocol::ManifestChecksum;

use crate::checksum::Hasher;
use crate::error::RestoreError;
use crate::manifest::Manifest;
use crate::verify::{Problem, compare, ignored};

/// Largest manifest that is taken, in bytes: some hundred thousand files.
const MANIFEST_BYTES_MAX: usize = 64 << 20;

/// What came of a backup, to be held against its manifest.
pub(crate) struct Received {
    checksum: ManifestChecksum,
    files: BTreeMap<String, (u64, Option<String>)>,
    manifest: Vec<u8>,
}

impl Received {
    /// Nothing yet; `checksum` is the kind that the manifest was asked for with.
    pub(crate) fn new(checksum: ManifestChecksum) -> Received {
        Received { checksum, files: BTreeMap::new(), manifest: Vec::new() }
    }

    /// What a file's bytes are to go through.
    pub(crate) fn hasher(&self) -> Hasher {
        Hasher::new(self.checksum)
    }

    /// A file is complete.
    pub(crate) fn file(&mut self, name: String, size: u64, sum: Hasher) {
        self.files.insert(name, (size, sum.finish()));
    }

    /// Whether there was a file of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// Takes the next bytes of the manifest.
    pub(crate) fn manifest(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        if self.manifest.len() + bytes.len() > MANIFEST_BYTES_MAX {
            return Err(RestoreError::ManifestTooLarge { max: MANIFEST_BYTES_MAX });
        }
        self.manifest.extend_from_slice(bytes);
        Ok(())
    }

    /// Every file must be what the manifest says, and no other may be there, if a
    /// manifest came; gives its bytes.
    pub(crate) fn check(&self) -> Result<Option<&[u8]>, RestoreError> {
        if self.manifest.is_empty() {
            return Ok(None);
        }
        let manifest = Manifest::parse(&self.manifest)?;
        // what whoever starts the backup writes may be another than the server's by now
        for (path, entry) in manifest.files.iter().filter(|(path, _)| !ignored(path)) {
            let missing = || RestoreError::Differs(Problem::Missing(path.clone()));
            let (size, sum) = self.files.get(path).ok_or_else(missing)?;
            compare(path, entry, *size, self.checksum, sum.as_deref()).map_err(RestoreError::Differs)?;
        }
        let extra = self.files.keys().find(|path| !manifest.files.contains_key(*path) && !ignored(path));
        match extra {
            Some(path) => Err(RestoreError::Differs(Problem::Extra(path.clone()))),
            None => Ok(Some(&self.manifest)),
        }
    }
}
