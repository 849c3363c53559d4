use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use walship_disk::DiskFile;
use walship_types::{Lsn, SegmentNo};

use crate::WalError;
use crate::core::Core;
use crate::insert::InsertBuffer;
use crate::statistics::Counters;

/// How long to wait before a full disk is tried again.
const NO_SPACE_RETRY: Duration = Duration::from_millis(250);

/// The thread that writes and syncs while there is more than one who waits for it.
/// Whoever commits while it syncs is taken along by the next round.
pub(crate) struct Flusher {
    core: Arc<Core>,
}

impl Flusher {
    pub(crate) fn new(core: Arc<Core>) -> Flusher {
        Flusher { core }
    }

    pub(crate) fn run(self) {
        let core = &self.core;
        loop {
            let stopping = core.wait_for_work();
            let mut log_file = core.log_file.lock();
            match log_file.round(core) {
                Ok(()) => {
                    core.stalled.store(false, Ordering::SeqCst);
                    if stopping && core.is_all_flushed() {
                        return;
                    }
                }
                Err(error) if error.is_no_space() && !stopping => {
                    if !core.stalled.swap(true, Ordering::SeqCst) {
                        tracing::error!("log cannot grow, trying again until there is room: {error}");
                    }
                    drop(log_file);
                    core.wait_for_stop(NO_SPACE_RETRY);
                }
                Err(error) => {
                    core.poison(&error);
                    return;
                }
            }
        }
    }
}

/// Runs one round on the calling thread, if nobody else is at it.
pub(crate) fn flush_here(core: &Core) {
    if !core.try_begin_round() {
        return;
    }
    let flushed = core.log_file.lock().round(core);
    match flushed {
        Ok(()) => core.stalled.store(false, Ordering::SeqCst),
        // a full disk is the flusher's to wait out
        Err(error) if error.is_no_space() => {}
        Err(error) => core.poison(&error),
    }
    core.end_round();
}

/// The files' side of the log: what was taken from the insert buffer, and where it goes.
/// One thread at a time has it, for a round: the flusher's, or a committer's.
#[derive(Debug, Default)]
pub(crate) struct LogFile {
    /// Taken from the insert buffer, not yet written.
    pending: VecDeque<(Lsn, Bytes)>,
    file: Option<(SegmentNo, Arc<dyn DiskFile>)>,
    /// Whether `file` has content that is not synced.
    dirty: bool,
}

impl LogFile {
    /// Writes and syncs all that was appended when it began.
    fn round(&mut self, core: &Core) -> Result<(), WalError> {
        // a failed sync is never tried again, by whichever thread
        if let Some(reason) = core.failure() {
            return Err(WalError::Poisoned { reason });
        }
        let spare = core.insert.lock().needs_spare().then(InsertBuffer::new_spare);
        let end = {
            let mut insert = core.insert.lock();
            insert.take(&mut self.pending);
            if let Some(spare) = spare {
                insert.put_spare(spare);
            }
            insert.position()
        };
        core.positions.insert.advance(end);
        let written = self.write_pending(core);
        if matches!(&written, Err(error) if !error.is_no_space()) {
            return written;
        }
        // with a full disk, too, those whose commits were written must not wait
        self.sync(core)?;
        written
    }

    fn write_pending(&mut self, core: &Core) -> Result<(), WalError> {
        let size = core.config.segment_size;
        while let Some((start, bytes)) = self.pending.front().cloned() {
            let segment = size.segment_of(start);
            let room = size.bytes() - size.offset_of(start);
            let now = bytes.slice(..bytes.len().min(room as usize));
            let end = Lsn(start.0 + now.len() as u64);
            let file = self.segment(segment, core)?;
            let began = Instant::now();
            file.write_all_at(&now, size.offset_of(start))?;
            Counters::count(&core.counters.writes);
            Counters::add_time(&core.counters.write_nanos, began.elapsed());
            self.dirty = true;
            self.pending.pop_front();
            if now.len() < bytes.len() {
                self.pending.push_front((end, bytes.slice(now.len()..)));
            }
            core.tail.push(start, now);
            core.positions.write.advance(end);
        }
        Ok(())
    }

