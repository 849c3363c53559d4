use std::fs;
use std::path::Path;
use std::sync::Arc;

use walship_disk::SharedDisk;
use walship_engine::redo::Redo;
use walship_node::{ControlDatabase, ControlFile, ControlState, DataDirectory, new_system_id};
use walship_settings::{AUTO_CONF_FILE, AutoConf, Settings, Typed as _};
use walship_types::{DatabaseId, Lsn, SystemId, TimelineHistory, TimelineId, Timestamp};
use walship_wal::payload::DatabaseState;
use walship_wal::{
    CleanEnd, RecordSpan, WalConfig, WalWriter, begin_timeline, create_timeline_branch, record_start,
    write_history,
};

use crate::RestoreError;
use crate::copy::sync_directory;
use crate::options::{Options, Restored};
use crate::replay::Replay;
use crate::timeline::{Histories, branch};

/// What a restored cluster is finished with.
pub(crate) struct Finish<'a> {
    pub(crate) options: &'a Options,
    pub(crate) directory: &'a DataDirectory,
    pub(crate) disk: &'a SharedDisk,
    pub(crate) control: &'a ControlFile,
    pub(crate) histories: &'a Histories,
    pub(crate) replay: &'a Replay<'a>,
}

/// The log that the cluster goes on with.
struct NewLog {
    system_id: SystemId,
    history: TimelineHistory,
    /// Where it begins.
    end: CleanEnd,
    /// Where the timeline before was left.
    switch_lsn: Lsn,
}

