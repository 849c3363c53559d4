use std::path::PathBuf;

use walship_types::{
    DatabaseId, DatabaseName, Lsn, PageNo, SqliteWalGeneration, SqliteWalPosition, Timestamp,
};
use walship_wal::payload::{Checkpoint, DropDatabase};
use walship_wal::{RecordKind, WalSource, WalWriter};

use super::evidence::{look_at_pages, look_at_sqlite_wal};
use super::foreign::log_foreign_commit;
use super::restore::{NotRestored, restore};
use super::scan::{LogScan, ScanStart, ScannedDatabase};
use super::verdict::{Contradiction, PageEvidence, SqliteWalEvidence, Verdict, judge_pages, judge_positions};
use crate::LeaderStart;
use crate::dbpage::DbPage;
use crate::page::{PageHashes, page_hash};
use crate::redo::{RedoError, RedoOptions, ReplayProblem, sqlite_wal_position};

/// What a leader's start found out about its databases, and did about it.
#[derive(Debug)]
pub struct LeaderRecovery {
    /// The databases, at the end of the log but for what is still to be captured.
    pub databases: Vec<RecoveredDatabase>,
    /// Time of the last commit in the log.
    pub last_commit_time: Option<Timestamp>,
    /// The last checkpoint in the log after the redo point, and the start of its record.
    pub checkpoint: Option<(Lsn, Checkpoint)>,
    /// Databases whose creation a crash interrupted: the log names them, and has no commit
    /// of theirs. See [`LeaderRecovery::log_foreign_commits`].
    pub unfinished: Vec<(DatabaseId, DatabaseName)>,
    /// Larger than every id in the log.
    pub next_database_id: DatabaseId,
}

/// One database after recovery.
#[derive(Debug)]
pub struct RecoveredDatabase {
    /// Its id.
    pub id: DatabaseId,
    /// Its name.
    pub name: DatabaseName,
    /// Its file.
    pub path: PathBuf,
    /// What had happened to it.
    pub verdict: Verdict,
    /// What its pages are according to the log.
    pub hashes: PageHashes,
    /// Every frame of the -wal up to here is in the log; what comes after has to be
    /// captured. Frame 0 of a generation: nothing of it is in the log.
    pub position: SqliteWalPosition,
    /// Pages that another program changed, and that are not in the log yet: see
    /// [`LeaderRecovery::log_foreign_commits`].
    pub foreign_pages: Vec<PageNo>,
}

/// A leader cannot start from the files that it has.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaderRecoveryError {
    /// Both at once: commits were lost and somebody else committed.
    #[error(
        "database \"{database}\" both lacks logged commits ({earlier} pages are older than the log) and has changes \
         that were never logged ({unknown} pages, the first is page {first_unknown}), so that neither replay \
         nor capture is right",
        earlier = evidence.earlier, unknown = evidence.unknown,
        first_unknown = evidence.first_unknown.unwrap_or(PageNo::FIRST)
    )]
    Contradiction {
        /// The database.
        database: DatabaseName,
        /// What its pages have shown.
        evidence: PageEvidence,
    },
    /// Commits were lost from before the redo point, and the log that has them is not kept any more.
    #[error(
        "database \"{database}\" is older than the log that is kept: {unknown} of the {pages} pages that lack logged \
         commits cannot be rebuilt from it, the first is page {first}"
    )]
    OlderThanLog {
        /// The database.
        database: DatabaseName,
        /// How many pages lack logged commits.
        pages: usize,
        /// How many of them the log cannot give.
        unknown: usize,
        /// The first of these.
        first: PageNo,
    },
    /// A database could not be brought to the end of the log.
    #[error("database \"{database}\" cannot be brought to the end of the log: {source}")]
    Database {
        /// The database.
        database: DatabaseName,
        /// Why.
        source: Box<ReplayProblem>,
    },
    /// The page hashes from which capture has to go on are lost.
    #[error("database \"{database}\" has commits that are not in the log, and its page hashes are lost")]
    NoHashes {
        /// The database.
        database: DatabaseName,
    },
    /// The log or the files cannot be read.
    #[error(transparent)]
    Redo(Box<RedoError>),
}

impl<E: Into<RedoError>> From<E> for LeaderRecoveryError {
    fn from(error: E) -> LeaderRecoveryError {
        LeaderRecoveryError::Redo(Box::new(error.into()))
    }
}

