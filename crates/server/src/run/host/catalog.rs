use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use walship_auth::hba::Parsed;
use walship_engine::DatabasesRole;
use walship_engine::redo::PauseState;
use walship_node::{Interrupt, ReceiverStatus, SenderInfo, SlotInfo, slot_status};
use walship_settings::{Reload, Typed as _};
use walship_sql::catalog::{
    ArchiverStatistics, BackendRow, BaseBackupRow, CatalogSource, CheckpointStatistics, ControlRow,
    DatabaseRow, FailoverRow, NewSlot, NodeIdentity, Positions, ReceiverRow, ReplayPause, ReplicationRow,
    RoleRow, SessionContext, SlotRow, SqlError, SynchronousRow, WalStatistics,
};
use walship_sql::roles::{Level, PasswordState, Privileges, Role};
use walship_types::{Lsn, Timestamp};
use walship_wal::RecordKind;
use walship_wal::payload::RestorePoint;

use super::{Host, activity, databases};
use crate::logging::current_log_file;
use crate::run::Node;
use crate::run::checkpointer::retention_input;
use crate::run::log::{FollowerLog, NodeLog};
use crate::run::promotion::Wanted;

impl CatalogSource for Host {
    fn identity(&self) -> NodeIdentity {
        NodeIdentity {
            system_id: self.system_id,
            segment_size: self.segment_size,
            data_directory: self.directory.root().to_owned(),
            started_at: self.started,
        }
    }

    fn in_recovery(&self) -> bool {
        // a promotion hands over the log first: until sessions can write it is not done
        self.is_follower() || self.databases.role() == DatabasesRole::Follower
    }

    fn positions(&self) -> Positions {
        let log = self.log();
        let positions = log.positions();
        let replay = match &log {
            NodeLog::Leader(_) => None,
            NodeLog::Follower(follower) => follower.replay.as_ref().map(|worker| worker.status()),
        };
        Positions {
            timeline: log.history().timeline.0,
            insert: positions.insert.get(),
            write: positions.write.get(),
            flush: positions.flush.get(),
            receive: self.is_follower().then(|| positions.flush.get()),
            replay: log.replay().map(|watch| watch.get()),
            last_replayed_commit: replay.and_then(|status| status.last_commit_time),
            last_commit: Some(Lsn(self.last_commit.load(Ordering::Relaxed))).filter(|lsn| lsn.is_valid()),
        }
    }

    fn control(&self) -> ControlRow {
        let control = self.control.get();
        let history = self.log().history();
        ControlRow {
            checkpoint: control.checkpoint,
            redo: control.redo,
            timeline: control.timeline,
            previous_timeline: history.entries.last().map_or(control.timeline, |entry| entry.timeline),
            time: control.checkpoint_time,
            minimum_recovery: if self.is_follower() { control.minimum_recovery } else { Lsn::INVALID },
            modified_at: control.checkpoint_time,
        }
    }

    fn backends(&self) -> Vec<BackendRow> {
        activity::rows(self)
    }

    fn replication(&self) -> Vec<ReplicationRow> {
        let backends = self.backends.list();
        let rows = self.senders.standings().into_iter().filter(|(row, _)| row.pid > 0);
        let rows = rows.map(|(row, standing)| {
            let backend = backends.iter().find(|backend| backend.pid == row.pid);
            let position = |lsn: Lsn| lsn.is_valid().then_some(lsn);
            ReplicationRow {
                pid: row.pid,
                user: backend.map(|b| b.user.clone()).unwrap_or_default(),
                application_name: row.application_name,
                client: backend.map(activity::client_address).unwrap_or_default(),
                started_at: backend.map_or(self.started, |b| b.started),
                state: row.state.as_str(),
                sent: position(row.sent),
                write: position(row.write),
                flush: position(row.flush),
                replay: position(row.replay),
                write_lag: row.write_lag,
                flush_lag: row.flush_lag,
                replay_lag: row.replay_lag,
                sync_priority: i32::try_from(standing.priority).unwrap_or(i32::MAX),
                sync_state: standing.state.as_str(),
                reply_time: row.reply_time,
            }
        });
        rows.collect()
    }

