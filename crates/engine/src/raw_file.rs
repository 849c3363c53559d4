use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

/// Device and inode: what a file is, whatever its name.
type FileId = (u64, u64);

/// One descriptor for each database file that was ever looked at past SQLite.
static OPEN: LazyLock<Mutex<HashMap<FileId, Arc<File>>>> = LazyLock::new(Mutex::default);

/// Opens a database file for reading past SQLite. The descriptor stays open for the
/// life of the process and is shared: POSIX locks belong to the process, and
/// closing any descriptor of a file drops all that SQLite holds on it. (A -shm must
/// never be opened at all; a -wal may be, SQLite locks nothing in it.)
pub fn raw_file(path: &Path) -> io::Result<Arc<File>> {
    let id = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino());
    // by name first, so that a file which is known is not opened again
    if let Some(file) = OPEN.lock().get(&id(&std::fs::metadata(path)?)) {
        return Ok(Arc::clone(file));
    }
    let file = Arc::new(File::open(path)?);
    let id = id(&file.metadata()?);
    let mut open = OPEN.lock();
    if let Some(known) = open.get(&id) {
        // two threads at once: this one's descriptor must not be closed either
        let known = Arc::clone(known);
        std::mem::forget(file);
        return Ok(known);
    }
    open.insert(id, Arc::clone(&file));
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_opened_once_and_stays_open() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        std::fs::write(&path, b"a").unwrap();
        let first = raw_file(&path).unwrap();
        let again = raw_file(&path).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, b"b").unwrap();
        assert!(!Arc::ptr_eq(&first, &raw_file(&path).unwrap()), "another file under the same name");
    }
}
