use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// Folder of the segments in a data directory.
const WAL_FOLDER: &str = "pg_wal";

/// Where a log is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The directory of the segments.
    pub(crate) segments: PathBuf,
    /// The data directory, if one was given.
    pub(crate) data_directory: Option<PathBuf>,
    /// Name of the segment file to start with.
    pub(crate) first: Option<String>,
    /// Name of the last one to read.
    pub(crate) last: Option<String>,
}

impl Place {
    /// The place that the command line means.
    pub(crate) fn find(places: &[PathBuf], directory: Option<&Path>) -> Result<Place, Failure> {
        let (first, last) = match (places, directory) {
            ([first, last], _) => (first.as_path(), Some(last.as_path())),
            ([only], _) => (only.as_path(), None),
            (_, Some(directory)) => (directory, None),
            (_, None) => {
                let failure = Failure::new("no data directory, directory of segments or segment file given");
                return Err(failure.hint("name one, give -D, or set PGDATA"));
            }
        };
        if is_directory(first)? {
            return match last {
                None => Ok(Place::directory(first)),
                Some(_) => Err(Failure::new(format!("\"{}\" is not a segment file", first.display()))),
            };
        }
        // of one file, only that file
        Place::files(first, last.unwrap_or(first))
    }

    fn directory(path: &Path) -> Place {
        let inner = path.join(WAL_FOLDER);
        let (segments, data_directory) =
            if inner.is_dir() { (inner, Some(path.to_owned())) } else { (path.to_owned(), None) };
        Place { segments, data_directory, first: None, last: None }
    }

    fn files(first: &Path, last: &Path) -> Result<Place, Failure> {
        let segments = match first.parent() {
            Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
            Some(parent) => parent.to_owned(),
            None => PathBuf::from("/"),
        };
        let (first, last) = (Some(file_name(first)?), Some(file_name(last)?));
        Ok(Place { segments, data_directory: None, first, last })
    }
}

fn is_directory(path: &Path) -> Result<bool, Failure> {
    let metadata = std::fs::metadata(path);
    let found = metadata.map_err(|e| Failure::new(format!("could not open \"{}\": {e}", path.display())))?;
    Ok(found.is_dir())
}

fn file_name(path: &Path) -> Result<String, Failure> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.map(str::to_owned)
        .ok_or_else(|| Failure::new(format!("\"{}\" is not a segment file", path.display())))
}
