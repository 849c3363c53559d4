use std::collections::BTreeMap;

use walship_types::{DatabaseId, Lsn};
use walship_wal::payload::{DatabaseState, EndOfRecovery, Payload};
use walship_wal::{Next, Record, RecordKind, WalConfig, WalSource};

use super::abandoned::{checkpoint_missing, oldest_start};
use crate::run::Failure;

/// What a node's own log says of its end at a position: enough to see whether a timeline
/// that begins there continues this log, or another one.
#[derive(Default)]
pub(super) struct OwnEnd {
    /// Where the last record that begins before the position does.
    last: Option<Lsn>,
    /// Size in pages and checksum of each database.
    databases: BTreeMap<DatabaseId, (u32, u64)>,
    /// Whether these are all: the log that was read has a record that names every one.
    all: bool,
    /// Where the log was read from.
    from: Lsn,
}

impl OwnEnd {
    /// Reads as much of the log before `at` as it takes; twice as much each time, so that
    /// little is read twice.
    pub(super) fn read(config: &WalConfig, at: Lsn) -> Result<OwnEnd, Failure> {
        let (oldest, source) = (oldest_start(config, at), WalSource::offline(config.clone()));
        let mut back = config.segment_size.bytes();
        loop {
            let from = oldest.max(Lsn(at.0.saturating_sub(back)));
            let mut end = OwnEnd { from, ..OwnEnd::default() };
            let mut reader = source.reader(from);
            while reader.position() < at {
                let Next::Record(record) = reader.next()? else { break };
                if record.lsn >= at {
                    break;
                }
                end.take(&record)?;
            }
            if end.all || from == oldest {
                return Ok(end);
            }
            back = back.saturating_mul(2);
        }
    }

