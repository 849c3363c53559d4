use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use walship_archive::{Archive, ArchiveError, ArchivedFile, Fetched, uncompressed_name};
use walship_types::{Lsn, SegmentNo, TimelineId};
use walship_wal::{WalConfig, WalSource, dump};

use crate::RestoreError;

/// The log, segment by segment, out of archive and backup: each segment is fetched when it
/// is come to and removed when it is behind, so that little of it is on the disk.
///
/// A segment may be there several times: archived complete, with the backup up to the
/// backup's end, as `.partial`. What proves to be no good is replaced by the next best.
pub(crate) struct Staging {
    /// Where segments are put, and which log they are.
    config: WalConfig,
    source: WalSource,
    archive: Option<Archive>,
    backup: Archive,
    /// Segments that either has on the timelines that are followed.
    there: BTreeSet<SegmentNo>,
    /// Of each segment, how many of its candidates were tried.
    tried: BTreeMap<SegmentNo, usize>,
    /// Where what lies in the staging folder came from.
    origin: BTreeMap<SegmentNo, PathBuf>,
    /// Why a file could not be used.
    refused: BTreeMap<SegmentNo, String>,
}

impl Staging {
    pub(crate) fn new(
        config: WalConfig,
        archive: Option<&Path>,
        backup: &Path,
    ) -> Result<Staging, RestoreError> {
        let archive = archive.map(|directory| Archive::Directory(directory.to_owned()));
        let backup = Archive::Directory(backup.to_owned());
        let mut staging = Staging {
            source: WalSource::offline(config.clone()),
            config,
            there: BTreeSet::new(),
            tried: BTreeMap::new(),
            origin: BTreeMap::new(),
            refused: BTreeMap::new(),
            archive,
            backup,
        };
        staging.there = staging.look()?;
        Ok(staging)
    }

    fn look(&self) -> Result<BTreeSet<SegmentNo>, RestoreError> {
        let mut names = match &self.archive {
            Some(archive) => archive.names()?.unwrap_or_default(),
            None => Vec::new(),
        };
        // a backup that was taken without log may not have the folder
        match self.backup.names() {
            Err(ArchiveError::NoDirectory(_)) => {}
            other => names.extend(other?.unwrap_or_default()),
        }
        let size = self.config.segment_size;
        let segment = |name: &String| match ArchivedFile::parse(&uncompressed_name(name), size)? {
            ArchivedFile::Segment { timeline, segment, .. } => {
                self.timelines(segment).contains(&timeline).then_some(segment)
            }
            ArchivedFile::History(_) => None,
        };
        Ok(names.iter().filter_map(segment).collect())
    }

    pub(crate) fn source(&self) -> &WalSource {
        &self.source
    }

    pub(crate) fn config(&self) -> &WalConfig {
        &self.config
    }

    /// The end of the last segment that there is.
    pub(crate) fn end(&self) -> Lsn {
        self.there.last().map_or(Lsn::INVALID, |last| self.config.segment_size.start_of(last.next()))
    }

    /// The name of a later segment than the one that holds `lsn`.
    pub(crate) fn later_than(&self, lsn: Lsn) -> Option<String> {
        let segment = self.config.segment_size.segment_of(lsn);
        self.there.range(segment.next()..).next().map(|later| self.config.file_name(*later))
    }

    /// Where the staged file of a segment came from, or why there is none.
    pub(crate) fn describe(&self, segment: SegmentNo, reason: &str, offset: u64) -> String {
        match (self.origin.get(&segment), self.refused.get(&segment)) {
            (Some(path), _) => format!("in segment file \"{}\", offset {offset}: {reason}", path.display()),
            (None, Some(refused)) => refused.clone(),
            (None, None) => format!("segment file {} is missing", self.config.file_name(segment)),
        }
    }

    /// The timelines whose file of a segment may hold bytes of the followed history, the
    /// newest first.
    fn timelines(&self, segment: SegmentNo) -> Vec<TimelineId> {
        let (size, history) = (self.config.segment_size, &self.config.history);
        let oldest = history.timeline_at(size.start_of(segment));
        let newest = history.timeline_at(Lsn(size.start_of(segment.next()).0 - 1));
        let mut all: Vec<TimelineId> = history.entries.iter().map(|entry| entry.timeline).collect();
        all.push(history.timeline);
        all.retain(|timeline| (oldest..=newest).contains(timeline));
        all.reverse();
        all
    }

    /// What may hold a segment, the best first.
    fn candidates(&self, segment: SegmentNo) -> Vec<(&Archive, String)> {
        let size = self.config.segment_size;
        let name = |timeline, partial| ArchivedFile::Segment { timeline, segment, partial }.name(size);
        let sources = || self.archive.iter().chain([&self.backup]);
        let mut all = Vec::new();
        for partial in [false, true] {
            for timeline in self.timelines(segment) {
                all.extend(sources().map(|source| (source, name(timeline, partial))));
            }
        }
        all
    }

    /// Puts the next best file of a segment into the staging folder; whether there was one.
    /// [`source`](Self::source) has to be asked for anew then.
    pub(crate) fn stage_next(&mut self, segment: SegmentNo) -> Result<bool, RestoreError> {
        let target = self.config.file_path(segment);
        let bytes = self.config.segment_size.bytes();
        loop {
            let tried = self.tried.get(&segment).copied().unwrap_or(0);
            let candidates = self.candidates(segment);
            let Some((source, name)) = candidates.get(tried) else { return Ok(false) };
            let place = source.place(name);
            let fetched = match source.fetch(name, Some(bytes), &target, &|| false) {
                Err(ArchiveError::NoDirectory(_)) => Ok(Fetched::Missing),
                other => other,
            };
            self.tried.insert(segment, tried + 1);
            match fetched {
                Ok(Fetched::Missing) => {}
                Ok(Fetched::There) => {
                    self.check_cluster(&target, &place)?;
                    self.origin.insert(segment, place);
                    // mappings of a file that was replaced would go on showing the old one
                    self.source = WalSource::offline(self.config.clone());
                    return Ok(true);
                }
                Err(
                    error @ (ArchiveError::Size { .. }
                    | ArchiveError::Damaged { .. }
                    | ArchiveError::Compressed { .. }),
                ) => {
                    self.refused.insert(segment, error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn check_cluster(&self, staged: &Path, place: &Path) -> Result<(), RestoreError> {
        // what is no header at all is found when it is read
        let Ok(header) = dump::segment_header(&self.config.disk, staged) else { return Ok(()) };
        let (found, expected) = (header.system_id, self.config.system_id);
        if found != expected {
            return Err(RestoreError::OtherCluster { path: place.to_owned(), found, expected });
        }
        Ok(())
    }

    /// Lets go of segments that are behind `lsn`.
    pub(crate) fn release_before(&mut self, lsn: Lsn) {
        let keep = self.config.segment_size.segment_of(lsn);
        let gone: Vec<SegmentNo> = self.origin.range(..keep).map(|(segment, _)| *segment).collect();
        for segment in gone {
            // what stays is removed with the folder
            let _ = fs::remove_file(self.config.file_path(segment));
            self.origin.remove(&segment);
        }
    }

    /// Whether a segment lies in the staging folder.
    pub(crate) fn is_staged(&self, segment: SegmentNo) -> bool {
        self.origin.contains_key(&segment)
    }

    /// The last segment that was staged.
    pub(crate) fn last_staged(&self) -> Option<SegmentNo> {
        self.origin.last_key_value().map(|(segment, _)| *segment)
    }
}
