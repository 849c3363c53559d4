use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Mutex, RwLock};
use walship_types::{DatabaseId, DatabaseName};
use walship_wal::WalWriter;

use crate::database::Database;
use crate::lead::LeaderStart;
use crate::shared::{Asked, Role, Shared};
use crate::{EngineError, EngineOptions, Session, maintenance};

/// The databases of the cluster that are open, in either role. Sessions outlive a
/// change of role.
#[derive(Debug)]
pub struct Databases {
    pub(crate) shared: Arc<Shared>,
    /// Protects the list; held to look up and to change it.
    map: RwLock<BTreeMap<DatabaseName, Arc<Database>>>,
    next_id: AtomicU32,
    /// Protects the handle of the maintenance thread, which the first stop takes.
    maintenance: Mutex<Option<JoinHandle<()>>>,
}

/// What the node is with regard to its databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabasesRole {
    /// It writes.
    Leader,
    /// It replays and reads.
    Follower,
    /// It wrote, and does not any more: another node leads.
    Fenced,
    /// Neither: starting or shutting down.
    Closed,
}

impl Databases {
    /// An engine without databases, in no role.
    pub fn new(options: EngineOptions) -> Result<Arc<Databases>, EngineError> {
        crate::sqlite::check_requirements()?;
        Ok(Arc::new(Databases {
            shared: Arc::new(Shared::new(options, Role::Closed("starting up"))),
            map: RwLock::default(),
            next_id: AtomicU32::new(1),
            maintenance: Mutex::default(),
        }))
    }

    /// What it was started with.
    pub fn options(&self) -> &EngineOptions {
        &self.shared.options
    }

    /// Opens the file of a database and lets sessions in. It has to be in WAL mode.
    pub fn attach(&self, id: DatabaseId, name: &DatabaseName) -> Result<Arc<Database>, EngineError> {
        let path = self.path_of(name);
        let database = Arc::new(Database::open(Arc::clone(&self.shared), id, name.clone(), path)?);
        self.insert(&database);
        Ok(database)
    }

    /// Lets no session in any more and forgets the database; its file stays.
    /// Sessions that use it keep it open until they end.
    pub fn detach(&self, id: DatabaseId) -> Option<Arc<Database>> {
        let mut map = self.map.write();
        let name = map.values().find(|database| database.id() == id)?.name().clone();
        map.remove(&name)
    }

    /// The databases are those of a follower: sessions read.
    pub fn follow(&self) {
        self.shared.set_role(Role::Follower);
    }

    /// The databases are those of a leader that writes `writer`: starts to
    /// capture, logs what is not yet in the log, and lets sessions write. Every
    /// attached database needs its start. `next_id` was never an id.
    pub fn lead(
        self: &Arc<Self>,
        writer: Arc<WalWriter>,
        starts: Vec<LeaderStart>,
        next_id: DatabaseId,
    ) -> Result<(), EngineError> {
        self.start_capture(&writer, starts, next_id)?;
        self.shared.set_role(Role::Leader(writer));
        self.start_maintenance()
    }

    fn start_capture(
        &self,
        writer: &WalWriter,
        starts: Vec<LeaderStart>,
        next_id: DatabaseId,
    ) -> Result<(), EngineError> {
        self.next_id.fetch_max(next_id.0, Ordering::AcqRel);
        let mut starts: BTreeMap<_, _> = starts.into_iter().map(|start| (start.database, start)).collect();
        for database in self.all() {
            self.next_id.fetch_max(database.id().0 + 1, Ordering::AcqRel);
            let start = starts.remove(&database.id());
            let start = start.ok_or_else(|| EngineError::NoStart { database: database.name().clone() })?;
            database.lead(start, writer)?;
        }
        Ok(())
    }

    /// As [`Databases::lead`], for a follower that was promoted: before anyone writes,
    /// every AUTOINCREMENT sequence skips `sequence_gap` numbers, which a leader that
    /// was lost may have given out.
    pub fn lead_promoted(
        self: &Arc<Self>,
        writer: Arc<WalWriter>,
        starts: Vec<LeaderStart>,
        next_id: DatabaseId,
        sequence_gap: i64,
    ) -> Result<(), EngineError> {
        self.start_capture(&writer, starts, next_id)?;
        if sequence_gap > 0 {
            for database in self.all() {
                database.skip_sequence_numbers(sequence_gap, &writer)?;
            }
        }
        self.shared.set_role(Role::Leader(writer));
        self.start_maintenance()
    }

