//! A leader that is as simple as can be: it looks at every page after every change.
//! What replay makes of its log is held against its files.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use walship_disk::RealDisk;
use walship_engine::page::{HashFile, PageHashes, TrackedHashes, changed_ranges, page_hash, same_content};
use walship_engine::redo::{Redo, RedoCatalog, RedoOptions, RedoStart, ReplayStop, ReplayedDatabase};
use walship_engine::sqlite::WalIndex;
use walship_engine::{DbPage, EngineError};
use walship_types::{
    DatabaseId, DatabaseName, Lsn, PageNo, PageSize, SegmentSize, SqliteWalGeneration, SqliteWalPosition,
    SystemId, TimelineHistory, TimelineId, Timestamp,
};
use walship_wal::payload::{
    Base, Checkpoint, Commit, CommitFlags, CreateDatabase, DatabaseState, DropDatabase, PagesPart, Seal,
    encode_entry, encode_image,
};
use walship_wal::{Next, Record, RecordKind, WalConfig, WalSource, WalWriter, create_first_segment};

pub(crate) const SYSTEM: SystemId = SystemId(7_000_000_000_000_000_001);
pub(crate) const CACHE_KIB: u32 = 512;

/// A log, and the databases whose changes go into it.
pub(crate) struct ToyLeader {
    pub(crate) dir: PathBuf,
    pub(crate) writer: WalWriter,
    pub(crate) databases: BTreeMap<DatabaseId, ToyDatabase>,
    /// Page entries that a record carries, at most; a commit of more has several parts.
    pub(crate) entries_per_part: usize,
    next_id: u32,
}

pub(crate) struct ToyDatabase {
    pub(crate) id: DatabaseId,
    pub(crate) name: DatabaseName,
    pub(crate) path: PathBuf,
    pub(crate) connection: Connection,
    pub(crate) hashes: PageHashes,
    pages: Vec<Vec<u8>>,
    logged: HashSet<PageNo>,
}

pub(crate) fn wal_config(dir: &Path) -> WalConfig {
    let history = TimelineHistory::root(TimelineId::FIRST);
    WalConfig::new(Arc::new(RealDisk::default()), dir, SYSTEM, SegmentSize::new(1 << 20).unwrap(), history)
}

impl ToyLeader {
    pub(crate) fn new(dir: &Path) -> ToyLeader {
        std::fs::create_dir_all(dir.join("base")).unwrap();
        std::fs::create_dir_all(dir.join("pg_wal")).unwrap();
        let config = wal_config(&dir.join("pg_wal"));
        let end = create_first_segment(&config).unwrap();
        let writer = WalWriter::start(config, end).unwrap();
        ToyLeader {
            dir: dir.to_owned(),
            writer,
            databases: BTreeMap::new(),
            entries_per_part: 50,
            next_id: 1,
        }
    }

    /// Creates a database; `pragmas` come before it has any content.
    pub(crate) fn create(&mut self, name: &str, pragmas: &str) -> DatabaseId {
        let id = DatabaseId(self.next_id);
        self.next_id += 1;
        let name: DatabaseName = name.parse().unwrap();
        let path = self.dir.join("base").join(format!("{name}.db"));
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(pragmas).unwrap();
        connection.execute_batch("PRAGMA journal_mode=WAL").unwrap();
        let mut payload = Vec::new();
        CreateDatabase { id, name: name.clone() }.encode(&mut payload);
        self.writer.append(RecordKind::CreateDatabase, &[&payload]).unwrap();
        let page_size = DbPage::open(&path, CACHE_KIB).unwrap().page_size();
        let hashes = PageHashes::new(page_size);
        let database =
            ToyDatabase { id, name, path, connection, hashes, pages: Vec::new(), logged: HashSet::new() };
        self.databases.insert(id, database);
        id
    }

    pub(crate) fn drop_database(&mut self, id: DatabaseId) {
        let database = self.databases.remove(&id).unwrap();
        let mut payload = Vec::new();
        DropDatabase { id, name: database.name.clone() }.encode(&mut payload);
        self.writer.append(RecordKind::DropDatabase, &[&payload]).unwrap();
        let path = database.path.clone();
        drop(database);
        for suffix in ["", "-wal", "-shm"] {
            std::fs::remove_file(format!("{}{suffix}", path.display())).ok();
        }
    }

