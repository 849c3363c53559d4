use std::path::PathBuf;
use std::time::Duration;

use walship_types::SystemId;

/// What the engine is told when it starts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EngineOptions {
    /// The directory of the database files, `base`.
    pub base: PathBuf,
    /// The cluster, named in the files of page hashes.
    pub system_id: SystemId,
    /// Page cache of a session's connection, in KiB.
    pub cache_kib: u32,
    /// Size of a -wal, in bytes, from which on it is made to restart.
    pub seal_bytes: u64,
    /// Memory for the last logged content of pages, per database, in bytes:
    /// a page that is in it is logged as what changed, any other in full.
    pub capture_cache_bytes: usize,
    /// How often a database is looked at for commits of foreign programs.
    pub poll_interval: Duration,
    /// How long writers may be kept waiting, at most, while a -wal that is too
    /// large waits for readers to get out of the way.
    pub seal_wait: Duration,
}

impl EngineOptions {
    /// The defaults for the databases in `base` of cluster `system_id`.
    pub fn new(base: impl Into<PathBuf>, system_id: SystemId) -> EngineOptions {
        EngineOptions {
            base: base.into(),
            system_id,
            cache_kib: 1024,
            seal_bytes: 16 << 20,
            capture_cache_bytes: 16 << 20,
            poll_interval: Duration::from_millis(500),
            seal_wait: Duration::from_secs(2),
        }
    }
}
