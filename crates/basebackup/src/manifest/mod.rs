//! `backup_manifest`, as PostgreSQL 15 writes and checks it: one line per file, and a
//! checksum over all lines before the last.

mod read;
mod write;

pub(crate) use read::is_safe;
pub use read::{Manifest, ManifestEntry, ManifestError, manifest_checksum};
pub use write::ManifestWriter;

/// Name of the manifest's file.
pub const MANIFEST_FILE: &str = "backup_manifest";
