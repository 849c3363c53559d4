use walship_types::{Lsn, SegmentNo, SegmentSize, TimelineHistory};

use crate::name::ArchivedFile;
use crate::status::Statuses;

/// What becomes of files of earlier timelines that another node wrote and this one has no
/// status of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inherited {
    /// They are archived: an archive that has them already takes them again.
    Archive,
    /// They count as archived, as in PostgreSQL: many a command refuses what is there.
    Done,
}

/// What a node has to archive.
#[derive(Debug, Clone)]
pub struct Responsibility {
    /// The timeline that it is on, and those that lead to it.
    pub history: TimelineHistory,
    /// Its log is durable up to here: segments that end later are not complete.
    pub flushed: Lsn,
    /// What becomes of the earlier timelines' files.
    pub inherited: Inherited,
    /// The size of a segment.
    pub segment_size: SegmentSize,
}

/// What is to be done about a file that has no status yet, or is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pending {
    /// It has to be archived.
    Archive(ArchivedFile),
    /// It is the incomplete last segment of the timeline before this node's own: it gets
    /// its `.partial` name, and is archived under that.
    ArchiveAsPartial(ArchivedFile),
    /// It counts as archived.
    MarkDone(ArchivedFile),
}

/// What is still to be done about the `files` of a log, in order. A file is kept as long
/// as it is in here as something to archive.
pub fn pending(files: &[ArchivedFile], statuses: &Statuses, node: &Responsibility) -> Vec<Pending> {
    let open = files.iter().filter(|file| !statuses.done.contains(file));
    let mut all: Vec<Pending> = open.filter_map(|file| node.judge(*file, statuses)).collect();
    all.sort_unstable_by_key(|pending| pending.file());
    all
}

impl Pending {
    /// The file that it is about.
    pub fn file(self) -> ArchivedFile {
        match self {
            Pending::Archive(file) | Pending::ArchiveAsPartial(file) | Pending::MarkDone(file) => file,
        }
    }

    /// The segment that has to stay for it.
    pub fn keeps(self) -> Option<SegmentNo> {
        match self {
            Pending::Archive(file) | Pending::ArchiveAsPartial(file) => file.segment_no(),
            Pending::MarkDone(_) => None,
        }
    }
}

impl Responsibility {
    fn judge(&self, file: ArchivedFile, statuses: &Statuses) -> Option<Pending> {
        if statuses.ready.contains(&file) {
            return Some(Pending::Archive(file));
        }
        let own = self.history.timeline;
        let inherited = match self.inherited {
            Inherited::Archive => Pending::Archive(file),
            Inherited::Done => Pending::MarkDone(file),
        };
        match file {
            ArchivedFile::History(timeline) if timeline == own => Some(Pending::Archive(file)),
            ArchivedFile::History(timeline) => self.history.contains(timeline).then_some(inherited),
            ArchivedFile::Segment { partial: true, .. } => Some(Pending::Archive(file)),
            ArchivedFile::Segment { timeline, segment, .. } => {
                let size = self.segment_size;
                let end = size.start_of(segment.next());
                if timeline == own {
                    return (end <= self.flushed).then_some(Pending::Archive(file));
                }
                let (next, switch) = self.history.next_after(timeline)?;
                let whole = self.history.timeline_at(Lsn(end.0 - 1)) == timeline;
                let last = size.segment_of(switch) == segment && size.offset_of(switch) != 0;
                if whole {
                    Some(inherited)
                } else {
                    (last && next == own).then_some(Pending::ArchiveAsPartial(file))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use walship_types::TimelineId;

    use super::*;

    fn file(timeline: u32, segment: u64) -> ArchivedFile {
        ArchivedFile::segment(TimelineId(timeline), SegmentNo(segment))
    }

    fn node(inherited: Inherited) -> Responsibility {
        let history = TimelineHistory::root(TimelineId(1)).branch(TimelineId(2), Lsn(0x30_0100), "promoted");
        Responsibility { history, flushed: Lsn(0x60_0000), inherited, segment_size: SegmentSize::MIN }
    }

    #[test]
    fn complete_segments_of_the_own_timeline_are_archived() {
        let files = [file(2, 3), file(2, 4), file(2, 5), file(2, 6), file(2, 7)];
        let statuses = Statuses { done: [file(2, 3)].into(), ready: [file(2, 4)].into() };
        let found = pending(&files, &statuses, &node(Inherited::Done));
        assert_eq!(found, [Pending::Archive(file(2, 4)), Pending::Archive(file(2, 5))]);
        assert_eq!(found.first().and_then(|p| p.keeps()), Some(SegmentNo(4)));
    }

    #[test]
    fn what_was_inherited_depends_on_where_it_goes() {
        let history = ArchivedFile::History;
        // of the segments of timeline 1, number 3 is left within, number 4 was only prepared
        let files = [file(1, 2), file(1, 3), file(1, 4), history(TimelineId(2)), history(TimelineId(1))];
        let none = Statuses::default();
        let with = |inherited| pending(&files, &none, &node(inherited));
        let own = Pending::Archive(history(TimelineId(2)));
        let partial = Pending::ArchiveAsPartial(file(1, 3));
        let old = history(TimelineId(1));
        assert_eq!(
            with(Inherited::Done),
            [Pending::MarkDone(old), own, Pending::MarkDone(file(1, 2)), partial]
        );
        assert_eq!(
            with(Inherited::Archive),
            [Pending::Archive(old), own, Pending::Archive(file(1, 2)), partial]
        );
    }

    #[test]
    fn other_branches_are_left_alone() {
        let files = [file(3, 2), ArchivedFile::History(TimelineId(3))];
        assert_eq!(pending(&files, &Statuses::default(), &node(Inherited::Archive)), []);
    }
}
