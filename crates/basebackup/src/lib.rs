//! Base backups: a consistent copy of a cluster, taken while it is written to.

mod item;

pub use item::{BackupFile, FileContent};
