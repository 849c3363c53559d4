use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use walship_types::{DatabaseId, DatabaseName, Lsn, PageSize, SystemId, Timestamp};
use walship_wal::payload::{Checkpoint, CreateDatabase, Payload};
use walship_wal::{Record, RecordKind};

use super::catalog::{RedoCatalog, ReplayedDatabase};
use super::error::{RedoError, ReplayProblem, ReplayStop};
use super::replica::{Patience, Replica};
use crate::page::{PageHashes, TrackedHashes};

/// Page images that replay holds in memory, at most, over all databases: what is
/// beyond it is committed, or written into the transaction that is open.
pub const REPLAY_BYTES_MAX: usize = 32 << 20;

/// What replay has to know about its node.
#[derive(Debug, Clone)]
pub struct RedoOptions {
    /// The directory of the database files, `base`.
    pub base: PathBuf,
    /// The cluster.
    pub system_id: SystemId,
    /// Page cache of the connection that writes, in KiB, for each database.
    pub cache_kib: u32,
    /// Page images held in memory, at most, in bytes.
    pub buffer_bytes_max: usize,
}

impl RedoOptions {
    /// The defaults for the databases of `system_id` in `base`.
    pub fn new(base: impl Into<PathBuf>, system_id: SystemId) -> RedoOptions {
        RedoOptions { base: base.into(), system_id, cache_kib: 4096, buffer_bytes_max: REPLAY_BYTES_MAX }
    }

    /// `base/NAME.db`.
    pub fn database_path(&self, name: &DatabaseName) -> PathBuf {
        self.base.join(format!("{name}.db"))
    }

    /// `base/NAME.hash`.
    pub fn hash_path(&self, name: &DatabaseName) -> PathBuf {
        self.base.join(format!("{name}.hash"))
    }
}