impl LeaderRecoveryError {
    /// The ways out.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            LeaderRecoveryError::Contradiction { .. } => Some(
                "save the file; then either start from a base backup or a follower (which loses the changes that \
                 were never logged), or export the database with a stock sqlite3 and import it under another name",
            ),
            LeaderRecoveryError::OlderThanLog { .. } => Some(
                "if its -wal file was taken away, put it back; else promote a follower, or restore a base backup with \
                 the log since it was taken",
            ),
            LeaderRecoveryError::NoHashes { .. } | LeaderRecoveryError::Database { .. } => {
                Some("promote a follower, or restore a base backup with the log since it was taken")
            }
            LeaderRecoveryError::Redo(_) => None,
        }
    }
}

impl LeaderRecovery {
    /// Holds every database of a leader against its log, before anyone connects, and
    /// replays what was lost. The log is only read.
    pub fn run(
        options: &RedoOptions,
        source: &WalSource,
        start: &ScanStart,
    ) -> Result<LeaderRecovery, LeaderRecoveryError> {
        crate::sqlite::check_requirements()?;
        let mut scan = LogScan::run(options, source, start)?;
        crate::redo::finish_drops(options, &scan)?;
        let next = scan.databases.keys().chain(scan.dropped.keys()).max().map_or(0, |id| id.0);
        let log = Log { options, source, redo: start.redo, end: start.end };
        let databases = std::mem::take(&mut scan.databases);
        let (mut recovered, mut unfinished) = (Vec::new(), Vec::new());
        for scanned in databases.into_values() {
            let named = (scanned.id, scanned.name.clone());
            match log.recover(scanned)? {
                Some(database) => recovered.push(database),
                None => unfinished.push(named),
            }
        }
        Ok(LeaderRecovery {
            databases: recovered,
            unfinished,
            last_commit_time: scan.last_commit_time,
            next_database_id: DatabaseId(next.saturating_add(1)),
            checkpoint: scan.checkpoint,
        })
    }

    /// Logs what other programs committed while the leader was down, as full images of
    /// the pages that they changed, and that unfinished databases are no more: followers
    /// have them, and would know two of a name once it is taken again. Afterwards every database can be led from its
    /// `hashes` and `position`.
    pub fn log_foreign_commits(&mut self, writer: &WalWriter) -> Result<(), LeaderRecoveryError> {
        for database in self.databases.iter_mut().filter(|database| !database.foreign_pages.is_empty()) {
            let end = log_foreign_commit(database, writer)?;
            database.foreign_pages.clear();
            tracing::warn!(database = %database.name, lsn = %end, "logged another program's commit");
        }
        for (id, name) in self.unfinished.drain(..) {
            let mut payload = Vec::new();
            DropDatabase { id, name: name.clone() }.encode(&mut payload);
            let end = writer.append(RecordKind::DropDatabase, &[&payload])?.end;
            writer.flush(end)?;
            tracing::warn!(database = %name, lsn = %end, "dropped a database whose creation was interrupted");
        }
        Ok(())
    }
}

/// The log that recovery works from.
struct Log<'a> {
    options: &'a RedoOptions,
    source: &'a WalSource,
    redo: Lsn,
    end: Lsn,
}

