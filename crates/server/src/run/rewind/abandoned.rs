use std::path::{Path, PathBuf};

use walship_engine::redo::{RedoError, RedoOptions};
use walship_engine::rewind::DirtyPages;
use walship_node::{AbandonedLog, ControlFile, DataDirectory};
use walship_types::{DatabaseId, Lsn, PageNo, SegmentNo, TimelineHistory};
use walship_wal::{AbandonedStretch, WalConfig, WalError, WalSource};

use super::Fork;
use super::lost::{Describer, LostTransaction};
use crate::run::Failure;

/// Name of the list of what was lost, in the folder of the abandoned log.
const LOST_FILE: &str = "lost.jsonl";

/// Log of this node that is given up, wherever its segments are by now.
pub(super) struct Abandoned {
    pub(super) log: AbandonedLog,
    pub(super) folder: PathBuf,
    config: WalConfig,
}

impl Abandoned {
    pub(super) fn new(directory: &DataDirectory, config: &WalConfig, log: AbandonedLog) -> Abandoned {
        let folder = directory.abandoned().join(&log.folder);
        let config = WalConfig { dir: directory.wal(), history: log.history.clone(), ..config.clone() };
        Abandoned { log, folder, config }
    }

    /// A stretch that was not kept before, in a folder of its own.
    pub(super) fn begin(directory: &DataDirectory, config: &WalConfig, fork: Lsn, end: Lsn) -> Abandoned {
        let history = config.history.clone();
        let name = format!("{:08X}_{}", history.timeline.0, fork.to_string().replace('/', "-"));
        let names = (1..).map(|n: u32| if n == 1 { name.clone() } else { format!("{name}.{n}") });
        let free = |name: &String| !holds_segments(&directory.abandoned().join(name));
        let folder = names.take(1000).find(free).unwrap_or(name);
        Abandoned::new(directory, config, AbandonedLog { history, fork, end, folder })
    }

    pub(super) fn lost_file(&self) -> PathBuf {
        self.folder.join(LOST_FILE)
    }

    pub(super) fn stretch(&self) -> AbandonedStretch<'_> {
        let AbandonedLog { fork, end, .. } = self.log;
        AbandonedStretch { config: &self.config, fork, end, keep_in: &self.folder }
    }

    /// The log where it was, and where it is kept.
    pub(super) fn places(&self) -> [WalConfig; 2] {
        [self.stretch().kept(), self.config.clone()]
    }

    /// Fails with the names of the segments that are needed and nowhere.
    pub(super) fn check_complete(&self) -> Result<(), Failure> {
        let missing = self.stretch().missing()?;
        let Some(first) = missing.first() else { return Ok(()) };
        let (count, directory) = (missing.len(), self.config.dir.display());
        let problem = match count {
            1 => {
                format!("segment file \"{first}\" of the log after the fork at {} is missing", self.log.fork)
            }
            _ => format!(
                "{count} segment files of the log after the fork at {} are missing: {}",
                self.log.fork,
                missing.join(", ")
            ),
        };
        Err(Failure::new(format!("{problem} in \"{directory}\"")).hint(
            "without it nobody knows which pages this node changed: bring it back from an archive, or take a new base \
             backup, walreceiver --init",
        ))
    }

    /// Adds the pages that this log changed to `dirty`. `kept`: whether its segments have
    /// been moved already.
    pub(super) fn collect(
        &self,
        dirty: &mut DirtyPages,
        kept: bool,
        mut lost: impl FnMut(walship_engine::rewind::LostWork) -> Result<(), RedoError>,
    ) -> Result<(), Failure> {
        let AbandonedLog { fork, end, .. } = self.log;
        let config = if kept { self.stretch().kept() } else { self.config.clone() };
        let mut before = |database| self.parts_before(database);
        let collected =
            dirty.collect(&WalSource::offline(config), fork, end, &mut before, &mut |work| lost(work));
        collected.map_err(Failure::new)
    }

    /// The pages of a transaction that was open at the fork, from the log before it.
    fn parts_before(&self, database: DatabaseId) -> Result<Vec<PageNo>, RedoError> {
        let start = oldest_start(&self.config, self.log.fork);
        let source = WalSource::offline(self.config.clone());
        let missing = || {
            let before = SegmentNo(self.config.segment_size.segment_of(start).0.saturating_sub(1));
            WalError::MissingSegment { path: self.config.file_path(before) }
        };
        let parts = DirtyPages::open_parts(&source, start, self.log.fork, database)?;
        Ok(parts.ok_or_else(missing)?)
    }
}

/// Lists what the stretch loses, with the databases as they are at its end.
pub(super) fn describe(
    abandoned: &Abandoned,
    control: &ControlFile,
    options: RedoOptions,
    mut each: impl FnMut(&LostTransaction) -> Result<(), RedoError>,
) -> Result<DirtyPages, Failure> {
    let mut describer = Describer::new(options, control);
    let mut dirty = DirtyPages::default();
    // names of databases that were dropped come after what was done to them
    abandoned.collect(&mut dirty, false, |work| {
        describer.note(&work);
        Ok(())
    })?;
    abandoned.collect(&mut DirtyPages::default(), false, |work| each(&describer.describe(work)?))?;
    Ok(dirty)
}

/// Where the oldest segment begins from which the log can be read without a gap up to `end`.
pub(super) fn oldest_start(config: &WalConfig, end: Lsn) -> Lsn {
    let size = config.segment_size;
    let mut oldest = size.segment_of(Lsn(end.0.saturating_sub(1)));
    while oldest.0 > 1 && config.file_path(SegmentNo(oldest.0 - 1)).exists() {
        oldest = SegmentNo(oldest.0 - 1);
    }
    size.start_of(oldest)
}

/// That no checkpoint is in the log from `oldest` to a fork.
pub(super) fn checkpoint_missing(config: &WalConfig, fork: Lsn, oldest: Lsn) -> Failure {
    let segment = config.segment_size.segment_of(oldest);
    let before = config.file_name(SegmentNo(segment.0.saturating_sub(1)));
    Failure::new(format!(
        "segment file \"{before}\" is missing: the last checkpoint before the fork at {fork} is in it or earlier"
    ))
    .hint("bring it back from an archive, or take a new base backup, walreceiver --init")
}

/// The log up to a fork, as it was when the timeline of the fork was the last one.
pub(super) fn up_to(config: &WalConfig, fork: &Fork) -> Result<WalConfig, Failure> {
    let history: Option<TimelineHistory> = config.history.ancestor(fork.timeline);
    let none = || Failure::new(format!("timeline {} is not in this node's history", fork.timeline));
    Ok(WalConfig { history: history.ok_or_else(none)?, ..config.clone() })
}

fn holds_segments(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.file_name().len() == 24)
}