/// Turns records into pages of the databases in `base`.
///
/// One thread owns it and feeds it every record in order; what it took in becomes
/// visible to readers with [`commit_batch`](Redo::commit_batch), which makes one
/// SQLite transaction per database of it.
pub struct Redo {
    pub(super) options: RedoOptions,
    pub(super) catalog: Arc<dyn RedoCatalog>,
    pub(super) replicas: BTreeMap<DatabaseId, Replica>,
    pub(super) stopped: BTreeMap<DatabaseId, ReplayStop>,
    /// Databases whose drop was seen; records about them that come again are skipped.
    pub(super) dropped: BTreeSet<DatabaseId>,
    /// End of the last record that was taken in.
    pub(super) taken: Lsn,
    /// Up to here readers see everything.
    pub(super) visible: Lsn,
    pub(super) last_commit_time: Option<Timestamp>,
    pub(super) checkpoint: Option<(Lsn, Checkpoint)>,
    pub(super) cancel: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Redo {
    /// End of the last record that was taken in.
    pub fn taken(&self) -> Lsn {
        self.taken
    }

    /// Up to here readers see every transaction of every database. Stays where the
    /// first database stopped, if one did.
    pub fn visible(&self) -> Lsn {
        self.visible
    }

    /// Commit time of the last transaction taken in.
    pub fn last_commit_time(&self) -> Option<Timestamp> {
        self.last_commit_time
    }

    /// Databases whose replay stopped, and why.
    pub fn stopped(&self) -> impl Iterator<Item = &ReplayStop> {
        self.stopped.values()
    }

    /// Whether something was taken in that readers do not see yet.
    pub fn has_batch(&self) -> bool {
        self.taken > self.visible
    }

    /// Asked while another program's write lock is in the way: whether to give up.
    pub(super) fn set_cancel(&mut self, cancel: Arc<dyn Fn() -> bool + Send + Sync>) {
        self.cancel = cancel;
    }

    /// The earliest position that the log has to be read from to go on: where the
    /// oldest transaction begins that has parts but no commit yet.
    pub fn resume_from(&self) -> Lsn {
        self.replicas.values().filter_map(Replica::open_start).chain([self.taken]).min().unwrap_or(self.taken)
    }

    /// Takes in a record. Records that were taken in before are skipped, so going
    /// back in the log is harmless.
    pub fn apply(&mut self, record: &Record) -> Result<(), RedoError> {
        let (lsn, end) = (record.lsn, record.end);
        match record.kind {
            RecordKind::Pages | RecordKind::Commit => self.apply_pages(record)?,
            kind => {
                let payload = Payload::decode(kind, &record.payload)
                    .map_err(|source| RedoError::Payload { lsn, source })?;
                if end > self.taken {
                    self.apply_other(lsn, payload)?;
                }
            }
        }
        self.taken = self.taken.max(end);
        if self.buffered_bytes() > self.options.buffer_bytes_max {
            self.relieve(lsn)?;
        }
        Ok(())
    }

    /// Makes everything that was taken in visible to readers, and returns up to where
    /// they now see.
    pub fn commit_batch(&mut self) -> Result<Lsn, RedoError> {
        self.commit_batch_and(|_| {})
    }

    /// The same, with a call as soon as readers see it: what comes behind is replay's own
    /// business.
    pub(super) fn commit_batch_and(&mut self, visible: impl FnOnce(&Redo)) -> Result<Lsn, RedoError> {
        let lsn = self.taken;
        let ids: Vec<DatabaseId> =
            self.replicas.iter().filter(|(_, replica)| replica.has_batch()).map(|(id, _)| *id).collect();
        let committed = ids.iter().try_for_each(|id| {
            self.with_replica(*id, lsn, |replica, patience| {
                replica.commit_batch(patience).inspect_err(|_| {
                    // the images are still in memory; only SQLite's transaction is lost
                    let _ = replica.abandon_write();
                })
            })
        });
        if committed.is_ok() {
            let stop = self.stopped.values().map(|stop| stop.lsn).min();
            self.visible = stop.map_or(self.taken, |stop| stop.min(self.taken)).max(self.visible);
            visible(self);
        }
        // whatever became of the others
        let held = ids.iter().try_for_each(|id| self.with_replica(*id, lsn, Replica::hold_again));
        committed.and(held).map(|()| self.visible)
    }

    fn apply_pages(&mut self, record: &Record) -> Result<(), RedoError> {
        let (lsn, end) = (record.lsn, record.end);
        let payload = Payload::decode(record.kind, &record.payload)
            .map_err(|source| RedoError::Payload { lsn, source })?;
        let id = match &payload {
            Payload::Pages(part) => part.database,
            Payload::Commit(commit) => commit.database,
            _ => return Ok(()),
        };
        if self.dropped.contains(&id) || self.stopped.contains_key(&id) {
            return Ok(());
        }
        let known = self.replicas.get(&id).ok_or(RedoError::UnknownDatabase { lsn, id })?;
        if end <= known.seen() {
            return Ok(());
        }
        let new = known.db().is_none();
        match payload {
            Payload::Pages(part) => self.with_replica(id, lsn, |replica, patience| {
                replica.part(lsn, part.first, part.page_size, part.entries(), patience)?;
                replica.mark_seen(end);
                Ok(())
            })?,
            Payload::Commit(commit) => {
                self.with_replica(id, lsn, |replica, patience| {
                    replica.commit(lsn, &commit, patience)?;
                    replica.mark_seen(end);
                    replica.hashes().lock().lsn = end;
                    Ok(())
                })?;
                self.last_commit_time = Some(commit.time);
            }
            _ => {}
        }
        if new { self.announce(id) } else { Ok(()) }
    }

    fn apply_other(&mut self, lsn: Lsn, payload: Payload<'_>) -> Result<(), RedoError> {
        match payload {
            Payload::CreateDatabase(create) => self.create(create, lsn),
            Payload::DropDatabase(dropped) => self.drop_database(dropped.id, &dropped.name, lsn),
            Payload::Checkpoint(checkpoint) => {
                self.checkpoint = Some((lsn, checkpoint));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A new database has no file until its first commit, which tells its page size.
    fn create(&mut self, create: CreateDatabase, lsn: Lsn) -> Result<(), RedoError> {
        if self.replicas.contains_key(&create.id) || self.dropped.contains(&create.id) {
            return Ok(());
        }
        let path = self.options.database_path(&create.name);
        // left over from a database of that name whose removal a crash interrupted
        super::files::remove_database(&path, &self.options.hash_path(&create.name))?;
        let hashes = Arc::new(TrackedHashes::new(PageHashes::new(PageSize::DEFAULT)));
        let identity = (create.id, create.name);
        let replica = Replica::new(identity, path, self.options.cache_kib, hashes, (lsn, None));
        self.replicas.insert(replica.id, replica);
        Ok(())
    }

    fn drop_database(&mut self, id: DatabaseId, name: &DatabaseName, lsn: Lsn) -> Result<(), RedoError> {
        self.dropped.insert(id);
        self.stopped.remove(&id);
        let Some(mut replica) = self.replicas.remove(&id) else { return Ok(()) };
        self.catalog.dropping(id, name)?;
        replica.close()?;
        tracing::info!(database = %name, %lsn, "database dropped");
        super::files::remove_database(replica.path(), &self.options.hash_path(name))
    }

    /// Tells that a database can be opened, if replay has it open.
    pub(super) fn announce(&self, id: DatabaseId) -> Result<(), RedoError> {
        match self.replicas.get(&id) {
            Some(replica) if replica.db().is_some() => self.announce_file(id),
            _ => Ok(()),
        }
    }

    /// Tells that a database can be opened, if there is a file.
    pub(super) fn announce_file(&self, id: DatabaseId) -> Result<(), RedoError> {
        let Some(replica) = self.replicas.get(&id).filter(|replica| replica.path().exists()) else {
            return Ok(());
        };
        let path: &Path = replica.path();
        let database = ReplayedDatabase { id, name: &replica.name, path, hashes: replica.hashes() };
        Ok(self.catalog.opened(&database)?)
    }

    fn buffered_bytes(&self) -> usize {
        self.replicas.values().map(Replica::buffered_bytes).sum()
    }

    /// Brings the memory in use under its bound again: complete transactions are
    /// committed, and if open ones alone are too much, the largest goes into its
    /// SQLite transaction.
    fn relieve(&mut self, lsn: Lsn) -> Result<(), RedoError> {
        self.commit_batch()?;
        if self.buffered_bytes() <= self.options.buffer_bytes_max / 2 {
            return Ok(());
        }
        let largest = self.replicas.values().max_by_key(|replica| replica.buffered_bytes());
        let Some(id) = largest.map(|replica| replica.id) else { return Ok(()) };
        self.with_replica(id, lsn, |replica, patience| replica.stream(patience))
    }

    /// Runs `step` for one database. What is wrong with that database alone stops
    /// its replay and nothing else; a full disk and a cancel are the caller's.
    fn with_replica(
        &mut self,
        id: DatabaseId,
        lsn: Lsn,
        step: impl FnOnce(&mut Replica, &Patience<'_>) -> Result<(), ReplayProblem>,
    ) -> Result<(), RedoError> {
        let cancel = Arc::clone(&self.cancel);
        let patience = Patience { deadline: None, cancel: &*cancel };
        let Some(replica) = self.replicas.get_mut(&id) else { return Ok(()) };
        let Err(problem) = step(replica, &patience) else { return Ok(()) };
        if problem.is_no_space() {
            replica.roll_back().ok();
            let database = replica.name.clone();
            let retry_from = self.resume_from();
            return Err(RedoError::NoSpace { database, retry_from });
        }
        if problem.is_locked() && cancel() {
            return Err(RedoError::Cancelled);
        }
        self.stop(id, lsn, problem)
    }

    /// Stops one database: its last good transactions become visible, nothing after.
    pub(super) fn stop(&mut self, id: DatabaseId, lsn: Lsn, problem: ReplayProblem) -> Result<(), RedoError> {
        let cancel = Arc::clone(&self.cancel);
        let patience = Patience { deadline: None, cancel: &*cancel };
        let Some(replica) = self.replicas.get_mut(&id) else { return Ok(()) };
        let stop = ReplayStop { database: replica.name.clone(), id, lsn, problem };
        let settled = replica.roll_back().and_then(|()| replica.commit_batch(&patience));
        let settled = settled.and_then(|()| replica.hold_again(&patience));
        if let Err(error) = settled {
            tracing::error!(database = %stop.database, %error, "could not commit what was replayed before");
        }
        self.catalog.stopped(&stop);
        self.stopped.insert(id, stop);
        Ok(())
    }
}

impl std::fmt::Debug for Redo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redo")
            .field("taken", &self.taken)
            .field("visible", &self.visible)
            .field("databases", &self.replicas.len())
            .field("stopped", &self.stopped.len())
            .finish_non_exhaustive()
    }
}