impl Finish<'_> {
    /// Begins the new timeline's log, and writes the control file, durably and last.
    pub(crate) fn run(&self, mut redo: Redo, staging_folder: &Path) -> Result<Restored, RestoreError> {
        let states = redo.states()?;
        let next_database_id = DatabaseId(redo.next_database_id().0.max(self.control.next_database_id.0));
        let log = self.new_log(redo.taken())?;
        let size = self.control.segment_size;
        redo.write_hashes(log.system_id, record_start(log.end.position, size))?;
        redo.close()?;
        if self.options.keep_system_id {
            self.branch_segment(&log)?;
        }
        fs::remove_dir_all(staging_folder).map_err(RestoreError::io("remove", staging_folder))?;
        let span = self.begin_log(&log, states.clone())?;
        for folder in [self.directory.base(), self.directory.wal(), self.directory.root().to_owned()] {
            sync_directory(&folder)?;
        }
        self.write_control(&log, span, &states, next_database_id)?;
        let from_timeline = log.history.entries.last().map_or(log.history.timeline, |entry| entry.timeline);
        Ok(Restored {
            system_id: log.system_id,
            timeline: log.history.timeline,
            from_timeline,
            lsn: log.switch_lsn,
            last_commit: self.replay.judge.last_commit,
            replayed_bytes: log.switch_lsn.saturating_distance_from(self.control.redo),
            damaged_end: self.replay.damaged_end.clone(),
            databases: states.into_iter().map(|state| state.name).collect(),
            passed_over: Vec::new(),
            archiving_turned_off: false,
        })
    }

    /// A replacement goes on where the original was left, so that others can follow it. A
    /// new cluster has a log of its own, from the next segment on: the old bytes belong to
    /// the old system identifier.
    fn new_log(&self, switch_lsn: Lsn) -> Result<NewLog, RestoreError> {
        let newest = self.histories.newest().max(self.control.timeline);
        let timeline = newest.0.checked_add(1).map(TimelineId).ok_or(RestoreError::LastTimeline(newest))?;
        let followed = &self.replay.staging.config().history;
        let history = branch(followed, timeline, switch_lsn, &format!("restored to {switch_lsn}"));
        let size = self.control.segment_size;
        let (system_id, position, previous) = match self.options.keep_system_id {
            true => (self.control.system_id, switch_lsn, self.replay.last_record),
            false => (new_system_id(), Lsn(switch_lsn.0.next_multiple_of(size.bytes())), Lsn::INVALID),
        };
        let end = CleanEnd { position, previous, zeroed_bytes: 0, removed: Vec::new() };
        Ok(NewLog { system_id, history, end, switch_lsn })
    }

    fn config(&self, system_id: SystemId, history: TimelineHistory) -> WalConfig {
        let size = self.control.segment_size;
        WalConfig::new(Arc::clone(self.disk), self.directory.wal(), system_id, size, history)
    }

    /// The first segment of the new timeline begins with what the old one had in it.
    fn branch_segment(&self, log: &NewLog) -> Result<(), RestoreError> {
        let size = self.control.segment_size;
        if size.offset_of(log.switch_lsn) == 0 {
            return Ok(());
        }
        let segment = size.segment_of(log.switch_lsn);
        let staged = self.replay.staging.config().file_path(segment);
        let mut parent = log.history.clone();
        let left = parent.entries.pop();
        parent.timeline = left.map_or(parent.timeline, |entry| entry.timeline);
        let old = self.config(log.system_id, parent);
        let place = old.file_path(segment);
        fs::rename(&staged, &place).map_err(RestoreError::io("rename", &staged))?;
        create_timeline_branch(&old, &log.history, log.switch_lsn)?;
        fs::remove_file(&place).map_err(RestoreError::io("remove", &place))
    }

    fn begin_log(&self, log: &NewLog, states: Vec<DatabaseState>) -> Result<RecordSpan, RestoreError> {
        let wal = self.directory.wal();
        // those of its ancestors are asked for by followers
        let mut ancestor = TimelineHistory { timeline: TimelineId::FIRST, entries: Vec::new() };
        for entry in &log.history.entries {
            ancestor.timeline = entry.timeline;
            if entry.timeline > TimelineId::FIRST {
                write_history(&**self.disk, &wal, &ancestor)?;
            }
            ancestor.entries.push(entry.clone());
        }
        write_history(&**self.disk, &wal, &log.history)?;
        let mut config = self.config(log.system_id, log.history.clone());
        config.segments_ahead = 0;
        let writer = WalWriter::start(config, log.end.clone())?;
        let span = begin_timeline(&writer, Timestamp::now(), states)?;
        writer.shutdown()?;
        Ok(span)
    }

    fn write_control(
        &self,
        log: &NewLog,
        span: RecordSpan,
        states: &[DatabaseState],
        next_database_id: DatabaseId,
    ) -> Result<(), RestoreError> {
        let control = ControlFile {
            system_id: log.system_id,
            state: ControlState::ShutDown,
            segment_size: self.control.segment_size,
            default_page_size: self.control.default_page_size,
            directory_mode: self.control.directory_mode,
            timeline: log.history.timeline,
            redo: span.start,
            checkpoint: Lsn::INVALID,
            checkpoint_time: Timestamp::now(),
            minimum_recovery: Lsn::INVALID,
            known_flush: span.end,
            next_database_id,
            fence: None,
            dismissed: Vec::new(),
            rewinding: None,
            databases: states.iter().map(ControlDatabase::of).collect(),
        };
        Ok(control.write(self.disk, self.directory)?)
    }
}

/// A new cluster must not archive into its original's archive, where the copied settings
/// would have it; whether they did.
pub(crate) fn turn_archiving_off(directory: &Path) -> Result<bool, RestoreError> {
    let loaded = walship_settings::load(directory, &[], Settings::defaults());
    // settings that cannot be read are told at the start
    if loaded.is_ok_and(|settings| settings.text("archive_mode") == "off") {
        return Ok(false);
    }
    let mut file = AutoConf::read(directory)?;
    file.set_unchecked("archive_mode", "off")?;
    let path = directory.join(AUTO_CONF_FILE);
    fs::write(&path, file.render()).map_err(RestoreError::io("write", &path))?;
    fs::File::open(&path).and_then(|file| file.sync_all()).map_err(RestoreError::io("fsync", &path))?;
    Ok(true)
}
