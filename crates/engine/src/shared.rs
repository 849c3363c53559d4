use std::sync::Arc;

use parking_lot::{Condvar, Mutex, RwLock};
use walship_wal::WalWriter;

use crate::in_flight::InFlight;
use crate::{EngineError, EngineOptions};

/// What this node may do with its databases.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    /// Writes, into this log.
    Leader(Arc<WalWriter>),
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

impl Shared {
    pub(crate) fn new(options: EngineOptions, role: Role) -> Shared {
        Shared {
            options,
            in_flight: InFlight::default(),
            role: RwLock::new(role),
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

    /// The log that a leader writes; an error on any other node.
    pub(crate) fn writer(&self) -> Result<Arc<WalWriter>, EngineError> {
        match &*self.role.read() {
            Role::Leader(writer) => Ok(Arc::clone(writer)),
            Role::Follower => Err(EngineError::ReadOnly { role: "a follower" }),
            Role::Closed(reason) => Err(EngineError::Closed { reason }),
        }
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