    fn receiver(&self) -> Option<ReceiverRow> {
        let receiver = self.receiver.get();
        if !self.is_follower() || receiver.status == ReceiverStatus::Stopped {
            return None;
        }
        let positions = self.log().positions();
        let timeline = self.log().history().timeline;
        Some(ReceiverRow {
            pid: activity::RECEIVER_PID,
            status: receiver.status.as_str(),
            receive_start: receiver.start,
            receive_start_timeline: receiver.start_timeline.unwrap_or(timeline),
            written: positions.write.get(),
            flushed: positions.flush.get(),
            received_timeline: receiver.received_timeline.unwrap_or(timeline),
            last_message_sent_at: receiver.last_message_sent,
            last_message_received_at: receiver.last_message_received,
            latest_end: receiver.latest_end.is_valid().then_some(receiver.latest_end),
            latest_end_at: receiver.latest_end_time,
            slot_name: receiver.slot_name,
            sender_host: receiver.sender_host,
            sender_port: receiver.sender_port.map(i32::from),
            conninfo: receiver.conninfo,
        })
    }

    fn slots(&self) -> Vec<SlotRow> {
        self.slots.list().into_iter().map(|slot| self.slot_row(slot)).collect()
    }

    fn databases(&self) -> Vec<DatabaseRow> {
        databases::rows(self)
    }

    fn wal_statistics(&self) -> WalStatistics {
        // a follower generates no log, it only receives some
        let NodeLog::Leader(writer) = self.log() else { return WalStatistics::default() };
        let counted = writer.statistics();
        WalStatistics {
            records: counted.records,
            full_pages: self.databases.list().iter().map(|info| info.full_pages).sum(),
            bytes: writer.positions().insert.get().saturating_distance_from(self.started_at_lsn),
            buffers_full: counted.buffers_full,
            writes: counted.writes,
            write_time: counted.write_time,
            syncs: counted.syncs,
            stalled: counted.stalled,
        }
    }

    fn checkpoint_statistics(&self) -> CheckpointStatistics {
        CheckpointStatistics {
            timed: self.checkpoint_counts.timed.load(Ordering::Relaxed),
            requested: self.checkpoint_counts.requested.load(Ordering::Relaxed),
            write_time: Duration::from_micros(self.checkpoint_counts.micros.load(Ordering::Relaxed)),
            ..CheckpointStatistics::default()
        }
    }

    fn archiver_statistics(&self) -> ArchiverStatistics {
        self.archiver.statistics()
    }

    fn base_backups(&self) -> Vec<BaseBackupRow> {
        let backups = self.senders.list().into_iter();
        let row = |sender: SenderInfo| {
            let progress = sender.backup?;
            Some(BaseBackupRow {
                pid: sender.pid,
                phase: progress.phase().as_str(),
                total: progress.total(),
                streamed: progress.streamed(),
            })
        };
        backups.filter_map(row).collect()
    }

    fn roles(&self) -> Vec<RoleRow> {
        let mut rows: Vec<RoleRow> = self.roles.current().iter().map(role_row).collect();
        rows.sort_by_key(|row| row.oid);
        rows
    }

    fn privileges(&self, session: &SessionContext) -> Privileges {
        self.privileges_of(session.role, &session.database)
    }

    fn access_rules(&self) -> Result<Parsed, SqlError> {
        self.access.file_rules().map_err(|error| SqlError::new("58P01", error.to_string()))
    }

    fn configuration_loaded_at(&self) -> Timestamp {
        *self.settings_loaded.lock()
    }

    fn log_file(&self) -> Option<PathBuf> {
        current_log_file()
    }

    fn replay_pause(&self) -> ReplayPause {
        let NodeLog::Follower(FollowerLog { replay: Some(replay), .. }) = self.log() else {
            return ReplayPause::NotPaused;
        };
        match replay.pause_state() {
            PauseState::NotPaused => ReplayPause::NotPaused,
            PauseState::Requested => ReplayPause::Requested,
            PauseState::Paused => ReplayPause::Paused,
        }
    }

    fn failover(&self) -> FailoverRow {
        self.failover_row()
    }

    fn unfence(&self) -> Result<bool, SqlError> {
        Node::unfence(self).map_err(|error| SqlError::new("58030", error.to_string()))
    }

    fn synchronous(&self) -> Vec<SynchronousRow> {
        self.synchronous_names()
    }

    fn cancel(&self, pid: i32) -> Result<bool, SqlError> {
        Ok(self.backends.interrupt(pid, Interrupt::Cancel))
    }

    fn terminate(&self, pid: i32) -> Result<bool, SqlError> {
        Ok(self.backends.interrupt(pid, Interrupt::Terminate))
    }

    fn reload(&self) -> Result<Reload, SqlError> {
        self.reload_settings().ok_or_else(|| {
            SqlError::new("F0000", "the settings files have errors; unchanged settings stay in force")
                .with_hint("the server's log says which; pg_file_settings shows them")
        })
    }

    fn promote(&self, wait: Option<Duration>) -> Result<bool, SqlError> {
        let number = self.promotions.ask(Wanted::Failover);
        let Some(wait) = wait else { return Ok(true) };
        match self.promotions.wait(number, Instant::now() + wait) {
            None => Ok(false),
            Some(Ok(())) => Ok(true),
            Some(Err(error)) => Err(error.into_error()),
        }
    }