    fn segment(&mut self, segment: SegmentNo, core: &Core) -> Result<Arc<dyn DiskFile>, WalError> {
        if let Some((open, file)) = &self.file
            && *open == segment
        {
            return Ok(file.clone());
        }
        let file = core.segments.open_for_write(segment)?;
        // the segment that is left: durable before anything behind it is written
        self.sync(core)?;
        self.file = Some((segment, file.clone()));
        core.prepare_segments(segment);
        Ok(file)
    }

    fn sync(&mut self, core: &Core) -> Result<(), WalError> {
        if let Some((_, file)) = &self.file
            && self.dirty
        {
            let began = Instant::now();
            file.sync_data()?;
            core.counters.syncs.observe(began.elapsed());
            self.dirty = false;
        }
        core.positions.flush.advance(core.positions.write.get());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use walship_disk::{SimDisk, SimFaults};
    use walship_types::{SegmentSize, SystemId, TimelineHistory, TimelineId};

    use super::*;
    use crate::{RecordKind, WalConfig, WalWriter, create_first_segment};

    /// A writer whose flusher waits for work, and does nothing by itself.
    fn idle_writer(disk: &SimDisk) -> (Arc<Core>, WalWriter) {
        let history = TimelineHistory::root(TimelineId::FIRST);
        let disk = Arc::new(disk.clone());
        let config = WalConfig::new(disk, "/", SystemId(7), SegmentSize::MIN, history);
        let config = WalConfig { write_delay: Duration::from_secs(3600), ..config };
        let end = create_first_segment(&config).unwrap();
        let writer = WalWriter::start(config, end).unwrap();
        // the segments that are prepared ahead: their syncs must not be the ones that fail
        writer.reserve(1 << 20).unwrap();
        let core = Arc::clone(writer.core());
        while !core.flusher_state().0 {
            std::thread::yield_now();
        }
        (core, writer)
    }

    fn append(writer: &WalWriter) -> Lsn {
        writer.append(RecordKind::Pages, &[b"a commit"]).unwrap().end
    }

    #[test]
    fn a_lone_committer_flushes_by_itself() {
        let (core, writer) = idle_writer(&SimDisk::new(1));
        let end = append(&writer);
        writer.flush(end).unwrap();
        assert_eq!(writer.positions().flush.get(), end);
        // the flusher was not asked
        assert_eq!(core.flusher_state().1, Lsn::INVALID);
    }

    #[test]
    fn what_is_asked_for_during_a_borrowed_round_is_done_after_it() {
        let (core, writer) = idle_writer(&SimDisk::new(1));
        let end = append(&writer);
        assert!(core.try_begin_round());
        assert!(!core.try_begin_round());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| writer.flush(end));
            while core.flusher_state().1 < end {
                std::thread::yield_now();
            }
            assert!(writer.positions().flush.get() < end && !waits.is_finished());
            core.end_round();
            waits.join().unwrap().unwrap();
        });
        assert_eq!(writer.positions().flush.get(), end);
    }

    #[test]
    fn a_sync_that_failed_on_a_committers_thread_is_not_tried_again_by_the_flusher() {
        let disk = SimDisk::new(1);
        let (_, writer) = idle_writer(&disk);
        let before = writer.positions().flush.get();
        disk.set_faults(SimFaults { syncs_before_failure: Some(0), ..SimFaults::default() });
        let lost = append(&writer);
        assert!(matches!(writer.flush(lost), Err(WalError::Poisoned { .. })));
        // the next sync would succeed
        assert!(matches!(writer.flush(lost), Err(WalError::Poisoned { .. })));
        assert!(writer.shutdown().is_err());
        assert_eq!(writer.positions().flush.get(), before);
    }
}
