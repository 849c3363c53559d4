use walship_node::SyncLevel;
use walship_settings::{StandbyNames, SynchronousCommit, Typed as _};
use walship_types::Lsn;
use walship_wal::WaitOutcome;

use super::Node;
use crate::sql::{CancelReason, EndReason, SessionStart, SqlError, SqlState};

const LOCALLY_COMMITTED: &str =
    "The transaction has already committed locally, but might not have been replicated to the standby.";

impl Node {
    /// Puts `synchronous_standby_names` in force, in the role and with the settings of now.
    pub(crate) fn judge_by_settings(&self) {
        let names = match self.is_follower() {
            // commits are the leader's
            true => None,
            // a text that cannot be read was refused where it was set
            false => StandbyNames::parse(&self.settings().text("synchronous_standby_names")).ok().flatten(),
        };
        self.senders.set_synchronous(names, || self.log().positions().insert.get());
    }

    /// Waits until the synchronous followers have a commit, which is durable here already.
    ///
    /// As in PostgreSQL, a cancel ends the wait with a warning and not the commit, `statement_timeout` does not count,
    /// and the end of the session leaves the commit unacknowledged.
    pub(crate) fn wait_for_followers(
        &self,
        lsn: Lsn,
        commit: SynchronousCommit,
        start: &SessionStart,
    ) -> Result<(), SqlError> {
        let level = match commit {
            SynchronousCommit::Off | SynchronousCommit::Local => return Ok(()),
            SynchronousCommit::RemoteWrite => SyncLevel::Write,
            SynchronousCommit::On => SyncLevel::Flush,
            SynchronousCommit::RemoteApply => SyncLevel::Apply,
        };
        let synchronous = self.senders.synchronous();
        let released = synchronous.released(level);
        if synchronous.names().is_none() || released.get() >= lsn {
            return Ok(());
        }
        let _shown = self.backends.waiting(start.pid, "IPC", "SyncRep");
        let signals = &start.signals;
        let told = || signals.end_reason().is_some() || signals.take_cancel() == Some(CancelReason::User);
        match released.wait_blocking(lsn, None, told) {
            WaitOutcome::Reached | WaitOutcome::TimedOut | WaitOutcome::Closed => Ok(()),
            WaitOutcome::Cancelled if signals.end_reason() == Some(EndReason::NotLeader) => Err(SqlError::fatal(
                SqlState::ADMIN_SHUTDOWN,
                "canceling the wait for synchronous replication because this node no longer takes writes",
            )
            .with_detail(LOCALLY_COMMITTED)),
            WaitOutcome::Cancelled if signals.end_reason().is_some() => Err(SqlError::fatal(
                SqlState::ADMIN_SHUTDOWN,
                "canceling the wait for synchronous replication and terminating connection due to administrator command",
            )
            .with_detail(LOCALLY_COMMITTED)),
            WaitOutcome::Cancelled => Err(SqlError::warning(
                SqlState::WARNING,
                "canceling wait for synchronous replication due to user request",
            )
            .with_detail(LOCALLY_COMMITTED)),
        }
    }
}