    fn switch_segment(&self) -> Result<Lsn, SqlError> {
        let writer = self.leader_log()?;
        let end = writer.positions().insert.get();
        let switched = writer.switch_segment().and_then(|end| writer.flush(end));
        switched.map_err(|e| SqlError::new("58030", e.to_string()))?;
        Ok(end)
    }

    fn create_restore_point(&self, name: &str) -> Result<Lsn, SqlError> {
        let failed = |e: walship_wal::WalError| SqlError::new("58030", e.to_string());
        let writer = self.leader_log()?;
        let record = RestorePoint { time: Timestamp::now(), name: name.to_owned() };
        let mut payload = Vec::new();
        record.encode(&mut payload);
        let span = writer.append(RecordKind::RestorePoint, &[&payload]).map_err(failed)?;
        writer.flush(span.end).map_err(failed)?;
        Ok(span.end)
    }

    fn create_physical_slot(&self, slot: &NewSlot<'_>) -> Result<Option<Lsn>, SqlError> {
        let max = self.settings().count("max_replication_slots");
        let redo = || self.control.get().redo;
        let reserve = slot.reserve.then_some(&redo as &dyn Fn() -> Lsn);
        let reserved = self.slots.create(slot.name, slot.temporary_for, reserve, max);
        Ok(Some(reserved.map_err(|e| slot_error(&e))?).filter(|lsn| lsn.is_valid()))
    }

    fn drop_slot(&self, name: &str) -> Result<(), SqlError> {
        self.slots.drop_slot(name).map_err(|e| slot_error(&e))
    }

    fn set_replay_paused(&self, paused: bool) -> Result<(), SqlError> {
        match self.log() {
            NodeLog::Follower(log) => {
                if let Some(replay) = log.replay {
                    replay.set_paused(paused);
                }
                Ok(())
            }
            NodeLog::Leader(_) => Err(SqlError::new("55000", "recovery is not in progress")
                .with_hint("recovery control functions can only be executed during recovery")),
        }
    }
}

impl Node {
    fn leader_log(&self) -> Result<Arc<walship_wal::WalWriter>, SqlError> {
        match self.log() {
            NodeLog::Leader(writer) => Ok(writer),
            NodeLog::Follower(_) => Err(SqlError::new("55000", "recovery is in progress")
                .with_hint("WAL control functions cannot be executed during recovery")),
        }
    }

    fn slot_row(&self, slot: SlotInfo) -> SlotRow {
        let wal_bytes_max = self.settings().bytes("max_wal_size");
        let standing = slot
            .restart_lsn
            .is_valid()
            .then(|| slot_status(slot.restart_lsn, slot.lost, &retention_input(self), wal_bytes_max));
        SlotRow {
            name: slot.name,
            temporary: slot.temporary,
            active_pid: slot.active_pid,
            // there is no position any more from which its follower could go on
            restart: (slot.restart_lsn.is_valid() && !slot.lost).then_some(slot.restart_lsn),
            wal_status: standing.map(|(status, _)| status.as_str()),
            safe_wal_size: standing.and_then(|(_, safe)| safe),
        }
    }
}

fn slot_error(error: &walship_node::NodeError) -> SqlError {
    match error {
        walship_node::NodeError::Slot(slot) => {
            let shown = SqlError::new(slot.sqlstate(), slot.to_string());
            match slot.hint() {
                Some(hint) => shown.with_hint(hint),
                None => shown,
            }
        }
        other => SqlError::new("58030", other.to_string()),
    }
}

fn role_row(role: &Role) -> RoleRow {
    RoleRow {
        oid: role.oid,
        name: role.name.clone(),
        superuser: role.superuser,
        replication: role.replication,
        create_database: role.create_database,
        login: role.login,
        create_role: role.create_role,
        connection_limit: role.connection_limit,
        verifier: match &role.password {
            PasswordState::Kept(verifier) => Some(verifier.to_string()),
            PasswordState::None | PasswordState::Damaged => None,
        },
        valid_until: role.valid_until,
        privileges: privileges_of(role),
    }
}

fn privileges_of(role: &Role) -> Vec<(Option<String>, &'static str)> {
    let word = |level| if level == Level::Write { "write" } else { "read" };
    let everywhere = if role.superuser { Some(Level::Write) } else { role.everywhere };
    let some = role.in_databases.iter().map(|(name, level)| (Some(name.clone()), word(*level)));
    everywhere.map(|level| (None, word(level))).into_iter().chain(some).collect()
}
