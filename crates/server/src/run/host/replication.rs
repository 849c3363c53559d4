use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tokio::sync::watch;
use walship_engine::EngineError;
use walship_node::{BackendKind, BackupProgress, SenderGuard, SenderInfo, SyncLevels};
use walship_protocol::Awaited;
use walship_protocol::wire::ErrorFields;
use walship_replication::{
    FailoverHost, LogSource, PageReader, ReplicationHost, ReplicationSession, RunningBackup, SenderReport,
    SenderRow, ServerPhase, SlotStore,
};
use walship_settings::Typed as _;
use walship_types::{Lsn, SegmentSize, SystemId, TimelineHistory, TimelineId};
use walship_wal::{WalError, read_history};

use super::Host;
use super::backup::NodeBackup;
use super::pages::NodePages;
use super::slots::slot_store;
use super::sql::{check_connectable, engine_error};
use crate::run::Node;

impl ReplicationHost for Host {
    fn system_id(&self) -> SystemId {
        self.system_id
    }

    fn segment_size(&self) -> SegmentSize {
        self.segment_size
    }

    fn history(&self) -> Arc<TimelineHistory> {
        Arc::new(Node::log(self).history())
    }

    fn read_history(&self, timeline: TimelineId) -> Result<Option<TimelineHistory>, ErrorFields> {
        let directory = self.directory.wal();
        if timeline == TimelineId::FIRST
            || !directory.join(walship_types::history_file_name(timeline)).exists()
        {
            return Ok(None);
        }
        let read = read_history(&*self.disk, &directory, timeline);
        read.map(Some).map_err(|error: WalError| ErrorFields::error("58P01", error.to_string()))
    }

    fn is_follower(&self) -> bool {
        Node::is_follower(self)
    }

    fn log(&self) -> Arc<dyn LogSource> {
        Arc::new(Node::log(self).source())
    }

    fn show(&self, name: &str) -> Option<String> {
        self.settings().show(name).ok()
    }

    fn wal_sender_timeout(&self) -> Option<Duration> {
        self.settings().timeout("wal_sender_timeout")
    }

    fn slots(&self) -> &dyn SlotStore {
        slot_store(self)
    }

    fn register_sender(&self, session: &ReplicationSession) -> Result<Box<dyn SenderRow>, ErrorFields> {
        let max = self.settings().count("max_wal_senders");
        // the session itself is registered already
        if self.backends.count(BackendKind::WalSender) > max {
            let message = "number of requested standby connections exceeds max_wal_senders";
            return Err(ErrorFields::error("53300", format!("{message} (currently {max})")));
        }
        let guard = self.senders.register(session.pid, session.application_name.clone());
        Ok(Box::new(NodeSenderRow(guard)))
    }

    fn failover(&self) -> Option<&dyn FailoverHost> {
        Some(self)
    }

    fn phase(&self) -> watch::Receiver<ServerPhase> {
        self.phase.subscribe()
    }

    fn start_backup(&self, fast: bool) -> Result<Box<dyn RunningBackup>, ErrorFields> {
        Ok(Box::new(NodeBackup::start(Arc::clone(self), fast)?))
    }

    fn page_reader(&self, keep_from: Lsn) -> Result<Box<dyn PageReader>, ErrorFields> {
        Ok(Box::new(NodePages::open(Arc::clone(self), keep_from)?))
    }

    fn import_database(&self, name: &str, file: &Path) -> Result<(), ErrorFields> {
        let parsed = name
            .parse()
            .map_err(|e: walship_types::InvalidDatabaseName| ErrorFields::error("42602", e.to_string()))?;
        check_connectable(name)?;
        let imported = self.databases.import(&parsed, file, &mut |_| true);
        let removed = std::fs::remove_file(file);
        let lsn = imported.map_err(|e| engine_fields(self, &e))?;
        if let Err(error) = removed {
            tracing::warn!(file = %file.display(), %error, "could not remove the imported file");
        }
        tracing::info!(event = "database_imported", database = name, %lsn, "database imported");
        Ok(())
    }

    fn export_database(&self, name: &str, file: &Path) -> Result<(), ErrorFields> {
        use std::io::Write as _;
        check_connectable(name)?;
        let database = self.databases.get(name).map_err(|e| engine_fields(self, &e))?;
        let io = |error: std::io::Error| {
            ErrorFields::error("58030", format!("could not write \"{}\": {error}", file.display()))
        };
        let mut target = std::fs::File::create(file).map_err(io)?;
        let never = AtomicBool::new(false);
        let copied = database.export(&never, |chunk| target.write_all(chunk).map_err(ExportError::Write));
        match copied {
            Ok(_) => Ok(()),
            Err(ExportError::Write(error)) => Err(io(error)),
            Err(ExportError::Engine(error)) => Err(engine_fields(self, &error)),
        }
    }

    fn scratch_directory(&self) -> PathBuf {
        self.directory.base()
    }
}

enum ExportError {
    Write(std::io::Error),
    Engine(EngineError),
}

impl From<EngineError> for ExportError {
    fn from(error: EngineError) -> ExportError {
        ExportError::Engine(error)
    }
}

/// The engine's errors as a replication client is told them.
pub(super) fn engine_fields(node: &Node, error: &EngineError) -> ErrorFields {
    engine_error(node, error).into()
}

/// A replication connection's row in `pg_stat_replication`.
struct NodeSenderRow(SenderGuard);

impl SenderRow for NodeSenderRow {
    fn backing_up(&self, progress: Option<Arc<BackupProgress>>) {
        self.0.update(|info: &mut SenderInfo| info.backup = progress);
    }

    fn update(&self, report: SenderReport) {
        self.0.update(|info: &mut SenderInfo| {
            info.state = report.state;
            info.sent = report.sent;
            info.write = report.peer.write;
            info.flush = report.peer.flush;
            info.replay = report.peer.apply;
            info.write_lag = report.lags.write;
            info.flush_lag = report.lags.flush;
            info.replay_lag = report.lags.replay;
            info.reply_time = report.reply_time;
        });
    }

    fn awaited(&self) -> Awaited {
        let SyncLevels { write, flush, apply } = self.0.awaited();
        Awaited { write, flush, apply }
    }
}
