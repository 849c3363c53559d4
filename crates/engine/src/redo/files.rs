use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use walship_types::{PageSize, SqliteWalGeneration, SqliteWalPosition};

use super::error::RedoError;
use crate::EngineError;
use crate::raw_file::raw_file;
use crate::sqlite::WalIndex;
use crate::sqlite_wal::{SqliteWalFile, sqlite_wal_path};

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RedoError {
    let path = path.to_owned();
    move |source| RedoError::Io { operation, path, source }
}

/// Removes a database's files. The database itself goes last, so that a removal
/// which a crash interrupts is found by its name and done again.
pub(crate) fn remove_database(path: &Path, hash_path: &Path) -> Result<(), RedoError> {
    let mut shm = OsString::from(path);
    shm.push("-shm");
    for file in [hash_path, &sqlite_wal_path(path), &PathBuf::from(shm), path] {
        match std::fs::remove_file(file) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("remove", file)(error)),
        }
    }
    sync_directory(path)
}

/// Makes creations, renames and removals beside `path` durable.
pub(super) fn sync_directory(path: &Path) -> Result<(), RedoError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed("sync", directory))
}

/// Makes durable what was committed to a database: SQLite itself syncs its -wal only
/// when it moves frames, and the file only if no program was told to do without.
pub(super) fn sync_database(path: &Path) -> Result<(), RedoError> {
    let wal = sqlite_wal_path(path);
    match File::open(&wal).and_then(|file| file.sync_data()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result.map_err(failed("sync", &wal))?,
    }
    match raw_file(path).and_then(|file| file.sync_data()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(failed("sync", path)),
    }
}

/// How far the -wal of the database at `path` reaches. No writer may be at work.
pub(crate) fn sqlite_wal_position(path: &Path) -> Result<SqliteWalPosition, RedoError> {
    use std::os::unix::fs::FileExt;
    let header = WalIndex::open(path)?.header();
    let wal = sqlite_wal_path(path);
    let mut sequence = [0; 4];
    // bytes 12 to 15 of the -wal's header: the checkpoint sequence number
    match File::open(&wal).and_then(|file| file.read_exact_at(&mut sequence, 12)) {
        Ok(()) => {}
        // a -wal without a frame may have no header yet
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => {
            return Ok(SqliteWalPosition::default());
        }
        Err(error) => return Err(failed("read", &wal)(error)),
    }
    let (salt1, salt2) = header.salts;
    let checkpoint_sequence = u32::from_be_bytes(sequence);
    let generation = SqliteWalGeneration { checkpoint_sequence, salt1, salt2 };
    let checksum = if header.frames == 0 { (0, 0) } else { header.checksum };
    Ok(SqliteWalPosition { generation, frame: header.frames, checksum })
}

/// The checksum in the header of frame `at.frame` of the -wal of the database at `path`,
/// if that frame belongs to the generation of `at`.
pub(crate) fn frame_checksum(
    path: &Path,
    page_size: PageSize,
    at: &SqliteWalPosition,
) -> Result<Option<(u32, u32)>, RedoError> {
    let salts = (at.generation.salt1, at.generation.salt2);
    match SqliteWalFile::open(path, page_size)?.frame_header(at.frame, salts) {
        Ok(header) => Ok(Some(header.checksum)),
        Err(EngineError::DamagedSqliteWal { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
