use std::collections::BTreeMap;

use walship_types::{
    DatabaseId, DatabaseName, Lsn, PageNo, PageSize, SqliteWalPosition, TimelineId, Timestamp,
};
use walship_wal::payload::{Checkpoint, Commit, DatabaseState, Payload};
use walship_wal::{Next, Record, WalSource};

use crate::page::{HashFile, HashFileError, PageHashes};
use crate::redo::{RedoError, RedoOptions};

/// What the log from the redo point to its end says about the databases.
///
/// The first pass of recovery: nothing but hashes is looked at, so that its memory
/// is eight bytes for each page of a database, whatever the length of the log.
#[derive(Debug)]
pub struct LogScan {
    /// The databases that exist at the end of the log.
    pub databases: BTreeMap<DatabaseId, ScannedDatabase>,
    /// Those that were dropped on the way.
    pub dropped: BTreeMap<DatabaseId, DatabaseName>,
    /// End of the last record.
    pub end: Lsn,
    /// Time of the last commit of any database.
    pub last_commit_time: Option<Timestamp>,
    /// The last checkpoint, and the start of its record.
    pub checkpoint: Option<(Lsn, Checkpoint)>,
}

/// What the log says about one database.
#[derive(Debug)]
pub struct ScannedDatabase {
    /// Its id.
    pub id: DatabaseId,
    /// Its name.
    pub name: DatabaseName,
    /// Whether it was created after the redo point, so that the log has all of it.
    pub created: bool,
    /// The hashes that its pages have at the end of the log.
    pub hashes: PageHashes,
    /// Whether `hashes` has every page. Without a `.hash` file only pages that the
    /// log has since the redo point are known.
    pub complete: bool,
    /// The database checksum at the end of the log.
    pub checksum: u64,
    /// The -wal position that this node itself logged last; `None` if it logged none.
    pub position: Option<SqliteWalPosition>,
    /// Whether the -wal was sealed at `position` and nothing was logged since.
    pub sealed: bool,
    /// Start of a transaction that has no commit at the end of the log.
    pub open_from: Option<Lsn>,
    /// Every size in pages that the database had since the redo point.
    pub sizes: Vec<u32>,
    as_of: Lsn,
    open: Vec<(PageNo, u64)>,
}

/// Where a scan starts and ends, and whose positions it trusts.
#[derive(Debug, Clone)]
pub struct ScanStart {
    /// The redo point.
    pub redo: Lsn,
    /// End of the valid log.
    pub end: Lsn,
    /// The databases as of the redo point.
    pub states: Vec<DatabaseState>,
    /// The timeline whose -wal positions are this node's own: the one that it
    /// writes. `None` on a follower, whose log has none of its own.
    pub own_timeline: Option<TimelineId>,
    /// Whether the positions in `states` are this node's own.
    pub own_states: bool,
}

impl LogScan {
    /// Reads the log from the redo point to its end, starting from the `.hash` files.
    pub fn run(options: &RedoOptions, source: &WalSource, start: &ScanStart) -> Result<LogScan, RedoError> {
        let mut scan = LogScan {
            databases: BTreeMap::new(),
            dropped: BTreeMap::new(),
            end: start.redo,
            last_commit_time: None,
            checkpoint: None,
        };
        for state in &start.states {
            let database = ScannedDatabase::from_state(options, state, start)?;
            scan.databases.insert(state.id, database);
        }
        for_each_record(source, start.redo, start.end, |record| {
            scan.end = record.end;
            scan.take(&record, start.own_timeline)
        })?;
        Ok(scan)
    }

    fn take(&mut self, record: &Record, own: Option<TimelineId>) -> Result<(), RedoError> {
        let lsn = record.lsn;
        let payload = Payload::decode(record.kind, &record.payload)
            .map_err(|source| RedoError::Payload { lsn, source })?;
        let ours = own == Some(record.timeline);
        match payload {
            Payload::Pages(part) => {
                if let Some(database) = self.find(part.database, lsn)? {
                    if part.first {
                        database.open.clear();
                        database.open_from = None;
                    }
                    database.open_from.get_or_insert(lsn);
                    database.open.extend(part.entries().map(|entry| (entry.page, entry.hash)));
                }
            }
            Payload::Commit(commit) => {
                self.last_commit_time = Some(commit.time);
                if let Some(database) = self.find(commit.database, lsn)? {
                    database.commit(record, &commit, ours)?;
                }
            }
            Payload::Seal(seal) if ours => {
                if let Some(database) = self.find(seal.database, lsn)? {
                    database.position = Some(seal.position);
                    database.sealed = true;
                }
            }
            Payload::CreateDatabase(create) => {
                let database = ScannedDatabase::created(create.id, create.name);
                self.databases.entry(create.id).or_insert(database);
            }
            Payload::DropDatabase(dropped) => {
                self.databases.remove(&dropped.id);
                self.dropped.insert(dropped.id, dropped.name);
            }
            Payload::EndOfRecovery(end) if own == Some(end.timeline) => {
                for state in end.databases {
                    if let Some(database) = self.databases.get_mut(&state.id) {
                        database.position = Some(state.position);
                        database.sealed = false;
                    }
                }
            }
            Payload::Checkpoint(checkpoint) => self.checkpoint = Some((lsn, checkpoint)),
            _ => {}
        }
        Ok(())
    }

