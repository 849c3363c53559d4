use std::sync::Arc;

use walship_node::{SenderState, SyncLevel, SyncState};
use walship_settings::{StandbyMethod, StandbyNames, SynchronousCommit, Typed as _};
use walship_sql::catalog::SynchronousRow;
use walship_sql::{CancelReason, EndReason, Logged, SessionStart, SqlError, SqlState};
use walship_wal::{PositionWatch, WaitOutcome};

use super::Node;

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

    /// Each name of the rule, with what there is of it.
    pub(crate) fn synchronous_names(&self) -> Vec<SynchronousRow> {
        let Some(rule) = self.senders.synchronous().names() else { return Vec::new() };
        let standings = self.senders.standings();
        let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let rows = rule.names.iter().enumerate().map(|(place, name)| {
            let streams = |state| !matches!(state, SenderState::Startup | SenderState::Backup);
            let connected = standings.iter().filter(|(row, _)| streams(row.state));
            let matching = connected.filter(|(row, _)| rule.place(&row.application_name) == Some(place));
            let states: Vec<SyncState> = matching.map(|(_, standing)| standing.state).collect();
            let best = states.iter().copied().max().filter(|state| *state != SyncState::Async);
            SynchronousRow {
                method: match rule.method {
                    StandbyMethod::First => "FIRST",
                    StandbyMethod::Any => "ANY",
                },
                wanted: number(rule.count),
                place: number(place + 1),
                name: name.clone(),
                followers: number(states.len()),
                state: best.map_or("missing", SyncState::as_str),
            }
        });
        rows.collect()
    }

    /// Says which names of a rule that was just put in force match nobody, so that a slip of the pen is seen.
    pub(crate) fn warn_of_missing_names(&self) {
        for row in self.synchronous_names().into_iter().filter(|row| row.followers == 0) {
            let (name, place) = (row.name, row.place);
            tracing::warn!(
                event = "synchronous_name_unmatched",
                name,
                place,
                hint = "pg_stat_replication.application_name shows how followers call themselves",
                "no connected follower matches \"{name}\" in synchronous_standby_names"
            );
        }
    }

    /// The position that a commit of this level waits for, if there is a rule; lets followers know that it does.
    pub(crate) fn ask_followers(&self, commit: SynchronousCommit) -> Option<Arc<PositionWatch>> {
        let level = level_of(commit)?;
        let synchronous = self.senders.synchronous();
        synchronous.names()?;
        synchronous.ask(level);
        Some(Arc::clone(synchronous.released(level)))
    }

    /// Waits until the synchronous followers have a commit. If it is not durable here by then, it was the rule that
    /// went.
    ///
    /// As in PostgreSQL, a cancel ends the wait with a warning and not the commit, `statement_timeout` does not count,
    /// and the end of the session leaves the commit unacknowledged.
    pub(crate) fn wait_for_followers(
        &self,
        commit: Logged,
        released: &PositionWatch,
        start: &SessionStart,
    ) -> Result<(), SqlError> {
        if released.get() >= commit.end {
            self.commit_waits.followers.observe(commit.at.elapsed());
            return Ok(());
        }
        let _shown = self.backends.waiting(start.pid, "IPC", "SyncRep");
        let signals = &start.signals;
        let told = || signals.end_reason().is_some() || signals.take_cancel() == Some(CancelReason::User);
        match released.wait_blocking(commit.end, None, told) {
            WaitOutcome::Reached | WaitOutcome::TimedOut | WaitOutcome::Closed => {
                self.commit_waits.followers.observe(commit.at.elapsed());
                Ok(())
            }
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

fn level_of(commit: SynchronousCommit) -> Option<SyncLevel> {
    match commit {
        SynchronousCommit::Off | SynchronousCommit::Local => None,
        SynchronousCommit::RemoteWrite => Some(SyncLevel::Write),
        SynchronousCommit::On => Some(SyncLevel::Flush),
        SynchronousCommit::RemoteApply => Some(SyncLevel::Apply),
    }
}
