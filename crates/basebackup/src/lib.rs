//! Base backups: a consistent copy of a cluster, taken while it is written to.
//!
//! [`Taker`] writes the archive and its manifest from [`BackupFile`]s, [`Restore`] unpacks
//! one into an empty directory, [`Store`] keeps it as it is, [`verify`] holds a directory against its manifest, and
//! [`BackupLabel`] says where replay has to start. Formats are PostgreSQL 15's, so that its
//! tools take and check these backups.
//!
//! ```
//! use walship_basebackup::{BackupFile, Modes, Restore, Taker};
//! use walship_protocol::ManifestChecksum;
//! use walship_types::Timestamp;
//! # let scratch = tempfile::tempdir().unwrap();
//! # let target = scratch.path().join("target");
//! let mut archive: Vec<u8> = Vec::new();
//! let mut taker = Taker::new(&mut archive, None, Modes::new(false), None, Timestamp::now());
//! taker.file(&BackupFile::in_memory("PG_VERSION", "15\n", Timestamp::now())).unwrap();
//! taker.finish().unwrap();
//! let mut restore = Restore::begin(&target, Modes::new(false), ManifestChecksum::Crc32c).unwrap();
//! restore.archive(archive.into()).unwrap();
//! restore.finish().unwrap();
//! assert_eq!(std::fs::read(target.join("PG_VERSION")).unwrap(), b"15\n");
//! ```

mod checksum;
mod clock;
mod error;
mod item;
mod label;
mod manifest;
mod received;
mod restore;
mod store;
mod take;
pub mod tar;
mod target;
mod verify;

pub use error::RestoreError;
pub use item::{BackupFile, FileContent};
pub use label::{BACKUP_LABEL_FILE, BackupLabel, LabelError};
pub use manifest::{
    MANIFEST_FILE, Manifest, ManifestEntry, ManifestError, ManifestWriter, manifest_checksum,
};
pub use restore::Restore;
pub use store::{Store, read_stored, stored_archive};
pub use take::{BackupSink, Modes, TakeError, Taker};
pub use target::{INCOMPLETE_MARKER, TargetDirectory};
pub use verify::{Problem, verify};
