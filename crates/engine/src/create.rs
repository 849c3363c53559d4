use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use walship_types::{DatabaseId, DatabaseName, Lsn, PageNo, PageSize, SqliteWalPosition};
use walship_wal::payload::{CreateDatabase, DropDatabase};
use walship_wal::{RecordKind, WalWriter};

use crate::EngineError;
use crate::capture::{CommitEnd, Parts};
use crate::copy::{ImportProgress, copy_foreign_database};
use crate::databases::Databases;
use crate::lead::LeaderStart;
use crate::page::{NO_CONTENT, PageHashes, page_hash};
use crate::signals::vacuum_bytes_at_most;

/// What a database file is called until its records are in the log; start removes
/// such files.
pub const UNFINISHED_SUFFIX: &str = ".db.new";

impl Databases {
    /// Creates an empty database. Returns the position that has to be flushed, or
    /// replicated, before the client is answered; it is flushed here already.
    pub fn create(&self, name: &DatabaseName, page_size: PageSize) -> Result<Lsn, EngineError> {
        let _structural = self.shared.begin_structural(name)?;
        let writer = self.shared.writer()?;
        self.check_free(name)?;
        let unfinished = self.unfinished_path(name);
        remove_if_there(&unfinished)?;
        make_empty(&unfinished, page_size)?;
        self.add_file(name, &unfinished, &writer)
    }

    /// Takes in an existing SQLite database, online: other programs may read and
    /// write it meanwhile; what is taken in is one state of it. `progress` may end
    /// it by returning false. Returns as [`Databases::create`] does.
    pub fn import(
        &self,
        name: &DatabaseName,
        source: &Path,
        mut progress: impl FnMut(ImportProgress) -> bool,
    ) -> Result<Lsn, EngineError> {
        let _structural = self.shared.begin_structural(name)?;
        let writer = self.shared.writer()?;
        self.check_free(name)?;
        let unfinished = self.unfinished_path(name);
        remove_if_there(&unfinished)?;
        let copied = take_in(source, &unfinished, &mut progress);
        if copied.is_err() {
            remove_if_there(&unfinished)?;
        }
        copied?;
        self.add_file(name, &unfinished, &writer)
    }

    /// Removes what creations and imports left that a crash interrupted. Only for a
    /// start: nobody may be creating a database.
    pub fn remove_unfinished(&self) -> Result<(), EngineError> {
        let base = &self.shared.options.base;
        let entries = std::fs::read_dir(base).map_err(|source| io("read directory", base, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| io("read directory", base, source))?;
            // the names of databases have no dot; SQLite's own files of them have more behind it
            if entry.file_name().to_string_lossy().contains(UNFINISHED_SUFFIX) {
                remove_if_there(&entry.path())?;
                tracing::info!(path = %entry.path().display(), "removed the file of an unfinished database");
            }
        }
        Ok(())
    }

    /// Drops a database that no session uses. Returns as [`Databases::create`] does.
    pub fn drop_database(&self, name: &DatabaseName) -> Result<Lsn, EngineError> {
        let _structural = self.shared.begin_structural(name)?;
        let writer = self.shared.writer()?;
        let (end, database) = {
            // no redo point between the record and the list
            let _in_flight = self.shared.in_flight.enter(false);
            let database = self.remove_unused(name)?;
            let mut payload = Vec::new();
            DropDatabase { id: database.id(), name: name.clone() }.encode(&mut payload);
            match writer.append(RecordKind::DropDatabase, &[&payload]) {
                Ok(span) => (span.end, database),
                Err(error) => {
                    self.insert(&database);
                    return Err(error.into());
                }
            }
        };
        writer.flush(end)?;
        database.stop_leading();
        drop(database);
        // after a crash in here, start finds files of a dropped database and ends this
        for path in files_of(&self.path_of(name)) {
            remove_if_there(&path)?;
        }
        sync_directory(&self.shared.options.base)?;
        Ok(end)
    }

    fn check_free(&self, name: &DatabaseName) -> Result<(), EngineError> {
        match self.get(name.as_str()) {
            Ok(_) => Err(EngineError::DatabaseExists { name: name.clone() }),
            Err(_) => Ok(()),
        }
    }

    fn unfinished_path(&self, name: &DatabaseName) -> PathBuf {
        self.shared.options.base.join(format!("{name}{UNFINISHED_SUFFIX}"))
    }

    /// Logs a finished file in full and makes it a database. After a crash in
    /// between, the log has either all of it, and replay makes the file, or
    /// nothing.
    fn add_file(&self, name: &DatabaseName, file: &Path, writer: &WalWriter) -> Result<Lsn, EngineError> {
        let added = self.try_add_file(name, file, writer);
        if added.is_err() {
            remove_if_there(file)?;
        }
        added
    }

    fn try_add_file(&self, name: &DatabaseName, file: &Path, writer: &WalWriter) -> Result<Lsn, EngineError> {
        let id = self.allocate_id();
        let mut content = DatabaseFile::open(file)?;
        let _room = writer.reserve(vacuum_bytes_at_most(content.pages, content.page_size))?;
        // from the first record until it is in the list, no redo point is set
        let _in_flight = self.shared.in_flight.enter(true);
        let mut payload = Vec::new();
        CreateDatabase { id, name: name.clone() }.encode(&mut payload);
        writer.append(RecordKind::CreateDatabase, &[&payload])?;
        let logged = content.log(id, writer);
        drop(content);
        let added = logged.and_then(|(hashes, end)| {
            writer.flush(end)?;
            self.take_name(id, name, file, hashes, writer)?;
            Ok(end)
        });
        if added.is_err() {
            // followers know the database, and would know two of a name once it is taken again
            let mut payload = Vec::new();
            DropDatabase { id, name: name.clone() }.encode(&mut payload);
            writer.append(RecordKind::DropDatabase, &[&payload])?;
        }
        added
    }

