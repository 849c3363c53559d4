use std::sync::Arc;

use walship_types::{DatabaseId, DatabaseName};

use crate::EngineError;
use crate::databases::Databases;
use crate::redo::{RedoCatalog, ReplayStop, ReplayedDatabase};

/// On a follower, replay says which databases there are.
impl RedoCatalog for Databases {
    fn opened(&self, database: &ReplayedDatabase<'_>) -> Result<(), EngineError> {
        let opened = self.attach(database.id, database.name)?;
        opened.set_hashes(Arc::clone(database.hashes));
        Ok(())
    }

    /// Sessions that are still on it get an error with their next answer; the
    /// files that they have open outlive their names.
    fn dropping(&self, id: DatabaseId, _name: &DatabaseName) -> Result<(), EngineError> {
        if let Some(database) = self.detach(id) {
            database.close("it was dropped on the leader".to_owned());
        }
        Ok(())
    }

    fn stopped(&self, stop: &ReplayStop) {
        let reason = stop.to_string();
        if let Some(database) = self.all().into_iter().find(|database| database.id() == stop.id) {
            database.set_replay_stopped(reason);
        }
    }
}

impl Databases {
    /// Replay goes on with a database that is open already: after its page hashes came
    /// from a leader's capture, or when its text encoding became known.
    pub fn opened_again(&self, database: &ReplayedDatabase<'_>) {
        if let Ok(open) = self.get(database.name.as_str()) {
            open.set_hashes(Arc::clone(database.hashes));
        }
    }
}
