use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use walship_engine::copy_foreign_database;
use walship_node::{ControlFile, ControlState, NodeError};
use walship_settings::AutoConf;

use super::RewindOptions;
use super::recover::Place;
use crate::run::Failure;
use crate::run::promote::remove_requests;

/// Makes the directory a follower's of the source: `standby.signal`, and the settings
/// that make `walreceiver -D DIR` enough from now on.
pub(super) fn make_follower(place: &Place, options: &RewindOptions) -> Result<(), Failure> {
    let root = place.directory.root();
    let mut settings = AutoConf::read(root).map_err(Failure::new)?;
    let pairs = [
        ("primary_conninfo", Some(&options.source)),
        ("primary_slot_name", options.slot.as_ref()),
        ("cluster_name", options.name.as_ref()),
    ];
    for (setting, value) in pairs {
        if let Some(value) = value {
            settings.set_unchecked(setting, value).map_err(Failure::new)?;
        }
    }
    settings.save(root).map_err(Failure::new)?;
    let signal = place.directory.standby_signal();
    let created = fs::File::create(&signal).and_then(|file| file.sync_all());
    created.map_err(|e| NodeError::io("create file", &signal, e))?;
    remove_requests(&place.directory);
    remove_slots(place)?;
    Ok(place.disk.sync_dir(root)?)
}

/// The slots were for those who followed this node as a leader: they would hold log for
/// ever that nobody comes for. Followers that come make new ones.
fn remove_slots(place: &Place) -> Result<(), Failure> {
    let slots = place.directory.slots();
    let list = |e: io::Error| NodeError::io("read directory", &slots, e);
    for entry in fs::read_dir(&slots).map_err(list)? {
        let path = entry.map_err(list)?.path();
        if path.is_dir() {
            fs::remove_dir_all(&path).map_err(|e| NodeError::io("remove directory", &path, e))?;
        }
    }
    Ok(place.disk.sync_dir(&slots)?)
}

/// Whether the directory is a follower's already.
pub(super) fn is_follower(place: &Place, control: &ControlFile) -> bool {
    let follows = matches!(control.state, ControlState::InRecovery | ControlState::ShutDownInRecovery);
    follows && place.directory.standby_signal().exists()
}

/// Fails if there is something in the directory; it may be missing.
pub(super) fn check_empty(directory: &Path) -> Result<(), Failure> {
    if fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some()) {
        let shown = directory.display();
        return Err(Failure::new(format!("directory \"{shown}\" exists and is not empty"))
            .hint("give --keep-lost a directory that is not there yet"));
    }
    Ok(())
}

/// Leaves the databases as plain SQLite files in `target`, which appears when all of them
/// are there, and durable.
pub(super) fn keep_databases(place: &Place, control: &ControlFile, target: &Path) -> Result<(), Failure> {
    // made by an attempt before this one: it was empty when that began
    if target.is_dir() && check_empty(target).is_err() {
        return Ok(());
    }
    if control.rewinding.as_ref().is_some_and(|rewinding| rewinding.begun) {
        let problem = "the databases are not what they were any more: an earlier rewind, which was interrupted, has \
                       begun to change them";
        return Err(
            Failure::new(problem).hint("leave out --keep-lost; the log of what was lost is kept anyway")
        );
    }
    let partial = with_suffix(target, ".partial");
    let failed = |operation: &'static str, path: &Path| {
        let path = path.to_owned();
        move |e| NodeError::io(operation, &path, e)
    };
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(failed("remove directory", &partial))?;
    }
    fs::create_dir_all(&partial).map_err(failed("create directory", &partial))?;
    for database in &control.databases {
        let name = format!("{}.db", database.name);
        let (from, to) = (place.directory.base().join(&name), partial.join(&name));
        if from.exists() {
            copy_foreign_database(&from, &to, &mut |_| true).map_err(Failure::new)?;
            leave_wal_mode(&to).map_err(Failure::new)?;
            let synced = fs::File::open(&to).and_then(|file| file.sync_all());
            synced.map_err(failed("sync file", &to))?;
        }
    }
    if target.exists() {
        fs::remove_dir(target).map_err(failed("remove directory", target))?;
    }
    fs::rename(&partial, target).map_err(failed("rename directory", &partial))?;
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for directory in [target, parent] {
        let synced = fs::File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(failed("sync directory", directory))?;
    }
    Ok(())
}

/// So that the copy is one file that any program opens.
fn leave_wal_mode(path: &Path) -> Result<(), rusqlite::Error> {
    let connection = rusqlite::Connection::open(path)?;
    connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