    fn take(&mut self, record: &Record) -> Result<(), Failure> {
        self.last = Some(record.lsn);
        match record.decode()? {
            Payload::Commit(commit) => {
                self.databases.insert(commit.database, (commit.pages, commit.checksum));
            }
            Payload::CreateDatabase(create) => {
                self.databases.insert(create.id, (0, 0));
            }
            Payload::DropDatabase(dropped) => {
                self.databases.remove(&dropped.id);
            }
            Payload::EndOfRecovery(begun) => {
                self.databases = states(&begun.databases);
                self.all = true;
            }
            // it says how they were at its redo point: what was read since is younger
            Payload::Checkpoint(checkpoint) if checkpoint.redo >= self.from && !self.all => {
                let younger = std::mem::replace(&mut self.databases, states(&checkpoint.databases));
                self.databases.extend(younger);
                self.all = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the timeline that begins at `at` with `record` continues this log. Fails if
    /// too little of the log is left to tell.
    pub(super) fn is_continued_by(
        &self,
        record: &Record,
        config: &WalConfig,
        at: Lsn,
    ) -> Result<bool, Failure> {
        if record.kind != RecordKind::EndOfRecovery {
            return Err(begins_otherwise(at, record.kind));
        }
        let begun = EndOfRecovery::decode(&record.payload).map_err(Failure::new)?;
        let same = self.databases == states(&begun.databases);
        match self.last {
            Some(last) if last != record.previous => Ok(false),
            Some(_) if same || self.all => Ok(same),
            _ => Err(checkpoint_missing(config, at, self.from)),
        }
    }
}

fn states(databases: &[DatabaseState]) -> BTreeMap<DatabaseId, (u32, u64)> {
    databases.iter().map(|state| (state.id, (state.pages, state.checksum))).collect()
}

/// A timeline whose first record is not the one that every timeline has there.
pub(super) fn begins_otherwise(at: Lsn, found: RecordKind) -> Failure {
    Failure::new(format!(
        "the source's timeline begins at {at} with a {found} record, an end of recovery expected"
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use walship_disk::RealDisk;
    use walship_types::{
        PageSize, SegmentSize, SqliteWalPosition, SystemId, TimelineHistory, TimelineId, Timestamp,
    };
    use walship_wal::payload::{Checkpoint, Commit, CommitFlags};
    use walship_wal::{RecordSpan, WalWriter, create_first_segment};

    use super::*;

    const DATABASE: DatabaseId = DatabaseId(1);

    fn state(pages: u32, checksum: u64) -> DatabaseState {
        let name = "postgres".parse().unwrap();
        let (page_size, position) = (PageSize::new(4096).unwrap(), SqliteWalPosition::default());
        DatabaseState { id: DATABASE, name, page_size, pages, checksum, position }
    }

    fn commit(writer: &WalWriter, pages: u32, checksum: u64) -> RecordSpan {
        let (flags, page_size) = (CommitFlags::default(), PageSize::new(4096).unwrap());
        let position = SqliteWalPosition::default();
        let commit =
            Commit::new(DATABASE, pages, flags, page_size, position, Timestamp(1), checksum).unwrap();
        let mut payload = Vec::new();
        commit.encode_header(&mut payload);
        writer.append(RecordKind::Commit, &[&payload]).unwrap()
    }

    fn checkpoint(writer: &WalWriter, redo: Lsn, state: DatabaseState) -> RecordSpan {
        let (timeline, time) = (TimelineId::FIRST, Timestamp(1));
        let (next_database_id, databases) = (DatabaseId(2), vec![state]);
        let made = Checkpoint { redo, timeline, shutdown: false, time, next_database_id, databases };
        let mut payload = Vec::new();
        made.encode(&mut payload);
        writer.append(RecordKind::Checkpoint, &[&payload]).unwrap()
    }

    /// The first record of a timeline, after the record at `previous`.
    fn begun(previous: Lsn, databases: Vec<DatabaseState>) -> Record {
        let (timeline, previous_timeline) = (TimelineId(2), TimelineId::FIRST);
        let mut payload = Vec::new();
        EndOfRecovery { timeline, previous_timeline, time: Timestamp(1), databases }.encode(&mut payload);
        let (lsn, kind) = (Lsn::INVALID, RecordKind::EndOfRecovery);
        Record { lsn, end: lsn, previous, timeline, kind, flags: 0, payload: payload.into() }
    }

    #[test]
    fn a_timeline_continues_a_log_only_with_its_last_record_and_its_databases() {
        let directory = tempfile::tempdir().unwrap();
        let (disk, history) = (Arc::new(RealDisk::new()), TimelineHistory::root(TimelineId::FIRST));
        let config = WalConfig::new(disk, directory.path(), SystemId(7), SegmentSize::MIN, history);
        let writer = WalWriter::start(config.clone(), create_first_segment(&config).unwrap()).unwrap();
        let before = commit(&writer, 3, 30);
        let redo = commit(&writer, 4, 40);
        // the checkpoint does not know yet of what came while it ran
        let last = checkpoint(&writer, redo.start, state(3, 30));
        writer.flush(last.end).unwrap();
        let continued =
            |at, record: &Record| OwnEnd::read(&config, at).unwrap().is_continued_by(record, &config, at);
        let continues = |at, record: &Record| continued(at, record).unwrap();
        assert!(continues(last.end, &begun(last.start, vec![state(4, 40)])));
        assert!(!continues(last.end, &begun(redo.start, vec![state(4, 40)])), "another record before");
        assert!(!continues(last.end, &begun(last.start, vec![state(4, 41)])), "other pages");
        assert!(!continues(last.end, &begun(last.start, vec![state(3, 30)])), "an older state");
        assert!(!continues(last.end, &begun(last.start, vec![])), "without a database");
        // before the checkpoint nothing says that there is no other database
        assert!(continues(before.end, &begun(before.start, vec![state(3, 30)])));
        let unknown = continued(before.end, &begun(before.start, vec![])).unwrap_err();
        assert!(
            format!("{unknown:?}").contains("is missing: the last checkpoint before the fork"),
            "{unknown:?}"
        );
        let other = Record { kind: RecordKind::Commit, ..begun(last.start, vec![]) };
        assert!(continued(last.end, &other).is_err(), "no beginning of a timeline");
    }
}
