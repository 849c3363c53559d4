use std::sync::Arc;

use walship_disk::SharedDisk;
use walship_engine::recovery::{LeaderRecovery, LeaderRecoveryError, RecoveredDatabase, ScanStart, Verdict};
use walship_engine::redo::RedoOptions;
use walship_engine::{Databases, EngineError, EngineOptions, LeaderStart};
use walship_node::{ControlDatabase, ControlFile, ControlState, DataDirectory, Slots};
use walship_settings::{Settings, Typed as _};
use walship_types::{DatabaseId, DatabaseName, Timestamp};
use walship_wal::payload::DatabaseState;
use walship_wal::{
    CleanEnd, WalConfig, WalSource, WalWriter, begin_timeline, check_ancestors, clean_tail, read_history,
    recover,
};

use super::log::NodeLog;
use super::node::NodeParts;
use super::{Failure, StartOptions};

/// Recovers a leader's log and databases, and opens them for writing.
pub(crate) fn start_leader(
    options: StartOptions,
    directory: DataDirectory,
    disk: SharedDisk,
    settings: Settings,
    control: ControlFile,
) -> Result<NodeParts, Failure> {
    let config = wal_config(&disk, &directory, &settings, &control)?;
    let clean = recover_log(&config, &control)?;
    let end = clean.position;
    let redo_options = RedoOptions::new(directory.base(), control.system_id);
    let scan = ScanStart {
        redo: control.redo,
        end,
        states: control.databases.iter().map(ControlDatabase::state).collect(),
        own_timeline: Some(control.timeline),
        // a restartpoint's positions say nothing of what was replayed after it
        own_states: config.history.timeline_at(control.redo) == control.timeline,
    };
    let mut recovery = LeaderRecovery::run(&redo_options, &WalSource::offline(config.clone()), &scan)
        .map_err(recovery_failure)?;
    for database in &recovery.databases {
        if database.verdict != Verdict::Level {
            tracing::info!(database = %database.name, verdict = ?database.verdict, "database recovered");
        }
    }
    let writer = Arc::new(WalWriter::start(config, clean)?);
    if control.state == ControlState::Promoting {
        begin_timeline(&writer, Timestamp::now(), recovered_states(&recovery))?;
    }
    recovery.log_foreign_commits(&writer).map_err(recovery_failure)?;

    let databases = Databases::new(engine_options(&directory, &settings, &control))?;
    databases.remove_unfinished()?;
    let mut starts = Vec::new();
    for recovered in recovery.databases {
        databases.attach(recovered.id, &recovered.name)?;
        let (database, hashes, position) = (recovered.id, recovered.hashes, recovered.position);
        starts.push(LeaderStart { database, hashes, position });
    }
    let next_id = DatabaseId(recovery.next_database_id.0.max(control.next_database_id.0));
    match control.state {
        // where the promotion got to is not known; a number skipped twice hurts nobody
        ControlState::Promoting => {
            let gap = settings.integer("promote_sequence_gap");
            databases.lead_promoted(Arc::clone(&writer), starts, next_id, gap)?;
        }
        _ => databases.lead(Arc::clone(&writer), starts, next_id)?,
    }
    let slots = Arc::new(Slots::load(Arc::clone(&disk), directory.slots(), control.system_id)?);
    let log = NodeLog::Leader(writer);
    Ok(NodeParts { options, directory, disk, settings, databases, log, control, slots })
}

/// The databases as recovery has found them.
fn recovered_states(recovery: &LeaderRecovery) -> Vec<DatabaseState> {
    let state = |database: &RecoveredDatabase| DatabaseState {
        id: database.id,
        name: database.name.clone(),
        page_size: database.hashes.page_size(),
        pages: database.hashes.pages(),
        checksum: database.hashes.checksum(),
        position: database.position,
    };
    recovery.databases.iter().map(state).collect()
}

/// Makes the database that every cluster has, if this one is new.
pub(crate) fn create_first_database(parts: &NodeParts) -> Result<(), Failure> {
    let name = DatabaseName::postgres();
    if parts.control.next_database_id.0 <= 1 && parts.databases.all().is_empty() {
        parts.databases.create(&name, parts.control.default_page_size)?;
    }
    Ok(())
}

/// Finds the end of the log and makes it safe to append there.
pub(crate) fn recover_log(config: &WalConfig, control: &ControlFile) -> Result<CleanEnd, Failure> {
    let found = recover(config, control.redo, control.known_flush)?;
    let clean = clean_tail(config, &found)?;
    let (records, end) = (found.records, found.end.at);
    tracing::info!(redo = %control.redo, %end, records, reason = %found.end.reason, "log recovered");
    if clean.zeroed_bytes > 0 {
        let bytes = clean.zeroed_bytes;
        tracing::warn!(
            event = "tail_cut", bytes, %end, removed = clean.removed.join(", "),
            "cut off {bytes} bytes behind the end of the log at {end}: they were never acknowledged"
        );
    } else if let [first, ..] = clean.removed.as_slice() {
        // prepared ahead, or left over from a crash before anything in between was flushed
        let segments = clean.removed.len();
        tracing::debug!(
            event = "tail_cut",
            segments,
            first,
            "removed segment files behind the end of the log"
        );
    }
    Ok(clean)
}

/// Which log, as the control file and the settings say.
pub(crate) fn wal_config(
    disk: &SharedDisk,
    directory: &DataDirectory,
    settings: &Settings,
    control: &ControlFile,
) -> Result<WalConfig, Failure> {
    let history = read_history(&**disk, &directory.wal(), control.timeline)?;
    check_ancestors(&**disk, &directory.wal(), &history)?;
    let mut config =
        WalConfig::new(Arc::clone(disk), directory.wal(), control.system_id, control.segment_size, history);
    config.write_delay = settings.duration("wal_writer_delay");
    config.hot_tail_bytes = usize::try_from(settings.bytes("wal_hot_tail")).unwrap_or(config.hot_tail_bytes);
    config.recycled_segments_max = settings.bytes("min_wal_size") / control.segment_size.bytes();
    Ok(config)
}

/// What the engine is told when it starts, in either role.
pub(crate) fn engine_options(
    directory: &DataDirectory,
    settings: &Settings,
    control: &ControlFile,
) -> EngineOptions {
    let mut options = EngineOptions::new(directory.base(), control.system_id);
    options.cache_kib =
        u32::try_from(settings.bytes("sqlite_cache_size") / 1024).unwrap_or(options.cache_kib);
    options.seal_bytes = settings.bytes("sqlite_wal_seal_size");
    options.seal_wait = settings.duration("sqlite_seal_wait");
    options.capture_cache_bytes =
        usize::try_from(settings.bytes("capture_cache_size")).unwrap_or(options.capture_cache_bytes);
    options
}

pub(crate) fn recovery_failure(error: LeaderRecoveryError) -> Failure {
    let hint = error.hint().map(str::to_owned);
    Failure { hint, ..Failure::new(error) }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Failure {
        Failure::new(error)
    }
}
