use walship_types::{
    SegmentNo, SegmentSize, TimelineId, history_file_name, parse_history_file_name, parse_segment_file_name,
    segment_file_name,
};

/// What the name of an incomplete segment ends in: the last one of a timeline that was
/// left, or what `pg_receivewal` is still writing.
pub const PARTIAL_SUFFIX: &str = ".partial";

/// A file that goes into an archive. The order is that in which they go there: histories
/// first, because whoever restores a segment of a timeline has to know where it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ArchivedFile {
    /// `NNNNNNNN.history`.
    History(TimelineId),
    /// A segment.
    Segment {
        /// The timeline in its name.
        timeline: TimelineId,
        /// Its number.
        segment: SegmentNo,
        /// Whether it is the incomplete last one of its timeline, with `.partial` in its name.
        partial: bool,
    },
}

impl ArchivedFile {
    /// A complete segment.
    pub fn segment(timeline: TimelineId, segment: SegmentNo) -> ArchivedFile {
        ArchivedFile::Segment { timeline, segment, partial: false }
    }

    /// Parses what [`ArchivedFile::name`] makes; `None` for any other name.
    pub fn parse(name: &str, size: SegmentSize) -> Option<ArchivedFile> {
        if let Some(timeline) = parse_history_file_name(name) {
            return Some(ArchivedFile::History(timeline));
        }
        let whole = name.strip_suffix(PARTIAL_SUFFIX);
        let (timeline, segment) = parse_segment_file_name(whole.unwrap_or(name), size)?;
        Some(ArchivedFile::Segment { timeline, segment, partial: whole.is_some() })
    }

    /// The file's name.
    pub fn name(self, size: SegmentSize) -> String {
        match self {
            ArchivedFile::History(timeline) => history_file_name(timeline),
            ArchivedFile::Segment { timeline, segment, partial } => {
                let name = segment_file_name(timeline, segment, size);
                if partial { name + PARTIAL_SUFFIX } else { name }
            }
        }
    }

    /// The number of a segment, complete or not.
    pub fn segment_no(self) -> Option<SegmentNo> {
        match self {
            ArchivedFile::History(_) => None,
            ArchivedFile::Segment { segment, .. } => Some(segment),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_in_the_order_of_archiving() {
        let names = [
            "00000003.history",
            "000000010000000000000007",
            "000000010000000000000008.partial",
            "000000020000000000000008",
        ];
        let parse = |name: &&str| ArchivedFile::parse(name, SegmentSize::DEFAULT).unwrap();
        let files: Vec<ArchivedFile> = names.iter().map(parse).collect();
        assert!(files.is_sorted());
        let printed: Vec<String> = files.iter().map(|file| file.name(SegmentSize::DEFAULT)).collect();
        assert_eq!(printed, names);
        for other in ["000000010000000000000007.ready", "x", "00000001.partial", "archive_status"] {
            assert_eq!(ArchivedFile::parse(other, SegmentSize::DEFAULT), None, "{other}");
        }
    }
}
