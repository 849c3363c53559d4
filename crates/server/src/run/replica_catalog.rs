use std::sync::Arc;
use std::time::{Duration, Instant};

use walship_engine::redo::{RedoCatalog, ReplayStop, ReplayedDatabase};
use walship_engine::{Databases, EngineError};
use walship_node::{Backends, Interrupt};
use walship_types::{DatabaseId, DatabaseName};

/// How long a replayed DROP DATABASE waits for the sessions that it has ended.
const SESSIONS_END_WAIT: Duration = Duration::from_secs(30);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Tells the engine what replay opens and drops, ends the sessions of what is
/// dropped, and logs what stops.
pub(crate) struct ReplicaCatalog {
    pub(crate) databases: Arc<Databases>,
    pub(crate) backends: Arc<Backends>,
}

impl RedoCatalog for ReplicaCatalog {
    fn opened(&self, database: &ReplayedDatabase<'_>) -> Result<(), EngineError> {
        // replay opens a database again when its text encoding becomes known
        match self.databases.get(database.name.as_str()) {
            Ok(open) if open.id() == database.id => {
                self.databases.opened_again(database);
                Ok(())
            }
            _ => self.databases.opened(database),
        }
    }

    fn dropping(&self, id: DatabaseId, name: &DatabaseName) -> Result<(), EngineError> {
        let Ok(database) = self.databases.get(name.as_str()) else { return Ok(()) };
        self.databases.dropping(id, name)?;
        let deadline = Instant::now() + SESSIONS_END_WAIT;
        while database.sessions() > 0 && Instant::now() < deadline {
            for backend in self.backends.list() {
                if backend.database.as_deref() == Some(name.as_str()) {
                    self.backends.interrupt(backend.pid, Interrupt::Terminate);
                }
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
        match database.sessions() {
            0 => Ok(()),
            sessions => Err(EngineError::DatabaseInUse { name: name.clone(), sessions }),
        }
    }

    fn stopped(&self, stop: &ReplayStop) {
        self.databases.stopped(stop);
        tracing::error!(
            event = "replay_stopped", database = %stop.database, lsn = %stop.lsn, sqlstate = "XX001",
            hint = stop.hint(), "{stop}"
        );
    }
}