    fn find(&mut self, id: DatabaseId, lsn: Lsn) -> Result<Option<&mut ScannedDatabase>, RedoError> {
        if self.dropped.contains_key(&id) {
            return Ok(None);
        }
        self.databases.get_mut(&id).map(Some).ok_or(RedoError::UnknownDatabase { lsn, id })
    }
}

impl ScannedDatabase {
    fn from_state(
        options: &RedoOptions,
        state: &DatabaseState,
        start: &ScanStart,
    ) -> Result<ScannedDatabase, RedoError> {
        let path = options.hash_path(&state.name);
        let file = match HashFile::read(&path, options.system_id, state.id) {
            // a table of before the redo point lacks commits that the scan does not see
            Ok(file) => Some(file).filter(|file| file.as_of >= start.redo && file.as_of <= start.end),
            Err(HashFileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(database = %state.name, %error, "the table of page hashes is of no use");
                None
            }
        };
        let complete = file.is_some() || state.pages == 0;
        let (hashes, as_of) = file.map_or_else(
            || {
                let mut hashes = PageHashes::new(state.page_size);
                hashes.resize(state.pages);
                (hashes, start.redo)
            },
            |file| (file.hashes, file.as_of),
        );
        Ok(ScannedDatabase {
            id: state.id,
            name: state.name.clone(),
            created: false,
            checksum: state.checksum,
            sizes: vec![state.pages],
            hashes,
            complete,
            position: start.own_states.then_some(state.position),
            sealed: false,
            open_from: None,
            as_of,
            open: Vec::new(),
        })
    }

    fn created(id: DatabaseId, name: DatabaseName) -> ScannedDatabase {
        ScannedDatabase {
            id,
            name,
            created: true,
            hashes: PageHashes::new(PageSize::DEFAULT),
            complete: true,
            checksum: 0,
            position: None,
            sealed: false,
            open_from: None,
            sizes: vec![0],
            as_of: Lsn::INVALID,
            open: Vec::new(),
        }
    }

    fn commit(&mut self, record: &Record, commit: &Commit<'_>, ours: bool) -> Result<(), RedoError> {
        if commit.flags.single {
            self.open.clear();
        }
        self.open_from = None;
        self.open.extend(commit.entries().map(|entry| (entry.page, entry.hash)));
        let changes = std::mem::take(&mut self.open);
        self.checksum = commit.checksum;
        if self.sizes.last() != Some(&commit.pages) {
            self.sizes.push(commit.pages);
        }
        if ours {
            self.position = Some(commit.position);
            self.sealed = false;
        }
        if record.end <= self.as_of {
            return Ok(());
        }
        if self.hashes.pages() == 0 {
            self.hashes = PageHashes::new(commit.page_size);
        }
        if self.complete {
            let found = self.hashes.checksum_after(commit.pages, &changes);
            if found != commit.checksum {
                let (name, expected, lsn) = (self.name.clone(), commit.checksum, record.lsn);
                return Err(RedoError::TableContradictsLog { database: name, lsn, expected, found });
            }
        }
        self.hashes.commit(commit.pages, &changes);
        Ok(())
    }
}

/// Calls `each` with the records from `start` to `end`. A log that ends before is
/// damaged: `end` was found by reading it.
pub(crate) fn for_each_record(
    source: &WalSource,
    start: Lsn,
    end: Lsn,
    mut each: impl FnMut(Record) -> Result<(), RedoError>,
) -> Result<(), RedoError> {
    let mut reader = source.reader(start);
    while reader.position() < end {
        match reader.next()? {
            Next::Record(record) => each(record)?,
            Next::End(found) => {
                let (at, reason) = (found.at, found.reason.to_string());
                return Err(RedoError::LogEnds { end: at, expected: end, reason });
            }
        }
    }
    Ok(())
}
