use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use walship_types::{DatabaseId, DatabaseName, Lsn};
use walship_wal::WalSource;
use walship_wal::payload::DatabaseState;

use super::apply::{Redo, RedoOptions};
use super::catalog::RedoCatalog;
use super::error::{RedoError, ReplayProblem, ReplayStop};
use super::replica::Replica;
use crate::dbpage::DbPage;
use crate::page::TrackedHashes;
use crate::recovery::{LogScan, NotRestored, Restored, ScanStart, ScannedDatabase, restore};

/// Where a follower's replay starts.
#[derive(Debug, Clone)]
pub struct RedoStart {
    /// The restartpoint's redo point.
    pub redo: Lsn,
    /// End of the follower's own valid log.
    pub end: Lsn,
    /// The databases as of the redo point.
    pub states: Vec<DatabaseState>,
    /// Replay has to reach this before the files are consistent: the end of a base
    /// backup, or what was replayed before. `0/0` if there is nothing of the kind.
    pub consistent_at: Lsn,
}

impl Redo {
    /// Brings every database to the end of the log and opens them for more. When it
    /// returns readers can be let in: they see all that was ever seen here before.
    ///
    /// A database that cannot be brought there is stopped, loudly; the others go on.
    /// A log that ends before `consistent_at` is an error: more of it has to be
    /// received first.
    pub fn start(
        options: RedoOptions,
        catalog: Arc<dyn RedoCatalog>,
        source: &WalSource,
        start: &RedoStart,
        cancel: Arc<dyn Fn() -> bool + Send + Sync>,
    ) -> Result<Redo, RedoError> {
        crate::sqlite::check_requirements()?;
        let RedoStart { redo: redo_point, end, consistent_at, .. } = *start;
        if end < consistent_at {
            return Err(RedoError::NotConsistent { end, consistent_at });
        }
        let scan_start = ScanStart {
            redo: redo_point,
            end,
            states: start.states.clone(),
            own_timeline: None,
            own_states: false,
        };
        let mut scan = LogScan::run(&options, source, &scan_start)?;
        finish_drops(&options, &scan)?;
        let mut redo = Redo {
            options,
            catalog,
            replicas: BTreeMap::new(),
            stopped: BTreeMap::new(),
            dropped: scan.dropped.keys().copied().collect::<BTreeSet<DatabaseId>>(),
            taken: scan.end,
            visible: scan.end,
            last_commit_time: scan.last_commit_time,
            checkpoint: scan.checkpoint.take(),
            cancel,
        };
        for (_, mut scanned) in std::mem::take(&mut scan.databases) {
            match restore(&redo.options, source, (redo_point, end), &mut scanned) {
                Ok(restored) => redo.open_database(scanned, restored, end)?,
                Err(NotRestored::Database(problem)) => redo.stop_at_start(scanned, problem, redo_point)?,
                Err(NotRestored::Recovery(error)) => return Err(error),
            }
        }
        Ok(redo)
    }

    fn open_database(
        &mut self,
        scanned: ScannedDatabase,
        restored: Option<(DbPage, Restored)>,
        end: Lsn,
    ) -> Result<(), RedoError> {
        let (db, restored) = restored.unzip();
        if let Some(restored) = restored.filter(|restored| restored.differing > 0) {
            tracing::info!(database = %scanned.name, lsn = %end, pages = restored.from_log, "replayed");
            if restored.from_remains > 0 {
                tracing::error!(
                    database = %scanned.name, pages = restored.from_remains,
                    "another program wrote to the database while this node was down; it was taken back"
                );
            }
        }
        let seen = (end, scanned.open_from);
        let path = self.options.database_path(&scanned.name);
        let hashes = Arc::new(TrackedHashes::new(scanned.hashes));
        hashes.lock().lsn = end;
        let identity = (scanned.id, scanned.name);
        let mut replica = Replica::new(identity, path, self.options.cache_kib, hashes, seen);
        let opened = db.map_or(Ok(()), |db| replica.take_over(db));
        let id = replica.id;
        self.replicas.insert(id, replica);
        match opened {
            Ok(()) => self.announce(id),
            Err(problem) => self.stop(id, end, problem),
        }
    }

    /// The database can still be read as it is; it is not fenced, and not replayed.
    fn stop_at_start(
        &mut self,
        scanned: ScannedDatabase,
        problem: ReplayProblem,
        lsn: Lsn,
    ) -> Result<(), RedoError> {
        let id = scanned.id;
        let path = self.options.database_path(&scanned.name);
        let hashes = Arc::new(TrackedHashes::new(scanned.hashes));
        hashes.lock().settle(false);
        let stop = ReplayStop { database: scanned.name.clone(), id, lsn, problem };
        let replica = Replica::new((id, scanned.name), path, self.options.cache_kib, hashes, (lsn, None));
        self.replicas.insert(id, replica);
        self.visible = self.visible.min(lsn);
        self.announce_file(id)?;
        self.catalog.stopped(&stop);
        self.stopped.insert(id, stop);
        Ok(())
    }
}

/// Finishes removals that a crash interrupted, but for names that are in use again.
pub(crate) fn finish_drops(options: &RedoOptions, scan: &LogScan) -> Result<(), RedoError> {
    let in_use: BTreeSet<&DatabaseName> = scan.databases.values().map(|database| &database.name).collect();
    for name in scan.dropped.values().filter(|name| !in_use.contains(name)) {
        super::files::remove_database(&options.database_path(name), &options.hash_path(name))?;
    }
    Ok(())
}
