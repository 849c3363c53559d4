use std::path::Path;
use std::sync::Arc;

use walship_types::{DatabaseId, DatabaseName};

use super::error::ReplayStop;
use crate::EngineError;
use crate::page::TrackedHashes;

/// What replay tells whoever lets sessions in.
///
/// Called from the replay thread; an implementation must not wait for replay.
pub trait RedoCatalog: Send + Sync {
    /// A database can be opened from now on.
    fn opened(&self, database: &ReplayedDatabase<'_>) -> Result<(), EngineError>;

    /// A database is about to be removed: no session may find it any more.
    fn dropping(&self, id: DatabaseId, name: &DatabaseName) -> Result<(), EngineError>;

    /// A database's replay has stopped, for good or until a restart.
    fn stopped(&self, stop: &ReplayStop);
}

/// A database that is there to be read.
#[derive(Debug)]
pub struct ReplayedDatabase<'a> {
    /// Its id.
    pub id: DatabaseId,
    /// Its name.
    pub name: &'a DatabaseName,
    /// Its file.
    pub path: &'a Path,
    /// The hashes that its pages have.
    pub hashes: &'a Arc<TrackedHashes>,
}
