use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What the name of a copy begins with that is not complete: hidden, and no name of a file
/// of the log.
const PREFIX: &str = ".archiving.";
/// Where a data directory notes the copy that it is making.
const NOTE: &str = "pg_wal/archive_status/unfinished";

/// A copy into an archive under a name of its own, `.archiving.NAME.NANOSECONDS`, which is
/// gone when this is dropped, unless it was renamed. A process that is killed drops nothing:
/// the data directory has a note of the name, and the next attempt from there removes it.
///
/// The time is in the name because several nodes may archive the same log into one
/// directory; process ids are no good for that, in containers all are 1.
#[derive(Debug)]
pub(crate) struct Unfinished {
    path: PathBuf,
    note: PathBuf,
}

impl Unfinished {
    /// A name in `archive` for a copy of `name` from `data_directory`, where nothing of an
    /// attempt before is left any more. The file is not created.
    pub(crate) fn begin(data_directory: &Path, archive: &Path, name: &str) -> Unfinished {
        let note = data_directory.join(NOTE);
        remove_noted(&note);
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let path = archive.join(format!("{PREFIX}{name}.{nanos}"));
        // without the note, as on a full disk, a crash leaves a file that takes up room: no
        // reason to stop archiving, which is what makes room
        let _ = fs::write(&note, path.as_os_str().as_encoded_bytes());
        Unfinished { path, note }
    }

    /// Where to copy to.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // what cannot be removed only takes up room
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(&self.note);
    }
}

/// Removes the file that a note names, if it is one that only a copy can have.
fn remove_noted(note: &Path) {
    let Ok(noted) = fs::read_to_string(note) else { return };
    let noted = Path::new(&noted);
    let name = noted.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.starts_with(PREFIX) {
        let _ = fs::remove_file(noted);
    }
}
