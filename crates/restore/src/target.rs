use walship_types::{Lsn, SegmentSize, Timestamp};
use walship_wal::payload::{Payload, PayloadError};
use walship_wal::{Record, RecordKind, WalError, record_start};

use crate::Target;

/// What a record means for where recovery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is replayed, and recovery goes on.
    GoOn,
    /// It is the last one that is replayed.
    Last,
    /// Recovery has ended before it.
    Beyond,
}

/// Judges records, in order.
#[derive(Debug)]
pub(crate) struct Judge {
    target: Target,
    inclusive: bool,
    segment_size: SegmentSize,
    /// Whether something after a target time was seen.
    passed: bool,
    /// Whether the last record that is recovered was judged.
    ended: bool,
    /// End and time of the last transaction that was judged to be recovered.
    pub(crate) last_commit: Option<(Lsn, Timestamp)>,
}

impl Judge {
    pub(crate) fn new(target: Target, inclusive: bool, segment_size: SegmentSize) -> Judge {
        Judge { target, inclusive, segment_size, passed: false, ended: false, last_commit: None }
    }

    pub(crate) fn judge(&mut self, record: &Record) -> Result<Verdict, WalError> {
        let payload = |source: PayloadError| WalError::Payload { lsn: record.lsn, kind: record.kind, source };
        let (time, name) = match record.kind {
            RecordKind::Pages | RecordKind::Seal | RecordKind::SegmentSwitch => (None, None),
            kind => match Payload::decode(kind, &record.payload).map_err(payload)? {
                Payload::Commit(commit) => (Some(commit.time), None),
                Payload::Checkpoint(checkpoint) => (Some(checkpoint.time), None),
                Payload::EndOfRecovery(end) => (Some(end.time), None),
                Payload::RestorePoint(point) => (Some(point.time), Some(point.name)),
                _ => (None, None),
            },
        };
        let verdict = self.by_target(record, time, name.as_deref());
        self.ended |= verdict != Verdict::GoOn;
        if let (RecordKind::Commit, Some(time), true) = (record.kind, time, verdict != Verdict::Beyond) {
            self.last_commit = Some((record.end, time));
        }
        Ok(verdict)
    }

    fn by_target(&mut self, record: &Record, time: Option<Timestamp>, name: Option<&str>) -> Verdict {
        let commit = record.kind == RecordKind::Commit;
        match &self.target {
            Target::End | Target::Immediate => Verdict::GoOn,
            Target::Lsn(lsn) => {
                // a segment's start and the first record in it are the same end of log
                let lsn = record_start(*lsn, self.segment_size);
                match record_start(record.end, self.segment_size).cmp(&lsn) {
                    std::cmp::Ordering::Less => Verdict::GoOn,
                    std::cmp::Ordering::Equal if self.inclusive => Verdict::Last,
                    _ => Verdict::Beyond,
                }
            }
            Target::Time(target) => {
                let Some(time) = time else { return Verdict::GoOn };
                let beyond = time > *target || time == *target && !self.inclusive;
                self.passed |= beyond;
                if beyond && commit { Verdict::Beyond } else { Verdict::GoOn }
            }
            Target::Name(wanted) if name == Some(wanted) => Verdict::Last,
            Target::Name(_) => Verdict::GoOn,
        }
    }

    /// What a backup has beyond the target from the start, if it is replayed from `redo`, with
    /// a checkpoint of that time.
    pub(crate) fn is_before(&self, redo: Lsn, checkpoint: Timestamp) -> Option<String> {
        let everything = || format!("every transaction up to {redo}");
        match &self.target {
            Target::Lsn(lsn) => {
                let (lsn, redo) =
                    (record_start(*lsn, self.segment_size), record_start(redo, self.segment_size));
                (lsn < redo || lsn == redo && !self.inclusive).then(everything)
            }
            Target::Time(target) => (*target < checkpoint)
                .then(|| format!("{}, and its checkpoint is of {}", everything(), time_text(checkpoint))),
            Target::End | Target::Name(_) | Target::Immediate => None,
        }
    }

    /// Whether a record was judged to be the last one, or beyond it.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended || self.target == Target::Immediate
    }

    /// Whether the target is reached by everything that there is, up to `end`.
    pub(crate) fn is_reached_at_end(&self, end: Lsn) -> bool {
        let size = self.segment_size;
        match &self.target {
            Target::End | Target::Immediate => true,
            Target::Lsn(lsn) => record_start(end, size) >= record_start(*lsn, size),
            Target::Time(_) => self.passed,
            Target::Name(_) => false,
        }
    }

    /// The target, in words.
    pub(crate) fn describe(&self) -> String {
        match &self.target {
            Target::End => "the end of the archive".to_owned(),
            Target::Immediate => "the consistent point".to_owned(),
            Target::Lsn(lsn) => format!("target LSN {lsn}"),
            Target::Time(time) => format!("target time {}", time_text(*time)),
            Target::Name(name) => format!("target restore point \"{name}\""),
        }
    }
}

/// In UTC, as the label of a backup has it, with the fraction.
pub(crate) fn time_text(time: Timestamp) -> String {
    walship_basebackup::BackupLabel::time_text_exact(time)
}

/// What a record changes, if it changes anything that users see.
pub(crate) fn change(record: &Record) -> Option<String> {
    match record.kind {
        RecordKind::Commit => Some(format!("the transaction that ends at {}", record.end)),
        RecordKind::CreateDatabase => Some(format!("the database created at {}", record.lsn)),
        RecordKind::DropDatabase => Some(format!("the removal of a database at {}", record.lsn)),
        _ => None,
    }
}
