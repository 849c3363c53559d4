use std::sync::Arc;

use walship_disk::{Disk, OpenMode, RealDisk, SharedDisk};
use walship_node::{ControlFile, DataDirectory};
use walship_types::{Lsn, SegmentNo, SegmentSize, TimelineId, parse_segment_file_name};
use walship_wal::{
    EndReason, SEGMENT_HEADER_LEN, SegmentHeader, SegmentHeaderError, WalConfig, WalEnd, WalReader,
    WalSource, newest_timeline, read_history,
};

use super::databases::Databases;
use super::place::Place;
use crate::failure::Failure;

/// A log that is read, and what is known of it without reading records.
#[derive(Debug)]
pub(crate) struct Log {
    config: WalConfig,
    source: WalSource,
    /// Where its first record is looked for.
    pub(crate) start: Lsn,
    /// Where reading stops, if a last file was named.
    pub(crate) end: Lsn,
    /// Up to where it has to be intact, as the control file knows.
    known_flush: Lsn,
    /// Databases that the control file knows.
    pub(crate) databases: Databases,
    /// The segments of this timeline and those that lead to it, ascending.
    segments: Vec<SegmentNo>,
}

impl Log {
    /// Looks at the directory: which cluster's log it is, its timelines and segments.
    pub(crate) fn open(place: &Place, timeline: Option<TimelineId>) -> Result<Log, Failure> {
        let disk: SharedDisk = Arc::new(RealDisk::new());
        let names = disk.list(&place.segments)?;
        let header = any_header(&*disk, place, &names)?;
        let segment_size = SegmentSize::new(header.segment_size).map_err(Failure::new)?;
        let parse = |name: &str| {
            parse_segment_file_name(name, segment_size)
                .ok_or_else(|| Failure::new(format!("\"{name}\" is not the name of a segment file")))
        };
        let first = place.first.as_deref().map(parse).transpose()?;
        let last = place.last.as_deref().map(parse).transpose()?;
        let newest = || -> Result<TimelineId, Failure> {
            let of_files = names.iter().filter_map(|name| parse_segment_file_name(name, segment_size));
            let newest_file = of_files.map(|(timeline, _)| timeline).max().unwrap_or(TimelineId::FIRST);
            Ok(newest_file.max(newest_timeline(&*disk, &place.segments)?))
        };
        let timeline = match timeline.or(last.map(|(timeline, _)| timeline)) {
            Some(timeline) => timeline,
            None => newest()?,
        };
        let history = read_history(&*disk, &place.segments, timeline)?;
        let config = WalConfig::new(disk, &place.segments, header.system_id, segment_size, history);
        let mut segments: Vec<SegmentNo> =
            names.iter().filter_map(|name| on_history(&config, name)).collect();
        segments.sort_unstable();
        let oldest = segments.first().map(|oldest| segment_size.start_of(*oldest));
        let start = first.map(|(_, segment)| segment_size.start_of(segment)).or(oldest);
        let (known_flush, databases) = from_control_file(place, timeline)?;
        Ok(Log {
            source: WalSource::offline(config.clone()),
            start: start.ok_or_else(|| no_segments(place))?,
            end: last.map_or(Lsn::MAX, |(_, segment)| segment_size.start_of(segment.next())),
            known_flush,
            databases,
            segments,
            config,
        })
    }

    /// A reader that comes to the first record at or behind `lsn`, though perhaps to some
    /// before it.
    /// What it is read from.
    pub(crate) fn source(&self) -> &WalSource {
        &self.source
    }

    pub(crate) fn reader_at(&self, lsn: Lsn) -> Result<WalReader, Failure> {
        let size = self.config.segment_size;
        let segment = size.segment_of(lsn);
        if !self.segments.contains(&segment) {
            let file = self.config.file_name(segment);
            let held = match (self.segments.first(), self.segments.last()) {
                (Some(first), Some(last)) => {
                    format!("there are {} to {}", self.config.file_name(*first), self.config.file_name(*last))
                }
                _ => "there are none".to_owned(),
            };
            let dir = self.config.dir.display();
            return Err(
                Failure::new(format!("could not find segment file {file} for {lsn} in \"{dir}\"")).hint(held)
            );
        }
        Ok(self.source.reader(size.start_of(segment)))
    }

