use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, RwLock};
use walship_types::DatabaseName;
use walship_wal::WalWriter;

use crate::in_flight::InFlight;
use crate::{EngineError, EngineOptions};

/// What this node may do with its databases.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    /// Writes, into this log.
    Leader(Arc<WalWriter>),
    /// A leader that hands over: nobody writes until that has ended, one way or the other.
    HandingOver,
    /// A leader that takes no writes any more, because another node leads a newer timeline.
    /// What is in its files goes on being logged, here.
    Fenced(Arc<WalWriter>),
    /// Replays and reads.
    Follower,
    /// Neither; the reason is for whoever asks.
    Closed(&'static str),
}

/// What all databases of the engine share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: EngineOptions,
    pub(crate) in_flight: InFlight,
    /// Protects the role; held to copy it.
    role: RwLock<Role>,
    /// Protects the names of databases that are being created or dropped.
    structural: Mutex<BTreeSet<DatabaseName>>,
    /// Protects what the maintenance thread is asked for.
    asked: Mutex<Asked>,
    wake: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Asked {
    #[default]
    Nothing,
    /// To look at the databases now.
    Look,
    /// To end.
    Stop,
}

/// A database that is being created or dropped.
#[derive(Debug)]
pub(crate) struct Structural {
    shared: Arc<Shared>,
    name: DatabaseName,
}

impl Drop for Structural {
    fn drop(&mut self) {
        self.shared.structural.lock().remove(&self.name);
    }
}

impl Shared {
    pub(crate) fn new(options: EngineOptions, role: Role) -> Shared {
        Shared {
            options,
            in_flight: InFlight::default(),
            role: RwLock::new(role),
            structural: Mutex::default(),
            asked: Mutex::default(),
            wake: Condvar::new(),
        }
    }

    pub(crate) fn role(&self) -> Role {
        self.role.read().clone()
    }

    pub(crate) fn set_role(&self, role: Role) {
        *self.role.write() = role;
    }

    /// The log that a leader's sessions write; an error on any other node.
    pub(crate) fn writer(&self) -> Result<Arc<WalWriter>, EngineError> {
        match &*self.role.read() {
            Role::Leader(writer) => Ok(Arc::clone(writer)),
            Role::HandingOver => Err(EngineError::Closed { reason: "handing over to another node" }),
            Role::Fenced(_) => Err(EngineError::ReadOnly { role: "fenced" }),
            Role::Follower => Err(EngineError::ReadOnly { role: "a follower" }),
            Role::Closed(reason) => Err(EngineError::Closed { reason }),
        }
    }

    /// The log for records that no session asks for: checkpoints, what is found in a -wal.
    pub(crate) fn own_writer(&self) -> Result<Arc<WalWriter>, EngineError> {
        match self.role() {
            Role::Fenced(writer) => Ok(writer),
            _ => self.writer(),
        }
    }

    /// Whether waiting for a turn can lead to a write.
    pub(crate) fn may_wait_to_write(&self) -> Result<(), EngineError> {
        match self.role() {
            Role::HandingOver => Ok(()),
            _ => self.writer().map(drop),
        }
    }

    /// Notes that a database is created or dropped, which has no turn to hold. Nobody else
    /// does either with that name meanwhile: both work on the same files.
    pub(crate) fn begin_structural(self: &Arc<Self>, name: &DatabaseName) -> Result<Structural, EngineError> {
        // noted before the role is looked at: whoever hands over does it the other way round
        if !self.structural.lock().insert(name.clone()) {
            return Err(EngineError::DatabaseInWork { name: name.clone() });
        }
        let noted = Structural { shared: Arc::clone(self), name: name.clone() };
        self.writer()?;
        Ok(noted)
    }

    /// How many databases are being created or dropped.
    pub(crate) fn structural(&self) -> usize {
        self.structural.lock().len()
    }

    /// Asks the maintenance thread to look at the databases, or to end.
    pub(crate) fn ask(&self, for_what: Asked) {
        let mut asked = self.asked.lock();
        if *asked != Asked::Stop {
            *asked = for_what;
        }
        self.wake.notify_all();
    }

    /// Waits for something to do, for one interval at most. False: to end.
    pub(crate) fn wait_for_work(&self) -> bool {
        let mut asked = self.asked.lock();
        if *asked == Asked::Nothing {
            self.wake.wait_for(&mut asked, self.options.poll_interval);
        }
        if *asked == Asked::Stop {
            return false;
        }
        *asked = Asked::Nothing;
        true
    }

    /// Whether the maintenance thread was asked to end.
    pub(crate) fn is_stopping(&self) -> bool {
        *self.asked.lock() == Asked::Stop
    }
}
