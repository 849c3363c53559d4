use std::sync::Arc;

use walship_archive::ArchivedFile;
use walship_engine::EngineError;
use walship_engine::redo::{Redo, RedoCatalog, RedoOptions, RedoStart, ReplayStop, ReplayedDatabase};
use walship_node::{ControlDatabase, ControlFile};
use walship_types::{DatabaseId, DatabaseName, Lsn, SegmentNo};
use walship_wal::{EndReason, Next, Record, WalEnd, WalReader, record_start};

use crate::RestoreError;
use crate::staging::Staging;
use crate::target::{Judge, Verdict, change, time_text};

/// Records between two reports.
const RECORDS_PER_REPORT: u64 = 256;

/// Nobody reads meanwhile, so nobody has to be told.
struct NoReaders;

impl RedoCatalog for NoReaders {
    fn opened(&self, _database: &ReplayedDatabase<'_>) -> Result<(), EngineError> {
        Ok(())
    }

    fn dropping(&self, _id: DatabaseId, _name: &DatabaseName) -> Result<(), EngineError> {
        Ok(())
    }

    fn stopped(&self, _stop: &ReplayStop) {}
}

/// Replay from a backup to the target.
pub(crate) struct Replay<'a> {
    pub(crate) control: &'a ControlFile,
    pub(crate) staging: Staging,
    pub(crate) judge: Judge,
    /// The last record that was looked at and belongs to the result.
    pub(crate) last_record: Lsn,
    /// What the log ends with, if that is neither nothing nor zeroes.
    pub(crate) damaged_end: Option<String>,
    reader: WalReader,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(control: &'a ControlFile, staging: Staging, judge: Judge) -> Replay<'a> {
        let reader = staging.source().reader(control.redo);
        Replay { control, staging, judge, last_record: Lsn::INVALID, damaged_end: None, reader }
    }

    /// Reads up to where the backup is consistent, so that it is known that all of it is
    /// there, and that nothing in it lies beyond the target.
    pub(crate) fn check_backup(
        &mut self,
        told: &mut dyn FnMut(Lsn) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        let consistent = self.control.minimum_recovery;
        if let Some(change) = self.judge.is_before(self.control.redo, self.control.checkpoint_time) {
            let target = self.judge.describe();
            return Err(RestoreError::BeforeConsistent { target, consistent, change });
        }
        let mut records = 0_u64;
        while self.reader.position() < consistent {
            match self.next()? {
                Ok(record) => {
                    let verdict = self.judge.judge(&record)?;
                    if let (Verdict::Beyond, Some(change)) = (verdict, change(&record)) {
                        let target = self.judge.describe();
                        return Err(RestoreError::BeforeConsistent { target, consistent, change });
                    }
                    if verdict == Verdict::Last && record.end < consistent {
                        self.check_nothing_follows(consistent)?;
                    }
                    self.last_record = record.lsn;
                    records += 1;
                    if records.is_multiple_of(RECORDS_PER_REPORT) {
                        told(record.end)?;
                    }
                }
                Err(LogEnd { at, what, .. }) => {
                    let start = self.control.redo;
                    return Err(RestoreError::BackupGap { start, consistent, at, what });
                }
            }
        }
        Ok(())
    }

    /// The target is before the end of the backup: right only if the rest changes nothing.
    fn check_nothing_follows(&mut self, consistent: Lsn) -> Result<(), RestoreError> {
        let mut ahead = self.staging.source().reader(self.reader.position());
        while let Next::Record(record) = ahead.next()? {
            if record.end > consistent {
                break;
            }
            if let Some(change) = change(&record) {
                let target = self.judge.describe();
                return Err(RestoreError::BeforeConsistent { target, consistent, change });
            }
        }
        Ok(())
    }

    /// Brings the databases in `base` to where the backup is consistent.
    pub(crate) fn start_redo(&self, options: RedoOptions) -> Result<Redo, RestoreError> {
        let states = self.control.databases.iter().map(ControlDatabase::state);
        let end = self.reader.position();
        let start = RedoStart {
            redo: self.control.redo,
            end,
            states: states.collect(),
            consistent_at: self.control.minimum_recovery,
        };
        let redo =
            Redo::start(options, Arc::new(NoReaders), self.staging.source(), &start, Arc::new(|| false))?;
        check_stopped(&redo)?;
        Ok(redo)
    }

    /// Goes on to the target.
    pub(crate) fn run(
        &mut self,
        redo: &mut Redo,
        told: &mut dyn FnMut(Lsn) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        // parts of a transaction that was open there are read again
        self.reader = self.staging.source().reader(redo.resume_from());
        let consistent = redo.taken();
        let size = self.control.segment_size;
        if self.judge.has_ended() {
            return Ok(());
        }
        let mut records = 0_u64;
        loop {
            let record = match self.next()? {
                Ok(record) => record,
                Err(end) => return self.ended(end),
            };
            if record.end > consistent {
                match self.judge.judge(&record)? {
                    Verdict::Beyond => return Ok(()),
                    Verdict::GoOn | Verdict::Last => {}
                }
            }
            redo.apply(&record)?;
            check_stopped(redo)?;
            self.last_record = self.last_record.max(record.lsn);
            records += 1;
            if records.is_multiple_of(RECORDS_PER_REPORT) {
                told(record.end)?;
            }
            if self.judge.has_ended() {
                return Ok(());
            }
            if size.segment_of(record_start(record.end, size)) != size.segment_of(record.lsn) {
                redo.commit_batch()?;
                self.staging.release_before(redo.resume_from());
            }
        }
    }

    /// The next record; where the log has none, the segment is fetched, or fetched from
    /// elsewhere, as long as there is anywhere to fetch it from.
    fn next(&mut self) -> Result<Result<Record, LogEnd>, RestoreError> {
        // what was found first is told: what was tried instead was no better
        let mut first = None;
        loop {
            let end = match self.reader.next()? {
                Next::Record(record) => return Ok(Ok(record)),
                Next::End(end) => end,
            };
            let size = self.control.segment_size;
            let begins = size.segment_of(end.at);
            let looked_at = ArchivedFile::parse(&end.file, size).and_then(ArchivedFile::segment_no);
            let looked_at = looked_at.unwrap_or(begins);
            let staged = if self.staging.is_staged(looked_at) {
                first.get_or_insert_with(|| self.describe(&end, looked_at));
                self.stage_other(looked_at, begins)?
            } else {
                self.staging.stage_next(looked_at)?
            };
            if !staged {
                return Ok(Err(first.unwrap_or_else(|| self.describe(&end, looked_at))));
            }
            self.reader = self.staging.source().reader(self.reader.position());
        }
    }

    /// Fetches a segment from elsewhere that holds a part of what could not be read; whether
    /// there is one.
    fn stage_other(&mut self, looked_at: SegmentNo, begins: SegmentNo) -> Result<bool, RestoreError> {
        let last = self.staging.last_staged().unwrap_or(looked_at).max(looked_at);
        let mut segment = looked_at;
        let mut next = begins;
        loop {
            if self.staging.stage_next(segment)? {
                return Ok(true);
            }
            if next > last {
                return Ok(false);
            }
            segment = next;
            next = next.next();
        }
    }

    /// The log has ended: rightly only where the target is reached and nothing follows.
    fn ended(&mut self, end: LogEnd) -> Result<(), RestoreError> {
        let LogEnd { at, what, damaged } = end;
        if let Some(later) = self.staging.later_than(at) {
            return Err(RestoreError::Gap { at, what, later });
        }
        if self.judge.is_reached_at_end(at) {
            self.damaged_end = damaged.then_some(what);
            return Ok(());
        }
        let (target, from) = (self.judge.describe(), self.control.redo);
        let last_commit = self.judge.last_commit.map(|(_, time)| time_text(time));
        Err(RestoreError::NotReached { target, from, at, what, last_commit })
    }

    fn describe(&self, end: &WalEnd, segment: SegmentNo) -> LogEnd {
        let what = self.staging.describe(segment, &end.reason.to_string(), end.offset);
        let damaged = !matches!(end.reason, EndReason::Zeroes | EndReason::MissingSegment);
        LogEnd { at: end.at, what, damaged }
    }
}

/// Where there is no further record.
struct LogEnd {
    at: Lsn,
    /// In which segment, and what is there instead.
    what: String,
    /// Whether something is there.
    damaged: bool,
}

fn check_stopped(redo: &Redo) -> Result<(), RestoreError> {
    match redo.stopped().next() {
        Some(stop) => Err(RestoreError::Stopped(stop.to_string())),
        None => Ok(()),
    }
}
