use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use walship_engine::redo::{Redo, RedoCatalog, RedoOptions, RedoStart, ReplayStop, ReplayedDatabase};
use walship_engine::{EngineError, integrity_check};
use walship_node::{ControlDatabase, DataDirectory};
use walship_types::{DatabaseId, DatabaseName};

use super::log::BackupLog;
use crate::failure::{Failure, note};
use crate::progress::Progress;

/// Problems of one database that SQLite is asked to list.
const PROBLEMS_MAX: u32 = 20;

#[derive(Default)]
struct Lists {
    sound: Vec<(DatabaseName, PathBuf)>,
    problems: Vec<String>,
}

/// What replay found.
#[derive(Default)]
struct Found {
    // protects the lists; held to add to them
    databases: Mutex<Lists>,
}

impl RedoCatalog for Found {
    fn opened(&self, database: &ReplayedDatabase<'_>) -> Result<(), EngineError> {
        let mut found = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        found.sound.retain(|(name, _)| name != database.name);
        found.sound.push((database.name.clone(), database.path.to_owned()));
        Ok(())
    }

    fn dropping(&self, _id: DatabaseId, name: &DatabaseName) -> Result<(), EngineError> {
        let mut found = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
        found.sound.retain(|(known, _)| known != name);
        Ok(())
    }

    fn stopped(&self, stop: &ReplayStop) {
        self.databases.lock().unwrap_or_else(PoisonError::into_inner).problems.push(stop.to_string());
    }
}

/// Replays a copy of the databases in `scratch` to where the backup is consistent: each
/// must then have the pages that the log says, by the database checksum, and be what
/// SQLite takes for a sound database. How many there are.
pub(super) fn check(directory: &Path, log: &BackupLog, scratch: &Path) -> Result<usize, Failure> {
    copy(directory, &log.control.databases, scratch)?;
    let control = &log.control;
    let options = RedoOptions::new(scratch, control.system_id);
    let start = RedoStart {
        redo: log.start,
        end: log.end,
        states: control.databases.iter().map(ControlDatabase::state).collect(),
        consistent_at: log.end,
    };
    let found = Arc::new(Found::default());
    let catalog = Arc::clone(&found);
    let never = Arc::new(|| false);
    let redo = Redo::start(options, catalog, log.log.source(), &start, never).map_err(Failure::new)?;
    drop(redo);
    let mut found = found.databases.lock().unwrap_or_else(PoisonError::into_inner);
    let Lists { sound: databases, problems } = &mut *found;
    for (name, path) in databases.iter() {
        let listed = integrity_check(path, PROBLEMS_MAX).map_err(Failure::new)?;
        problems.extend(listed.into_iter().map(|line| format!("database \"{name}\": {line}")));
    }
    for problem in problems.iter() {
        note(problem);
    }
    if problems.is_empty() {
        return Ok(databases.len());
    }
    Err(Failure::new(format!("backup \"{}\" has databases that are not sound", directory.display())).hint(
        "what it was taken from has the same defects, or the log was changed: check that with walctl status",
    ))
}

fn copy(directory: &Path, databases: &[ControlDatabase], scratch: &Path) -> Result<(), Failure> {
    let base = DataDirectory::new(directory).base();
    let progress = Progress::start("copying", None);
    let names =
        databases.iter().flat_map(|database| ["db", "hash"].map(|kind| format!("{}.{kind}", database.name)));
    for name in names {
        let from = base.join(&name);
        let copied = fs::copy(&from, scratch.join(&name));
        let bytes = copied.map_err(|error| {
            Failure::new(format!(
                "could not copy \"{}\" to \"{}\": {error}",
                from.display(),
                scratch.display()
            ))
            .hint("name a directory that has room for the databases: --scratch DIR")
        })?;
        progress.add(bytes);
    }
    Ok(())
}