    /// Whether an end is where a log may end. Otherwise it is damaged there: says how.
    pub(crate) fn judge(&self, end: &WalEnd) -> Result<(), Failure> {
        let evidence = if self.known_flush > end.at {
            Some(format!("the log was flushed up to {}", self.known_flush))
        } else {
            self.later_segment(end.at).map(|name| format!("the log goes on in segment file {name}"))
        };
        match (ends_cleanly(&end.reason), evidence) {
            (true, None) => Ok(()),
            (_, evidence) => {
                let message = format!("log is damaged at {}: {}", end.at, end.reason);
                let because = evidence.map(|text| format!("; {text}")).unwrap_or_default();
                let path = self.config.dir.join(&end.file);
                let detail = format!("file \"{}\", offset {}{because}", path.display(), end.offset);
                let hint = "the same segment file from another node or an archive may be intact";
                Err(Failure::new(message).detail(detail).hint(hint))
            }
        }
    }

    /// Name of a segment behind the end whose header says that it was written there: what
    /// was only prepared has none, or that of what it was before.
    fn later_segment(&self, end: Lsn) -> Option<String> {
        let size = self.config.segment_size;
        let later = self.segments.iter().filter(|segment| size.start_of(**segment) > end);
        let mut written = later.map(|segment| (size.start_of(*segment), self.config.file_name(*segment)));
        written.find_map(|(start, name)| {
            let header = read_header(&*self.config.disk, &self.config.dir.join(&name)).ok()?.ok()?;
            (header.start == start && header.system_id == self.config.system_id).then_some(name)
        })
    }
}

/// What the control file of a data directory knows of its log. A directory without one
/// may still have a log to look at; of another timeline than its own it knows nothing.
fn from_control_file(place: &Place, timeline: TimelineId) -> Result<(Lsn, Databases), Failure> {
    let directory = place.data_directory.as_ref().map(DataDirectory::new);
    let mut databases = Databases::default();
    let Some(directory) = directory.filter(|directory| directory.control().exists()) else {
        return Ok((Lsn::INVALID, databases));
    };
    let control = ControlFile::read(&directory)?;
    for database in &control.databases {
        databases.insert(database.id, &database.name);
    }
    let known_flush = if control.timeline == timeline { control.known_flush } else { Lsn::INVALID };
    Ok((known_flush, databases))
}

/// Whether a log that stopped being written may end like this.
fn ends_cleanly(reason: &EndReason) -> bool {
    matches!(
        reason,
        EndReason::Zeroes
            | EndReason::NotFlushed
            | EndReason::StaleRecord { .. }
            | EndReason::MissingSegment
            | EndReason::SegmentHeader(SegmentHeaderError::Zeroes | SegmentHeaderError::Start { .. })
    )
}

/// The number of a segment file that is part of the history; `None` for any other file.
fn on_history(config: &WalConfig, name: &str) -> Option<SegmentNo> {
    let (_, segment) = parse_segment_file_name(name, config.segment_size)?;
    (config.file_name(segment) == name).then_some(segment)
}

/// The first valid segment header: it knows cluster and segment size. The named file's,
/// if one was named.
fn any_header(disk: &dyn Disk, place: &Place, names: &[String]) -> Result<SegmentHeader, Failure> {
    // how a name divides into numbers depends on the segment size, whether it is one does not
    let is_segment = |name: &&String| parse_segment_file_name(name, SegmentSize::MIN).is_some();
    let mut candidates: Vec<&String> = match &place.first {
        Some(name) => vec![name],
        None => names.iter().filter(is_segment).collect(),
    };
    candidates.sort_unstable();
    let mut refused = None;
    for name in candidates {
        let path = place.segments.join(name);
        match read_header(disk, &path)? {
            Ok(header) => return Ok(header),
            Err(error) => {
                refused.get_or_insert((path, error));
            }
        }
    }
    Err(match refused {
        Some((path, error)) => Failure::new(format!("segment file \"{}\": {error}", path.display())),
        None => no_segments(place),
    })
}

fn no_segments(place: &Place) -> Failure {
    Failure::new(format!("directory \"{}\" holds no segment files", place.segments.display()))
}

fn read_header(
    disk: &dyn Disk,
    path: &std::path::Path,
) -> Result<Result<SegmentHeader, SegmentHeaderError>, Failure> {
    let file = disk.open(path, OpenMode::Read)?;
    let mut raw = [0; SEGMENT_HEADER_LEN];
    let mut filled = 0;
    while let Some(rest) = raw.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    Ok(SegmentHeader::decode(&raw))
}