    /// Runs `sql` and logs what it changed as one commit; returns the commit's end.
    pub(crate) fn execute(&mut self, id: DatabaseId, sql: &str) -> Lsn {
        self.databases[&id].connection.execute_batch(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
        self.capture(id)
    }

    /// Logs what changed since the last time.
    pub(crate) fn capture(&mut self, id: DatabaseId) -> Lsn {
        let (entries, mut commit) = self.databases.get_mut(&id).unwrap().changes();
        let parts: Vec<&[Vec<u8>]> = entries.chunks(self.entries_per_part).collect();
        let (inline, before) = parts.split_last().map_or((&[] as &[Vec<u8>], &[] as _), |(l, b)| (*l, b));
        for (index, part) in before.iter().enumerate() {
            self.part(id, index == 0, part);
        }
        let mut payload = Vec::new();
        commit.flags.single = before.is_empty();
        commit.encode_header(&mut payload);
        inline.iter().for_each(|entry| payload.extend_from_slice(entry));
        let end = self.writer.append(RecordKind::Commit, &[&payload]).unwrap().end;
        self.writer.flush(end).unwrap();
        end
    }

    /// The parts of a transaction that never gets its commit.
    pub(crate) fn abandoned(&mut self, id: DatabaseId, page: PageNo) {
        let size = self.databases[&id].hashes.page_size().bytes();
        let (content, mut entry) = (vec![0xAB; size], Vec::new());
        encode_image(&mut entry, page, page_hash(page, &content), &content);
        self.part(id, true, &[entry]);
    }

    fn part(&mut self, id: DatabaseId, first: bool, entries: &[Vec<u8>]) {
        let page_size = self.databases[&id].hashes.page_size();
        let mut payload = Vec::new();
        PagesPart::encode_header(&mut payload, id, first, page_size);
        entries.iter().for_each(|entry| payload.extend_from_slice(entry));
        self.writer.append(RecordKind::Pages, &[&payload]).unwrap();
    }

    /// A checkpoint: from here on every page is logged in full again.
    pub(crate) fn checkpoint(&mut self) -> Lsn {
        let redo = self.writer.lock_insert().unwrap().position();
        self.databases.values_mut().for_each(|database| database.logged.clear());
        for database in self.databases.values() {
            let (id, hashes) = (database.id, database.hashes.clone());
            let file = HashFile { system_id: SYSTEM, database: id, as_of: redo, hashes };
            file.write(&database.path.with_extension("hash")).unwrap();
        }
        let checkpoint = Checkpoint {
            redo,
            timeline: TimelineId::FIRST,
            shutdown: false,
            time: Timestamp::now(),
            next_database_id: DatabaseId(self.next_id),
            databases: self.states(),
        };
        let mut payload = Vec::new();
        checkpoint.encode(&mut payload);
        let end = self.writer.append(RecordKind::Checkpoint, &[&payload]).unwrap().end;
        self.writer.flush(end).unwrap();
        redo
    }

    /// Says that the -wal of this database may restart.
    pub(crate) fn seal(&mut self, id: DatabaseId) {
        let ToyDatabase { path, hashes, .. } = &self.databases[&id];
        let (position, pages, checksum) = (sqlite_wal_position(path), hashes.pages(), hashes.checksum());
        let mut payload = Vec::new();
        Seal { database: id, pages, position, checksum }.encode(&mut payload);
        let end = self.writer.append(RecordKind::Seal, &[&payload]).unwrap().end;
        self.writer.flush(end).unwrap();
    }

    /// The files as a kill leaves them, in another directory.
    pub(crate) fn files_after_kill(&self, to: &Path) -> PathBuf {
        let base = to.join("base");
        std::fs::create_dir_all(&base).unwrap();
        for entry in std::fs::read_dir(self.dir.join("base")).unwrap() {
            let entry = entry.unwrap();
            // the -shm is of no use to anyone after a kill of all processes
            if !entry.file_name().to_string_lossy().ends_with("-shm") {
                std::fs::copy(entry.path(), base.join(entry.file_name())).unwrap();
            }
        }
        base
    }

    pub(crate) fn states(&self) -> Vec<DatabaseState> {
        self.databases.values().map(ToyDatabase::state).collect()
    }

    pub(crate) fn end(&self) -> Lsn {
        let end = self.writer.lock_insert().unwrap().end();
        self.writer.flush(end).unwrap();
        end
    }

    pub(crate) fn source(&self) -> WalSource {
        self.writer.source()
    }

    pub(crate) fn records(&self, from: Lsn) -> Vec<Record> {
        let end = self.end();
        let mut reader = self.source().reader(from);
        let mut records = Vec::new();
        while reader.position() < end {
            match reader.next().unwrap() {
                Next::Record(record) => records.push(record),
                Next::End(end) => panic!("{end}"),
            }
        }
        records
    }
}

impl ToyDatabase {
    pub(crate) fn state(&self) -> DatabaseState {
        DatabaseState {
            id: self.id,
            name: self.name.clone(),
            page_size: self.hashes.page_size(),
            pages: self.hashes.pages(),
            checksum: self.hashes.checksum(),
            position: sqlite_wal_position(&self.path),
        }
    }

