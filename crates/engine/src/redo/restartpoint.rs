use walship_types::{DatabaseId, Lsn, SystemId, TimelineId};
use walship_wal::payload::{Checkpoint, DatabaseState};

use super::apply::Redo;
use super::error::RedoError;
use super::files::{sqlite_wal_position, sync_database};
use super::replica::Replica;
use crate::page::HashFile;

/// A point from which a follower's replay can start again. Everything before it is
/// durable in the database files; it goes into the control file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restartpoint {
    /// Where replay starts: the redo point of the leader's checkpoint.
    pub redo: Lsn,
    /// Start of that checkpoint's record.
    pub checkpoint_lsn: Lsn,
    /// The timeline that it was written on.
    pub timeline: TimelineId,
    /// Up to here everything is in the page hashes: replay has to come this far again
    /// before the files may be read.
    pub as_of: Lsn,
    /// The id that the next database gets.
    pub next_database_id: DatabaseId,
    /// The databases as of `redo`, with this node's own -wal positions.
    pub states: Vec<DatabaseState>,
}

impl Redo {
    /// The last checkpoint that was replayed: its record's LSN, its redo point.
    pub fn last_checkpoint(&self) -> Option<(Lsn, Lsn)> {
        self.checkpoint.as_ref().map(|(lsn, checkpoint)| (*lsn, checkpoint.redo))
    }

    /// Makes everything replayed so far durable in the database files, so that replay
    /// can start again from the last checkpoint's redo point. `None` if there was no
    /// checkpoint, or a database has stopped: then the log that might heal it stays.
    ///
    /// The caller writes the control file, and only then lets go of older log.
    pub fn restartpoint(&mut self) -> Result<Option<Restartpoint>, RedoError> {
        self.commit_batch()?;
        if !self.stopped.is_empty() {
            return Ok(None);
        }
        let Some((checkpoint_lsn, checkpoint)) = self.checkpoint.clone() else { return Ok(None) };
        let as_of = self.taken;
        for replica in self.replicas.values().filter(|replica| replica.db().is_some()) {
            // first the pages, then the hashes that say what they are
            sync_database(replica.path())?;
            self.write_hash_file(replica, self.options.system_id, as_of)?;
        }
        let Checkpoint { redo, timeline, next_database_id, databases, .. } = checkpoint;
        let states = databases
            .into_iter()
            .map(|state| self.with_own_position(state))
            .collect::<Result<Vec<DatabaseState>, RedoError>>()?;
        Ok(Some(Restartpoint { redo, checkpoint_lsn, timeline, as_of, next_database_id, states }))
    }

    /// Writes the page hashes of every database as they are now, for a cluster of this
    /// system identifier whose log goes on at `as_of`. Commits what was taken in.
    pub fn write_hashes(&mut self, system_id: SystemId, as_of: Lsn) -> Result<(), RedoError> {
        self.commit_batch()?;
        let there = self.replicas.values().filter(|replica| replica.path().exists());
        there.into_iter().try_for_each(|replica| {
            sync_database(replica.path())?;
            self.write_hash_file(replica, system_id, as_of)
        })
    }

    fn write_hash_file(&self, replica: &Replica, system_id: SystemId, as_of: Lsn) -> Result<(), RedoError> {
        let hashes = replica.hashes().lock().hashes.clone();
        let file = HashFile { system_id, database: replica.id, as_of, hashes };
        Ok(file.write(&self.options.hash_path(&replica.name))?)
    }

    /// The databases as they are now, with this node's own -wal positions: what a
    /// promotion goes on with. Commits what was taken in.
    pub fn states(&mut self) -> Result<Vec<DatabaseState>, RedoError> {
        self.commit_batch()?;
        self.replicas
            .values()
            .filter(|replica| replica.path().exists())
            .map(|replica| {
                let tracked = replica.hashes().lock();
                let hashes = &tracked.hashes;
                let (page_size, pages, checksum) = (hashes.page_size(), hashes.pages(), hashes.checksum());
                drop(tracked);
                let position = sqlite_wal_position(replica.path())?;
                let (id, name) = (replica.id, replica.name.clone());
                Ok(DatabaseState { id, name, page_size, pages, checksum, position })
            })
            .collect()
    }

    /// An id that no database ever had, as far as the log says.
    pub fn next_database_id(&self) -> DatabaseId {
        let seen = self.replicas.keys().chain(&self.dropped).map(|id| DatabaseId(id.0 + 1)).max();
        let noted = self.checkpoint.as_ref().map(|(_, checkpoint)| checkpoint.next_database_id);
        seen.max(noted).unwrap_or(DatabaseId(1))
    }

    /// Makes durable what was replayed, lets go of every write lock and file, and
    /// returns the last position that readers see.
    pub fn close(mut self) -> Result<Lsn, RedoError> {
        self.commit_batch()?;
        for replica in self.replicas.values_mut() {
            sync_database(replica.path())?;
            replica.close()?;
        }
        Ok(self.visible)
    }

    fn with_own_position(&self, mut state: DatabaseState) -> Result<DatabaseState, RedoError> {
        if let Some(replica) = self.replicas.get(&state.id).filter(|replica| replica.db().is_some()) {
            state.position = sqlite_wal_position(replica.path())?;
        }
        Ok(state)
    }
}
