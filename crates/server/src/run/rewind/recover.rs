use std::sync::Arc;

use walship_disk::SharedDisk;
use walship_engine::EngineError;
use walship_engine::recovery::{LeaderRecovery, ScanStart, Verdict};
use walship_engine::redo::{Redo, RedoCatalog, RedoOptions, RedoStart, ReplayStop, ReplayedDatabase};
use walship_node::{ControlFile, ControlState, DataDirectory};
use walship_settings::Settings;
use walship_types::{DatabaseId, DatabaseName, Lsn};
use walship_wal::{WalConfig, WalSource, recover};

use crate::access::Access;
use crate::run::checkpointer::checkpoint;
use crate::run::follower::apply_restartpoint;
use crate::run::leader::{recover_log, start_leader, wal_config};
use crate::run::log::NodeLog;
use crate::run::node::Node;
use crate::run::{Failure, StartOptions};

/// The directory that is rewound.
pub(super) struct Place {
    pub(super) directory: DataDirectory,
    pub(super) disk: SharedDisk,
    pub(super) options: StartOptions,
    pub(super) settings: Settings,
}

impl Place {
    pub(super) fn redo_options(&self, control: &ControlFile) -> RedoOptions {
        RedoOptions::new(self.directory.base(), control.system_id)
    }

    pub(super) fn wal_config(&self, control: &ControlFile) -> Result<WalConfig, Failure> {
        wal_config(&self.disk, &self.directory, &self.settings, control)
    }

    /// The end of the log as it is; nothing is changed.
    pub(super) fn find_end(&self, control: &ControlFile) -> Result<Lsn, Failure> {
        Ok(recover(&self.wal_config(control)?, control.redo, control.known_flush)?.end.at)
    }

    /// Brings every database to the end of the node's own log, and what SQLite has that
    /// is not in the log into it: what a start and a clean stop in its role would do.
    pub(super) fn bring_to_end(&self) -> Result<(ControlFile, Lsn), Failure> {
        let control = ControlFile::read(&self.directory)?;
        match control.state {
            ControlState::ShutDown if self.is_level(&control)? => {}
            ControlState::ShutDown | ControlState::InProduction | ControlState::Promoting => {
                self.lead(control)?;
            }
            ControlState::InRecovery | ControlState::ShutDownInRecovery => self.follow(control)?,
            ControlState::InBackupRecovery | ControlState::Rewinding => {
                return Err(Failure::new(
                    "the databases of this node were never consistent: it has nothing to rewind",
                )
                .hint("take a new base backup: walreceiver --init --primary CONNINFO"));
            }
        }
        let control = ControlFile::read(&self.directory)?;
        let end = self.find_end(&control)?;
        Ok((control, end))
    }

    /// Whether a leader that was stopped cleanly has nothing that the log has not, nor
    /// lacks anything: a stock program may have written meanwhile.
    fn is_level(&self, control: &ControlFile) -> Result<bool, Failure> {
        let config = self.wal_config(control)?;
        let end = self.find_end(control)?;
        let scan = ScanStart {
            redo: control.redo,
            end,
            states: control.databases.iter().map(walship_node::ControlDatabase::state).collect(),
            own_timeline: Some(control.timeline),
            own_states: config.history.timeline_at(control.redo) == control.timeline,
        };
        let options = self.redo_options(control);
        let recovery = LeaderRecovery::run(&options, &WalSource::offline(config), &scan);
        let recovery = recovery.map_err(crate::run::leader::recovery_failure)?;
        let level = recovery.databases.iter().all(|database| database.verdict == Verdict::Level);
        Ok(level && recovery.unfinished.is_empty())
    }

    /// As a leader that starts and stops.
    fn lead(&self, control: ControlFile) -> Result<(), Failure> {
        tracing::info!(state = control.state.describe(), "running crash recovery");
        let (options, directory) = (self.options.clone(), self.directory.clone());
        let parts = start_leader(options, directory, Arc::clone(&self.disk), self.settings.clone(), control)?;
        let node = Node::new(parts, Arc::new(Access::unguarded()));
        let made = checkpoint(&node, true).map_err(Failure::new);
        if let NodeLog::Leader(writer) = node.log() {
            writer.shutdown()?;
        }
        node.databases.close("rewinding");
        made
    }

    /// As a follower that starts and stops, without receiving anything.
    fn follow(&self, mut control: ControlFile) -> Result<(), Failure> {
        let config = self.wal_config(&control)?;
        let end = recover_log(&config, &control)?.position;
        let consistent_at = control.minimum_recovery;
        self.replay(&mut control, config, end, consistent_at)?;
        control.state = ControlState::ShutDownInRecovery;
        Ok(control.write(&self.disk, &self.directory)?)
    }

    /// Replays from the control file's redo point to `end` and holds every database
    /// against its checksum in the log. Changes `control`, which is the caller's to write.
    pub(super) fn replay(
        &self,
        control: &mut ControlFile,
        config: WalConfig,
        end: Lsn,
        consistent_at: Lsn,
    ) -> Result<(), Failure> {
        let start = RedoStart {
            redo: control.redo,
            end,
            states: control.databases.iter().map(walship_node::ControlDatabase::state).collect(),
            consistent_at,
        };
        let (options, source) = (self.redo_options(control), WalSource::offline(config));
        let redo = Redo::start(options, Arc::new(NoSessions), &source, &start, Arc::new(|| false));
        let mut redo = redo.map_err(Failure::new)?;
        if let Some(stop) = redo.stopped().next() {
            let failure = Failure::new(stop).hint(stop.hint());
            return Err(failure);
        }
        if let Some(point) = redo.restartpoint().map_err(Failure::new)? {
            apply_restartpoint(control, &point);
        }
        redo.close().map_err(Failure::new)?;
        control.minimum_recovery = control.minimum_recovery.max(end);
        control.known_flush = control.known_flush.max(end);
        Ok(())
    }
}

/// Nobody is let in.
struct NoSessions;

impl RedoCatalog for NoSessions {
    fn opened(&self, _database: &ReplayedDatabase<'_>) -> Result<(), EngineError> {
        Ok(())
    }

    fn dropping(&self, _id: DatabaseId, _name: &DatabaseName) -> Result<(), EngineError> {
        Ok(())
    }

    fn stopped(&self, _stop: &ReplayStop) {}
}