    /// The entries of everything that changed, encoded, and the commit without them.
    fn changes(&mut self) -> (Vec<Vec<u8>>, Commit<'static>) {
        let pages = read_pages(&self.path);
        let count = pages.len() as u32;
        let mut entries = Vec::new();
        // a truncation forgets a page
        self.logged.retain(|page| page.0 <= count);
        self.pages.truncate(pages.len());
        self.hashes.resize(count);
        for (index, content) in pages.iter().enumerate() {
            let page = PageNo(index as u32 + 1);
            let old = self.pages.get(index);
            if content.is_empty() || old.is_some_and(|old| same_content(page, old, content)) {
                continue;
            }
            let hash = page_hash(page, content);
            let mut entry = Vec::new();
            match old.filter(|_| self.logged.contains(&page)) {
                // masked bytes of page 1 differ on the follower, and stay its own
                Some(old) => {
                    let ranges = changed_ranges(Some(old), content);
                    encode_entry(&mut entry, page, hash, Base::Previous, content, &ranges);
                }
                None => encode_image(&mut entry, page, hash, content),
            }
            self.logged.insert(page);
            self.hashes.set(page, hash);
            entries.push(entry);
        }
        self.pages = pages;
        let (page_size, checksum) = (self.hashes.page_size(), self.hashes.checksum());
        let position = sqlite_wal_position(&self.path);
        let flags = CommitFlags::default();
        let commit = Commit::new(self.id, count, flags, page_size, position, Timestamp::now(), checksum);
        (entries, commit.unwrap())
    }
}

/// How far the -wal of a database reaches.
pub(crate) fn sqlite_wal_position(path: &Path) -> SqliteWalPosition {
    let header = WalIndex::open(path).unwrap().header();
    let bytes = std::fs::read(format!("{}-wal", path.display())).unwrap_or_default();
    let Some(sequence) = bytes.get(12..16) else { return SqliteWalPosition::default() };
    let checkpoint_sequence = u32::from_be_bytes(sequence.try_into().unwrap());
    let (salt1, salt2) = header.salts;
    let generation = SqliteWalGeneration { checkpoint_sequence, salt1, salt2 };
    SqliteWalPosition { generation, frame: header.frames, checksum: header.checksum }
}

/// Every page of a database; the lock page is empty.
pub(crate) fn read_pages(path: &Path) -> Vec<Vec<u8>> {
    let db = DbPage::open(path, CACHE_KIB).unwrap();
    db.begin_read().unwrap();
    let mut pages = vec![Vec::new(); db.page_count().unwrap() as usize];
    db.for_each_page(|page, content| {
        pages[page.0 as usize - 1] = content.to_vec();
        true
    })
    .unwrap();
    db.rollback().unwrap();
    pages
}

pub(crate) fn assert_same_pages(left: &Path, right: &Path) {
    let (left_pages, right_pages) = (read_pages(left), read_pages(right));
    assert_eq!(left_pages.len(), right_pages.len(), "sizes in pages");
    for (index, (l, r)) in left_pages.iter().zip(&right_pages).enumerate() {
        let page = PageNo(index as u32 + 1);
        assert!(same_content(page, l, r), "page {page} differs");
    }
    assert_eq!(integrity(right), "ok");
}

pub(crate) fn integrity(path: &Path) -> String {
    let connection = Connection::open(path).unwrap();
    connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}

/// Remembers what replay told.
#[derive(Default)]
pub(crate) struct ToyCatalog {
    pub(crate) opened: Mutex<Vec<String>>,
    pub(crate) dropped: Mutex<Vec<String>>,
    pub(crate) stopped: Mutex<Vec<String>>,
    pub(crate) hashes: Mutex<BTreeMap<String, Arc<TrackedHashes>>>,
}

impl RedoCatalog for ToyCatalog {
    fn opened(&self, database: &ReplayedDatabase<'_>) -> Result<(), EngineError> {
        self.opened.lock().push(database.name.to_string());
        self.hashes.lock().insert(database.name.to_string(), Arc::clone(database.hashes));
        Ok(())
    }

    fn dropping(&self, _: DatabaseId, name: &DatabaseName) -> Result<(), EngineError> {
        self.dropped.lock().push(name.to_string());
        Ok(())
    }

    fn stopped(&self, stop: &ReplayStop) {
        self.stopped.lock().push(stop.to_string());
    }
}

/// A follower's databases.
pub(crate) struct ToyFollower {
    pub(crate) options: RedoOptions,
    pub(crate) catalog: Arc<ToyCatalog>,
}

impl ToyFollower {
    pub(crate) fn new(dir: &Path) -> ToyFollower {
        let base = dir.join("base");
        std::fs::create_dir_all(&base).unwrap();
        let options = RedoOptions { cache_kib: CACHE_KIB, ..RedoOptions::new(base, SYSTEM) };
        ToyFollower { options, catalog: Arc::default() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.options.database_path(&name.parse().unwrap())
    }

    /// Starts replay as after a stop: from `redo`, with the log up to `end`.
    pub(crate) fn start(&self, source: &WalSource, redo: Lsn, end: Lsn, states: Vec<DatabaseState>) -> Redo {
        let start = RedoStart { redo, end, states, consistent_at: Lsn::INVALID };
        let catalog: Arc<dyn RedoCatalog> = self.catalog.clone();
        Redo::start(self.options.clone(), catalog, source, &start, Arc::new(|| false)).unwrap()
    }
}

pub(crate) fn first_lsn() -> Lsn {
    let size = SegmentSize::new(1 << 20).unwrap();
    walship_wal::record_start(size.start_of(walship_wal::FIRST_SEGMENT), size)
}

pub(crate) fn page_size(bytes: u32) -> PageSize {
    PageSize::new(bytes).unwrap()
}

/// Makes numbers that look random, the same ones each time.
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}