    /// Gives a logged file its name, and leads it.
    fn take_name(
        &self,
        id: DatabaseId,
        name: &DatabaseName,
        file: &Path,
        hashes: PageHashes,
        writer: &WalWriter,
    ) -> Result<(), EngineError> {
        let path = self.path_of(name);
        std::fs::rename(file, &path).map_err(|source| io("rename", file, source))?;
        let led = sync_directory(&self.shared.options.base).and_then(|()| {
            let database = self.open_database(id, name)?;
            let position = SqliteWalPosition::default();
            database.lead(LeaderStart { database: id, hashes, position }, writer)?;
            Ok(database)
        });
        match led {
            Ok(database) => {
                self.insert(&database);
                Ok(())
            }
            Err(error) => {
                files_of(&path).iter().try_for_each(|path| remove_if_there(path))?;
                Err(error)
            }
        }
    }

    fn open_database(
        &self,
        id: DatabaseId,
        name: &DatabaseName,
    ) -> Result<Arc<crate::Database>, EngineError> {
        let path = self.path_of(name);
        Ok(Arc::new(crate::Database::open(Arc::clone(&self.shared), id, name.clone(), path)?))
    }
}

/// A database file that SQLite does not have open and that has no -wal.
struct DatabaseFile {
    path: PathBuf,
    file: File,
    page_size: PageSize,
    pages: u32,
}

impl DatabaseFile {
    fn open(path: &Path) -> Result<DatabaseFile, EngineError> {
        let bad = |problem: String| EngineError::NotImportable { path: path.to_owned(), problem };
        let mut file = File::open(path).map_err(|source| io("open", path, source))?;
        let mut header = [0; 18];
        file.read_exact(&mut header).map_err(|source| io("read", path, source))?;
        let page_size = match u16::from_be_bytes([header[16], header[17]]) {
            1 => PageSize::MAX,
            bytes => PageSize::new(u32::from(bytes)).map_err(|error| bad(error.to_string()))?,
        };
        let bytes = file.metadata().map_err(|source| io("examine", path, source))?.len();
        let pages = u32::try_from(bytes / page_size.bytes() as u64);
        let pages = pages.map_err(|_| bad(format!("{bytes} bytes are too many")))?;
        let file = File::open(path).map_err(|source| io("open", path, source))?;
        Ok(DatabaseFile { path: path.to_owned(), file, page_size, pages })
    }

    /// Logs every page in full as one commit; returns the hashes and its end.
    fn log(&mut self, id: DatabaseId, writer: &WalWriter) -> Result<(PageHashes, Lsn), EngineError> {
        let mut hashes = PageHashes::new(self.page_size);
        let mut entries = Vec::new();
        let mut parts = Parts::new(writer, id, self.page_size, &mut entries);
        let mut reader = std::io::BufReader::with_capacity(256 << 10, &self.file);
        let mut content = vec![0; self.page_size.bytes()];
        for page in (1..=self.pages).map(PageNo) {
            reader.read_exact(&mut content).map_err(|source| io("read", &self.path, source))?;
            if page == self.page_size.lock_page() {
                hashes.set(page, NO_CONTENT);
                continue;
            }
            let hash = page_hash(page, &content);
            hashes.set(page, hash);
            parts.image(page, hash, &content)?;
        }
        let checksum = hashes.checksum();
        let position = SqliteWalPosition::default();
        let (end, _) = parts.close(&CommitEnd { pages: self.pages, foreign: false, position, checksum })?;
        Ok((hashes, end))
    }
}

/// Makes a database with nothing in it, in WAL mode, durable, without a -wal.
fn make_empty(path: &Path, page_size: PageSize) -> Result<(), EngineError> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "page_size", page_size.bytes() as u32)?;
    // the first page exists from the first write on
    connection.execute_batch("BEGIN IMMEDIATE; PRAGMA user_version = 0; COMMIT; VACUUM")?;
    finish_file(connection, path)
}

/// Copies one state of an SQLite database, and looks at the copy before it is trusted.
fn take_in(
    source: &Path,
    target: &Path,
    progress: &mut dyn FnMut(ImportProgress) -> bool,
) -> Result<(), EngineError> {
    copy_foreign_database(source, target, progress)?;
    let copy = Connection::open(target)?;
    let verdict: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(EngineError::NotImportable { path: source.to_owned(), problem: verdict });
    }
    finish_file(copy, target)
}

/// Puts a new database into WAL mode, closes it, and makes it durable.
fn finish_file(connection: Connection, path: &Path) -> Result<(), EngineError> {
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(EngineError::NotWalMode { path: path.to_owned(), found: mode });
    }
    connection.close().map_err(|(_, error)| error)?;
    let file = File::open(path).map_err(|source| io("open", path, source))?;
    file.sync_all().map_err(|source| io("sync", path, source))
}

/// The files of a database; the database itself last, so that a removal which a
/// crash interrupts is found by its name and done again.
fn files_of(path: &Path) -> [PathBuf; 4] {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    [path.with_extension("hash"), beside("-wal"), beside("-shm"), path.to_owned()]
}

fn remove_if_there(path: &Path) -> Result<(), EngineError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(io("remove", path, source)),
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> Result<(), EngineError> {
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|source| io("sync", path, source))
}

fn io(operation: &'static str, path: &Path, source: std::io::Error) -> EngineError {
    EngineError::Io { operation, path: path.to_owned(), source }
}