    /// Takes no more writes and no more sessions, and ends the maintenance thread.
    /// Sessions that are open can read until they end.
    pub fn close(&self, reason: &'static str) {
        self.shared.set_role(Role::Closed(reason));
        self.shared.ask(Asked::Stop);
        if let Some(thread) = self.maintenance.lock().take() {
            // a panic there has been reported by its own thread
            let _ = thread.join();
        }
    }

    /// What the databases are.
    pub fn role(&self) -> DatabasesRole {
        match self.shared.role() {
            Role::Leader(_) | Role::HandingOver => DatabasesRole::Leader,
            Role::Fenced(_) => DatabasesRole::Fenced,
            Role::Follower => DatabasesRole::Follower,
            Role::Closed(_) => DatabasesRole::Closed,
        }
    }

    /// A new session on the database of this name.
    pub fn session(&self, name: &str) -> Result<Session, EngineError> {
        if let Role::Closed(reason) = self.shared.role() {
            return Err(EngineError::Closed { reason });
        }
        Session::open(self.begin_session(name)?)
    }

    /// The database of this name.
    pub fn get(&self, name: &str) -> Result<Arc<Database>, EngineError> {
        find(&self.map.read(), name)
    }

    /// All databases, by name.
    pub fn all(&self) -> Vec<Arc<Database>> {
        self.map.read().values().cloned().collect()
    }

    /// The file of a database of this name, whether there is one or not.
    pub fn path_of(&self, name: &DatabaseName) -> PathBuf {
        self.shared.options.base.join(format!("{name}.db"))
    }

    /// The file of the page hashes of a database of this name.
    pub fn hash_path_of(&self, name: &DatabaseName) -> PathBuf {
        self.shared.options.base.join(format!("{name}.hash"))
    }

    /// The id that the next database gets.
    pub fn next_id(&self) -> DatabaseId {
        DatabaseId(self.next_id.load(Ordering::Acquire))
    }

    pub(crate) fn allocate_id(&self) -> DatabaseId {
        DatabaseId(self.next_id.fetch_add(1, Ordering::AcqRel))
    }

    pub(crate) fn insert(&self, database: &Arc<Database>) {
        self.map.write().insert(database.name().clone(), Arc::clone(database));
    }

    /// Takes a database that no session uses out of the list.
    pub(crate) fn remove_unused(&self, name: &DatabaseName) -> Result<Arc<Database>, EngineError> {
        let mut map = self.map.write();
        let database = find(&map, name.as_str())?;
        // sessions begin under the list's lock, so none can begin now
        match database.sessions() {
            0 => map.remove(name),
            sessions => return Err(EngineError::DatabaseInUse { name: name.clone(), sessions }),
        };
        Ok(database)
    }

    /// Finds a database and counts a session on it, in one step.
    pub(crate) fn begin_session(&self, name: &str) -> Result<Arc<Database>, EngineError> {
        let map = self.map.read();
        let database = find(&map, name)?;
        database.session_begins();
        Ok(database)
    }

    fn start_maintenance(self: &Arc<Self>) -> Result<(), EngineError> {
        let mut running = self.maintenance.lock();
        if running.is_none() {
            let (databases, shared) = (Arc::downgrade(self), Arc::clone(&self.shared));
            let thread = std::thread::Builder::new().name("maintenance".to_owned());
            let thread = thread.spawn(move || maintenance::run(&databases, &shared));
            *running = Some(thread.map_err(|source| EngineError::Thread { source })?);
        }
        Ok(())
    }
}

fn find(map: &BTreeMap<DatabaseName, Arc<Database>>, name: &str) -> Result<Arc<Database>, EngineError> {
    let found = name.parse::<DatabaseName>().ok().and_then(|name| map.get(&name).cloned());
    found.ok_or_else(|| EngineError::DatabaseDoesNotExist {
        name: name.to_owned(),
        existing: map.keys().filter(|name| !name.is_shared_catalog()).cloned().collect(),
    })
}

impl Drop for Databases {
    fn drop(&mut self) {
        // the thread itself may be the last to let go: it must not wait for itself
        self.shared.ask(Asked::Stop);
    }
}
