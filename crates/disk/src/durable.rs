use std::path::{Path, PathBuf};

use crate::{Disk, DiskError};

/// The name under which a file is built before it gets its own: `NAME.tmp`. One that
/// is found at start was left by a crash and may be removed.
pub fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Renames so that after a crash the file has either name, with all of its content.
///
/// The file is synced first: otherwise the new name could be durable before what it
/// names, and a crash would leave it empty. The directory is synced last: otherwise the
/// rename itself could be forgotten after the caller went on.
pub fn durable_rename(disk: &dyn Disk, from: &Path, to: &Path) -> Result<(), DiskError> {
    disk.open(from, crate::OpenMode::ReadWrite)?.sync_data()?;
    disk.rename(from, to)?;
    disk.sync_dir(directory_of(to))?;
    if directory_of(from) != directory_of(to) {
        disk.sync_dir(directory_of(from))?;
    }
    Ok(())
}

/// Gives `path` the content `bytes`; a crash at any moment leaves the old or the new
/// content, never a mixture, never nothing.
pub fn replace_atomically(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    let temporary = temporary_path(path);
    if disk.metadata(&temporary)?.is_some() {
        disk.remove(&temporary)?;
    }
    let file = disk.create_new(&temporary)?;
    let written = file.write_all_at(bytes, 0).and_then(|()| durable_rename(disk, &temporary, path));
    if written.is_err() {
        // the old content is untouched; a left-over would only take up room
        let _ = disk.remove(&temporary);
    }
    written
}

/// Creates a directory whose name survives a crash; no error if it is there already.
pub fn durable_create_dir(disk: &dyn Disk, path: &Path) -> Result<(), DiskError> {
    match disk.create_dir(path) {
        Err(error) if error.is_already_there() => {}
        other => other?,
    }
    // also when it was there: an earlier run may have stopped between the two calls
    disk.sync_dir(directory_of(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SimDisk;

    #[test]
    fn replacing_survives_power_loss_at_once() {
        let disk = SimDisk::new(1);
        let path = Path::new("/d/control");
        durable_create_dir(&disk, Path::new("/d")).unwrap();
        replace_atomically(&disk, path, b"one").unwrap();
        replace_atomically(&disk, path, b"two").unwrap();
        disk.power_loss();
        assert_eq!(disk.read(path).unwrap(), b"two");
        assert_eq!(disk.list(Path::new("/d")).unwrap(), ["control"]);
    }

    #[test]
    fn a_failed_replacement_keeps_the_old_content() {
        let disk = SimDisk::new(2);
        let path = Path::new("/control");
        replace_atomically(&disk, path, b"one").unwrap();
        disk.set_faults(crate::SimFaults { room_bytes: Some(0), ..Default::default() });
        assert!(replace_atomically(&disk, path, b"three").unwrap_err().is_no_space());
        assert_eq!(disk.read(path).unwrap(), b"one");
    }
}
