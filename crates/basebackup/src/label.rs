use walship_types::{Lsn, SegmentSize, SystemId, TimelineId, Timestamp, segment_file_name};

use crate::clock::{date_and_exact_time, date_and_time};

/// Name of the label's file.
pub const BACKUP_LABEL_FILE: &str = "backup_label";

/// What a backup says of itself: where replay has to start, whatever the control file
/// beside it says. PostgreSQL's layout, and two lines more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupLabel {
    /// Redo point of the backup's checkpoint.
    pub start: Lsn,
    /// The checkpoint record.
    pub checkpoint: Lsn,
    /// The timeline of both.
    pub timeline: TimelineId,
    /// Whether it was taken from a follower.
    pub from_follower: bool,
    /// When it began, as text in UTC.
    pub time: String,
    /// The name that the user gave it; one line.
    pub label: String,
    /// The cluster.
    pub system_id: SystemId,
    /// Size of its log segments.
    pub segment_size: SegmentSize,
}

/// A `backup_label` that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelError {
    /// A line is missing.
    #[error("backup_label has no line \"{0}\"")]
    Missing(&'static str),
    /// A line's value cannot be read.
    #[error("invalid value in backup_label, line \"{line}\": \"{found}\"")]
    Invalid {
        /// The line's name.
        line: &'static str,
        /// Its value.
        found: String,
    },
}

const START: &str = "START WAL LOCATION";
const CHECKPOINT: &str = "CHECKPOINT LOCATION";
const METHOD: &str = "BACKUP METHOD";
const FROM: &str = "BACKUP FROM";
const TIME: &str = "START TIME";
const LABEL: &str = "LABEL";
const TIMELINE: &str = "START TIMELINE";
const SYSTEM: &str = "SYSTEM IDENTIFIER";
const SEGMENT_SIZE: &str = "WAL SEGMENT SIZE";

impl BackupLabel {
    /// `START TIME` for a moment.
    pub fn time_text(time: Timestamp) -> String {
        format!("{} UTC", date_and_time(time))
    }

    /// The same with microseconds.
    pub fn time_text_exact(time: Timestamp) -> String {
        format!("{} UTC", date_and_exact_time(time))
    }

    /// What in it contradicts a control file of the same backup, which has this system
    /// identifier and redo point: the line's meaning, what it says, what was expected.
    pub fn differs_from(&self, system_id: SystemId, redo: Lsn) -> Option<(&'static str, String, String)> {
        if self.system_id != system_id {
            return Some(("system identifier", self.system_id.to_string(), system_id.to_string()));
        }
        (self.start != redo).then(|| ("start location", self.start.to_string(), redo.to_string()))
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        let segment = self.segment_size.segment_of(self.start);
        let file = segment_file_name(self.timeline, segment, self.segment_size);
        let from = if self.from_follower { "standby" } else { "primary" };
        let label: String = self.label.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!(
            "{START}: {} (file {file})\n{CHECKPOINT}: {}\n{METHOD}: streamed\n{FROM}: {from}\n{TIME}: {}\n\
             {LABEL}: {label}\n{TIMELINE}: {}\n{SYSTEM}: {}\n{SEGMENT_SIZE}: {}\n",
            self.start,
            self.checkpoint,
            self.time,
            self.timeline,
            self.system_id,
            self.segment_size.bytes(),
        )
    }

    /// Parses what [`BackupLabel::to_text`] writes; unknown lines are skipped.
    pub fn parse(text: &str) -> Result<BackupLabel, LabelError> {
        let line = |name: &'static str| {
            let find = |line: &str| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned);
            text.lines().find_map(find).ok_or(LabelError::Missing(name))
        };
        let start = line(START)?;
        let start = start.split(' ').next().unwrap_or_default().to_owned();
        let segment_size: u64 = value(SEGMENT_SIZE, line(SEGMENT_SIZE)?)?;
        Ok(BackupLabel {
            start: value(START, start)?,
            checkpoint: value(CHECKPOINT, line(CHECKPOINT)?)?,
            timeline: TimelineId(value(TIMELINE, line(TIMELINE)?)?),
            from_follower: line(FROM)? == "standby",
            time: line(TIME)?,
            label: line(LABEL)?,
            system_id: value(SYSTEM, line(SYSTEM)?)?,
            segment_size: SegmentSize::new(segment_size)
                .map_err(|_| LabelError::Invalid { line: SEGMENT_SIZE, found: segment_size.to_string() })?,
        })
    }
}

fn value<T: std::str::FromStr>(line: &'static str, found: String) -> Result<T, LabelError> {
    found.parse().map_err(|_| LabelError::Invalid { line, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label() -> BackupLabel {
        BackupLabel {
            start: Lsn(0x500_0028),
            checkpoint: Lsn(0x500_0060),
            timeline: TimelineId(1),
            from_follower: false,
            time: BackupLabel::time_text(Timestamp(848_719_617_000_000)),
            label: "pg_basebackup base backup".to_owned(),
            system_id: SystemId(7_711_202_498_677_149_815),
            segment_size: SegmentSize::DEFAULT,
        }
    }

    #[test]
    fn the_layout_is_postgresqls() {
        let expected = "START WAL LOCATION: 0/5000028 (file 000000010000000000000005)\n\
            CHECKPOINT LOCATION: 0/5000060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\n\
            START TIME: 2026-11-23 03:26:57 UTC\nLABEL: pg_basebackup base backup\nSTART TIMELINE: 1\n\
            SYSTEM IDENTIFIER: 7711202498677149815\nWAL SEGMENT SIZE: 16777216\n";
        assert_eq!(label().to_text(), expected);
        assert_eq!(BackupLabel::parse(expected), Ok(label()));
    }

    #[test]
    fn a_label_cannot_forge_lines() {
        let forged = BackupLabel { label: "x\nSTART TIMELINE: 9".to_owned(), ..label() };
        assert_eq!(BackupLabel::parse(&forged.to_text()).unwrap().timeline, TimelineId(1));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        assert_eq!(BackupLabel::parse(""), Err(LabelError::Missing(START)));
        let bad = label().to_text().replace("0/5000060", "5000060");
        let refused = LabelError::Invalid { line: CHECKPOINT, found: "5000060".to_owned() };
        assert_eq!(BackupLabel::parse(&bad), Err(refused));
    }
}
