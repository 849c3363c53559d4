use std::sync::Arc;
use std::time::Duration;

use walship_types::Lsn;
use walship_wal::WalWriter;

use crate::EngineError;
use crate::capture::Author;
use crate::databases::Databases;
use crate::shared::Role;
use crate::turn::{Turn, WaitLimits};

/// How often a hand-over looks whether databases are still being created or dropped.
const STRUCTURAL_LOOK: Duration = Duration::from_millis(1);

impl Databases {
    /// Takes no more writes, at once, on a leader. Who is in the middle of a transaction
    /// finds out with the next statement; reads go on, and so do checkpoints.
    pub fn fence(&self) {
        if let Role::Leader(writer) = self.shared.role() {
            self.shared.set_role(Role::Fenced(writer));
        }
    }

    /// Takes writes again after [`Databases::fence`].
    pub fn unfence(&self) {
        if let Role::Fenced(writer) = self.shared.role() {
            self.shared.set_role(Role::Leader(writer));
        }
    }

    /// Keeps every writer of a leader waiting, once those that have the turn are through.
    /// If that takes longer than `limits` allow, nothing has changed.
    pub fn hold_writers(self: &Arc<Self>, limits: &WaitLimits<'_>) -> Result<HeldWriters, EngineError> {
        let writer = self.shared.writer()?;
        self.shared.set_role(Role::HandingOver);
        let mut held = HeldWriters { databases: Arc::clone(self), turns: Vec::new(), writer, over: false };
        held.wait_for_structural(limits)?;
        for database in self.all() {
            let turn = database.take_turn(limits)?;
            database.capture(&turn, Author::Foreign, true, &held.writer)?;
            held.turns.push(turn);
        }
        Ok(held)
    }
}

/// A leader whose writers wait. Dropped before [`HeldWriters::follow`] it leads on, and
/// they go on.
#[derive(Debug)]
pub struct HeldWriters {
    databases: Arc<Databases>,
    turns: Vec<Turn>,
    writer: Arc<WalWriter>,
    over: bool,
}

impl HeldWriters {
    /// The end of the log: nothing is appended any more while the writers are held.
    pub fn end(&self) -> Lsn {
        self.writer.hold_appends()
    }

    /// Makes the log durable up to there.
    pub fn flush(&self, end: Lsn) -> Result<(), EngineError> {
        Ok(self.writer.flush(end)?)
    }

    /// Ends leading: what the databases are from now on, replay says. Writers that wait
    /// are refused. The log's writer is the caller's to shut down, before.
    pub fn follow(mut self) {
        self.over = true;
        for database in self.databases.all() {
            database.stop_leading();
        }
        self.databases.shared.set_role(Role::Follower);
    }

    fn wait_for_structural(&self, limits: &WaitLimits<'_>) -> Result<(), EngineError> {
        while self.databases.shared.structural() > 0 {
            if limits.ended().is_some() {
                return Err(EngineError::Closed { reason: "a database is being created or dropped" });
            }
            std::thread::sleep(STRUCTURAL_LOOK);
        }
        Ok(())
    }
}

impl Drop for HeldWriters {
    fn drop(&mut self) {
        if !self.over {
            self.writer.resume_appends();
            self.databases.shared.set_role(Role::Leader(Arc::clone(&self.writer)));
        }
        // only now do those who wait for the turn get it
        self.turns.clear();
    }
}
