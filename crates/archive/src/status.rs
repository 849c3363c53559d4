use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use walship_disk::{Disk, DiskError, SharedDisk};
use walship_types::SegmentSize;

use crate::name::ArchivedFile;

const READY: &str = ".ready";
const DONE: &str = ".done";

/// The folder `pg_wal/archive_status`: an empty file `NAME.ready` for each file that has
/// to be archived, `NAME.done` for each that was. A restart goes on from there.
#[derive(Debug, Clone)]
pub struct ArchiveStatus {
    disk: SharedDisk,
    wal: PathBuf,
    folder: PathBuf,
    segment_size: SegmentSize,
}

/// What the folder says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statuses {
    /// To be archived, in this order.
    pub ready: BTreeSet<ArchivedFile>,
    /// Archived.
    pub done: BTreeSet<ArchivedFile>,
}

impl ArchiveStatus {
    /// The folder inside `wal`, which has to be there.
    pub fn new(disk: SharedDisk, wal: &Path, segment_size: SegmentSize) -> ArchiveStatus {
        ArchiveStatus { disk, wal: wal.to_owned(), folder: wal.join("archive_status"), segment_size }
    }

    fn path(&self, file: ArchivedFile, suffix: &str) -> PathBuf {
        self.folder.join(file.name(self.segment_size) + suffix)
    }

    /// Reads the folder.
    pub fn read(&self) -> Result<Statuses, DiskError> {
        let mut statuses = Statuses::default();
        for name in self.disk.list(&self.folder)? {
            let (kept, set) = match (name.strip_suffix(READY), name.strip_suffix(DONE)) {
                (Some(kept), _) => (kept, &mut statuses.ready),
                (_, Some(kept)) => (kept, &mut statuses.done),
                _ => continue,
            };
            set.extend(ArchivedFile::parse(kept, self.segment_size));
        }
        Ok(statuses)
    }

    /// The files of the log that there are: segments, complete or not, and histories.
    pub fn files(&self) -> Result<Vec<ArchivedFile>, DiskError> {
        let names = self.disk.list(&self.wal)?;
        Ok(names.iter().filter_map(|name| ArchivedFile::parse(name, self.segment_size)).collect())
    }

    /// Notes that a file has to be archived. Not synced: after a power cut that takes it
    /// back the file is found again by [`crate::pending`].
    pub fn set_ready(&self, file: ArchivedFile) -> Result<(), DiskError> {
        self.make(&self.path(file, READY))
    }

    /// Notes that a file was archived, durably: otherwise it would be archived again, which
    /// not every command takes.
    pub fn set_done(&self, file: ArchivedFile) -> Result<(), DiskError> {
        let (ready, done) = (self.path(file, READY), self.path(file, DONE));
        match self.disk.rename(&ready, &done) {
            Err(error) if error.is_not_found() => self.make(&done)?,
            other => other?,
        }
        self.disk.sync_dir(&self.folder)
    }

    /// Forgets a file.
    pub fn forget(&self, file: ArchivedFile) -> Result<(), DiskError> {
        for suffix in [READY, DONE] {
            remove_if_there(&*self.disk, &self.path(file, suffix))?;
        }
        Ok(())
    }

    /// Gives the last, incomplete segment of a timeline that was left its `.partial` name,
    /// so that it cannot be taken for a complete one that another node may have archived.
    pub fn make_partial(&self, file: ArchivedFile) -> Result<ArchivedFile, DiskError> {
        let ArchivedFile::Segment { timeline, segment, .. } = file else { return Ok(file) };
        let partial = ArchivedFile::Segment { timeline, segment, partial: true };
        let path = |file: ArchivedFile| self.wal.join(file.name(self.segment_size));
        self.disk.rename(&path(file), &path(partial))?;
        self.disk.sync_dir(&self.wal)?;
        Ok(partial)
    }

    /// Removes a `.partial` file from the log's folder, where nobody reads it.
    pub fn remove_partial(&self, file: ArchivedFile) -> Result<(), DiskError> {
        remove_if_there(&*self.disk, &self.wal.join(file.name(self.segment_size)))
    }

    fn make(&self, path: &Path) -> Result<(), DiskError> {
        match self.disk.create_new(path) {
            Err(error) if !error.is_already_there() => Err(error),
            _ => Ok(()),
        }
    }
}

fn remove_if_there(disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
    match disk.remove(path) {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use walship_disk::SimDisk;
    use walship_types::{SegmentNo, TimelineId};

    use super::*;

    #[test]
    fn what_was_archived_survives_power_loss() {
        let disk = Arc::new(SimDisk::new(1));
        let wal = Path::new("/pg_wal");
        for dir in [wal, &wal.join("archive_status")] {
            walship_disk::durable_create_dir(&*disk, dir).unwrap();
        }
        let shared: SharedDisk = disk.clone();
        let status = ArchiveStatus::new(shared, wal, SegmentSize::MIN);
        let file = |n| ArchivedFile::segment(TimelineId(1), SegmentNo(n));
        status.set_ready(file(1)).unwrap();
        status.set_ready(file(1)).unwrap();
        status.set_ready(file(2)).unwrap();
        status.set_done(file(1)).unwrap();
        status.set_done(ArchivedFile::History(TimelineId(2))).unwrap();
        disk.power_loss();
        let found = status.read().unwrap();
        assert_eq!(found.done, BTreeSet::from([ArchivedFile::History(TimelineId(2)), file(1)]));
        assert!(!found.ready.contains(&file(1)));
        status.forget(file(1)).unwrap();
        status.forget(file(7)).unwrap();
        assert_eq!(status.read().unwrap().done.len(), 1);
    }
}