impl Log<'_> {
    /// `None`: a database that was created but never had a commit, nor a file.
    fn recover(
        &self,
        mut scanned: ScannedDatabase,
    ) -> Result<Option<RecoveredDatabase>, LeaderRecoveryError> {
        let path = self.options.database_path(&scanned.name);
        if !path.exists() {
            return self.make_file(scanned, path);
        }
        // opening it brings it back to WAL mode, should a stock program have left that
        let db = DbPage::open(&path, self.options.cache_kib)?;
        let evidence = look_at_sqlite_wal(&path, &scanned)?;
        let (verdict, foreign_pages) = match judge_positions(evidence) {
            Some(verdict) => (verdict, Vec::new()),
            None => self.judge_by_pages(&db, &scanned, evidence)?,
        };
        drop(db);
        tell(&scanned.name, verdict, foreign_pages.len());
        if verdict == Verdict::LostWork {
            self.replay(&mut scanned)?;
        }
        if !scanned.complete {
            complete_hashes(&path, &mut scanned, verdict)?;
        }
        let found = sqlite_wal_position(&path)?;
        let position = match verdict {
            Verdict::Ahead => scanned.position.unwrap_or(found),
            Verdict::RestartedAfterSeal => nothing_of(found.generation),
            Verdict::Level | Verdict::LostWork | Verdict::ForeignCommit => found,
        };
        let ScannedDatabase { id, name, hashes, .. } = scanned;
        Ok(Some(RecoveredDatabase { id, name, path, verdict, hashes, position, foreign_pages }))
    }

    /// A database of which the log has everything, and the disk nothing.
    fn make_file(
        &self,
        mut scanned: ScannedDatabase,
        path: PathBuf,
    ) -> Result<Option<RecoveredDatabase>, LeaderRecoveryError> {
        if scanned.created && scanned.hashes.pages() == 0 {
            return Ok(None);
        }
        self.replay(&mut scanned)?;
        tell(&scanned.name, Verdict::LostWork, 0);
        let position = sqlite_wal_position(&path)?;
        let ScannedDatabase { id, name, hashes, .. } = scanned;
        let (verdict, foreign_pages) = (Verdict::LostWork, Vec::new());
        Ok(Some(RecoveredDatabase { id, name, path, verdict, hashes, position, foreign_pages }))
    }

    fn judge_by_pages(
        &self,
        db: &DbPage,
        scanned: &ScannedDatabase,
        wal: SqliteWalEvidence,
    ) -> Result<(Verdict, Vec<PageNo>), LeaderRecoveryError> {
        if db.page_size() != scanned.hashes.page_size() {
            let (found, expected) = (db.page_size(), scanned.hashes.page_size());
            return Err(unable(&scanned.name, ReplayProblem::PageSize { found, expected }));
        }
        db.begin_read()?;
        let range = (self.redo, self.end);
        let (evidence, pages) = look_at_pages(self.options, self.source, range, scanned, db)?;
        db.rollback()?;
        match judge_pages(wal, evidence) {
            Ok(Verdict::ForeignCommit) => {
                let grown = (scanned.hashes.pages() + 1)..=db.page_count()?;
                let lock_page = db.page_size().lock_page();
                let grown = grown.map(PageNo).filter(|page| *page != lock_page);
                Ok((Verdict::ForeignCommit, pages.into_iter().chain(grown).collect()))
            }
            Ok(verdict) => Ok((verdict, Vec::new())),
            Err(Contradiction(evidence)) => {
                Err(LeaderRecoveryError::Contradiction { database: scanned.name.clone(), evidence })
            }
        }
    }

    fn replay(&self, scanned: &mut ScannedDatabase) -> Result<(), LeaderRecoveryError> {
        match restore(self.options, self.source, (self.redo, self.end), scanned) {
            Ok(_) => Ok(()),
            Err(NotRestored::Recovery(error)) => Err(error.into()),
            Err(NotRestored::Database(ReplayProblem::ForeignWrite { pages, unknown, first })) => {
                let database = scanned.name.clone();
                Err(LeaderRecoveryError::OlderThanLog { database, pages, unknown, first })
            }
            Err(NotRestored::Database(problem)) => Err(unable(&scanned.name, problem)),
        }
    }
}

/// The table of a database that is level, from its own pages: their checksum is logged.
fn complete_hashes(
    path: &std::path::Path,
    scanned: &mut ScannedDatabase,
    verdict: Verdict,
) -> Result<(), LeaderRecoveryError> {
    if verdict != Verdict::Level {
        return Err(LeaderRecoveryError::NoHashes { database: scanned.name.clone() });
    }
    let db = DbPage::open(path, 0)?;
    db.begin_read()?;
    let mut hashes = PageHashes::new(db.page_size());
    db.for_each_page(|page, content| {
        hashes.set(page, page_hash(page, content));
        true
    })?;
    hashes.resize(db.page_count()?);
    if hashes.checksum() != scanned.checksum {
        let (expected, found) = (scanned.checksum, hashes.checksum());
        return Err(unable(&scanned.name, ReplayProblem::FileChecksum { expected, found }));
    }
    scanned.hashes = hashes;
    scanned.complete = true;
    Ok(())
}

fn unable(database: &DatabaseName, problem: ReplayProblem) -> LeaderRecoveryError {
    LeaderRecoveryError::Database { database: database.clone(), source: Box::new(problem) }
}

fn nothing_of(generation: SqliteWalGeneration) -> SqliteWalPosition {
    SqliteWalPosition { generation, frame: 0, checksum: (0, 0) }
}

fn tell(name: &DatabaseName, verdict: Verdict, foreign_pages: usize) {
    match verdict {
        Verdict::Level | Verdict::RestartedAfterSeal => {
            tracing::debug!(database = %name, ?verdict, "the database is where the log ends");
        }
        Verdict::Ahead => {
            tracing::info!(database = %name, "the database has commits that were not logged yet");
        }
        Verdict::LostWork => {
            tracing::warn!(database = %name, "the database had lost logged commits; they were replayed");
        }
        Verdict::ForeignCommit => tracing::error!(
            database = %name, pages = foreign_pages,
            "another program changed the database while this leader was down; what it did is logged"
        ),
    }
}

impl From<RecoveredDatabase> for LeaderStart {
    fn from(recovered: RecoveredDatabase) -> LeaderStart {
        let RecoveredDatabase { id, hashes, position, .. } = recovered;
        LeaderStart { database: id, hashes, position }
    }
}
