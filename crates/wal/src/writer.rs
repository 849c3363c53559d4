use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use parking_lot::{Mutex, MutexGuard};
use walship_disk::{DiskError, Operation};
use walship_types::{Lsn, SegmentNo};

use crate::core::Core;
use crate::flusher::{Flusher, flush_here};
use crate::insert::{InsertBuffer, Prepared};
use crate::layout;
use crate::record::{RECORD_ALIGNMENT, RECORD_HEADER_LEN, RECORD_PAYLOAD_MAX, RecordSpan};
use crate::source::{Live, WalSource};
use crate::statistics::{Counters, WriterStatistics};
use crate::watch::WaitOutcome;
use crate::{CleanEnd, RecordKind, WalConfig, WalError, WalPositions};

/// Unwritten bytes at which the flusher is woken though nobody waits for it.
const WRITE_BEHIND_BYTES: u64 = 1 << 20;

/// The leader's end of the log: appends records and makes them durable. One per
/// directory; any number of threads may use it, behind an `Arc`.
#[derive(Debug)]
pub struct WalWriter {
    core: Arc<Core>,
    source: WalSource,
    /// Protects the handles, which the first shutdown takes.
    threads: Mutex<Option<Threads>>,
}

#[derive(Debug)]
struct Threads {
    flusher: JoinHandle<()>,
    preparer: JoinHandle<()>,
}

/// Room in the log that is kept for what is going to be appended; given up when dropped.
#[derive(Debug)]
pub struct Reservation {
    core: Arc<Core>,
    bytes: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.core.reserved.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

fn spawn(name: &'static str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, WalError> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    spawned.map_err(|source| WalError::Thread { name, source })
}

impl WalWriter {
    /// Starts to append at a cleaned end, with one thread that writes and syncs and one
    /// that makes segments ahead of need.
    pub fn start(config: WalConfig, end: CleanEnd) -> Result<WalWriter, WalError> {
        let core = Arc::new(Core::new(config.clone(), end.position, end.previous)?);
        let live = Live {
            positions: core.positions.clone(),
            tail: core.tail.clone(),
            segments: core.segments.clone(),
        };
        let source = WalSource::live(config, live);
        let preparing = core.clone();
        let preparer = spawn("wal-segments", move || preparing.run_preparer())?;
        let flusher = Flusher::new(core.clone());
        let flusher = match spawn("wal-flush", move || flusher.run()) {
            Ok(handle) => handle,
            Err(error) => {
                core.stop_preparing();
                return Err(error);
            }
        };
        core.prepare_segments(core.config.segment_size.segment_of(end.position));
        Ok(WalWriter { core, source, threads: Mutex::new(Some(Threads { flusher, preparer })) })
    }

    #[cfg(test)]
    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// Takes the insert lock: nobody else appends while the guard lives, so it must be
    /// short and do no I/O. Blocks before that while too much is unflushed.
    pub fn lock_insert(&self) -> Result<InsertGuard<'_>, WalError> {
        loop {
            self.core.check_open()?;
            let buffer = self.core.insert.lock();
            if self.core.held.load(Ordering::Relaxed) {
                return Err(WalError::Held);
            }
            let end = buffer.position();
            let max = self.core.config.unflushed_bytes_max;
            if end.saturating_distance_from(self.core.positions.flush.get()) <= max {
                return Ok(InsertGuard { core: &self.core, buffer: Some(buffer) });
            }
            drop(buffer);
            Counters::count(&self.core.counters.buffers_full);
            self.core.request_flush(end);
            let enough = Lsn(end.0 - max / 2);
            let stalled = || self.core.stalled.load(Ordering::SeqCst);
            match self.core.positions.flush.wait_blocking(enough, None, stalled) {
                WaitOutcome::Reached | WaitOutcome::TimedOut => {}
                WaitOutcome::Closed => return Err(self.core.closed_error()),
                WaitOutcome::Cancelled => return Err(self.no_space(max)),
            }
        }
    }

    fn no_space(&self, needed: u64) -> WalError {
        let full = io::ErrorKind::StorageFull.into();
        let source = DiskError::new(Operation::Write, self.core.config.dir(), full);
        WalError::NoSpace { needed, source }
    }

    /// Appends a record whose payload is `parts`, one after the other. It is in memory
    /// only: [`flush`](Self::flush) makes it durable. Blocks while too much is unflushed.
    pub fn append(&self, kind: RecordKind, parts: &[&[u8]]) -> Result<RecordSpan, WalError> {
        check_len(parts)?;
        let seed = self.core.config.crc_seed(Lsn::MAX);
        let record = Prepared::new(seed, kind, parts);
        Ok(self.lock_insert()?.append_prepared(&record))
    }

    /// Returns once everything before `upto` is durable; positions that were not handed
    /// out yet count as the end of what was. Those who come while a sync runs share the
    /// next one. With a full disk it waits until there is room; to be able to give up,
    /// use [`request_flush`](Self::request_flush) and wait on the flush position.
    pub fn flush(&self, upto: Lsn) -> Result<(), WalError> {
        if self.core.positions.flush.get() >= upto {
            return Ok(());
        }
        let upto = upto.min(self.core.insert.lock().position());
        self.begin_flush(upto);
        match self.core.positions.flush.wait(upto) {
            WaitOutcome::Reached => Ok(()),
            _ => Err(self.core.closed_error()),
        }
    }

    /// The same for who waits for something that comes after the flush: does it here if
    /// nobody is at it, and does not wait for whoever is.
    pub fn begin_flush(&self, upto: Lsn) {
        let flushed = || self.core.positions.flush.get() >= upto;
        if !flushed() {
            flush_here(&self.core);
        }
        if !flushed() {
            self.request_flush(upto);
        }
    }

    /// Starts a flush without waiting for it: see [`positions`](Self::positions).
    pub fn request_flush(&self, upto: Lsn) {
        self.core.request_flush(upto.min(self.core.insert.lock().position()));
    }

    /// Makes sure that segment files on disk hold `bytes` more bytes of payload, in records
    /// of 4 KiB or more and up to 100 smaller ones, beside what others have reserved, for
    /// as long as the reservation lives. [`WalError::NoSpace`] if not; nothing was changed
    /// then.
    pub fn reserve(&self, bytes: u64) -> Result<Reservation, WalError> {
        self.core.check_open()?;
        let size = self.core.config.segment_size;
        // header and padding of each record
        let per_record = (RECORD_HEADER_LEN + RECORD_ALIGNMENT) as u64;
        let bytes = bytes + (bytes / RESERVED_RECORD_BYTES + RESERVED_SMALL_RECORDS) * per_record;
        let all = self.core.reserved.fetch_add(bytes, Ordering::SeqCst) + bytes;
        let reservation = Reservation { core: self.core.clone(), bytes };
        let from = layout::record_start(self.core.insert.lock().position(), size);
        let last = layout::advance(from, all, size);
        self.core.segments.make_ready(size.segment_of(last).next())?;
        Ok(reservation)
    }

    /// Lets nobody append any more, and returns the end of the log, which stays where it
    /// is until [`resume_appends`](Self::resume_appends).
    pub fn hold_appends(&self) -> Lsn {
        let buffer = self.core.insert.lock();
        self.core.held.store(true, Ordering::Relaxed);
        buffer.position()
    }

    /// Takes records again.
    pub fn resume_appends(&self) {
        let _appending = self.core.insert.lock();
        self.core.held.store(false, Ordering::Relaxed);
    }

    /// How far the log is, and where to wait for it to be further.
    pub fn positions(&self) -> &Arc<WalPositions> {
        &self.core.positions
    }

    /// What it did since it was started.
    pub fn statistics(&self) -> WriterStatistics {
        WriterStatistics { stalled: self.core.stalled.load(Ordering::Relaxed), ..self.core.counters.get() }
    }

    /// Where to read what is flushed.
    pub fn source(&self) -> WalSource {
        self.source.clone()
    }

    /// Ends the segment with a [`RecordKind::SegmentSwitch`] record, so that it can be
    /// archived; returns the start of the next one. Nothing happens at a segment's start.
    pub fn switch_segment(&self) -> Result<Lsn, WalError> {
        let mut guard = self.lock_insert()?;
        let end = guard.end();
        if self.core.config.segment_size.offset_of(end) == 0 {
            return Ok(end);
        }
        Ok(guard.append(RecordKind::SegmentSwitch, &[])?.end)
    }

    /// Gives up all segments that end at or before `lsn`; returns how many.
    pub fn recycle_before(&self, lsn: Lsn) -> Result<usize, WalError> {
        self.core.segments.recycle_before(lsn, self.core.positions.flush.get())
    }

    /// The oldest segment that is still there.
    pub fn oldest_segment(&self) -> SegmentNo {
        self.core.segments.oldest()
    }

    /// Why nothing can be written any more, if so.
    pub fn failed(&self) -> Option<String> {
        self.core.failure()
    }

    /// Flushes what was appended and stops; appending is an error from here on. A second
    /// call does nothing.
    pub fn shutdown(&self) -> Result<(), WalError> {
        let Some(threads) = self.threads.lock().take() else { return Ok(()) };
        self.core.positions.insert.close("the log is shut down");
        self.core.stop();
        self.core.stop_preparing();
        // a panic there has been reported by its own thread
        let _ = threads.flusher.join();
        let _ = threads.preparer.join();
        let all_flushed = self.core.is_all_flushed();
        self.core.positions.close("the log is shut down");
        match self.core.failure() {
            Some(reason) => Err(WalError::Poisoned { reason }),
            None if all_flushed => Ok(()),
            None => Err(WalError::ShutDown),
        }
    }
}

/// A reservation allows for one record per so many bytes of payload,
const RESERVED_RECORD_BYTES: u64 = 4096;
/// and for so many more, whatever they carry.
const RESERVED_SMALL_RECORDS: u64 = 100;

impl Drop for WalWriter {
    fn drop(&mut self) {
        if let Err(error) = self.shutdown() {
            tracing::error!("log was not shut down cleanly: {error}");
        }
    }
}

fn check_len(parts: &[&[u8]]) -> Result<(), WalError> {
    let len = parts.iter().map(|part| part.len()).sum();
    let max = RECORD_PAYLOAD_MAX;
    if len > max { Err(WalError::PayloadTooLong { len, max }) } else { Ok(()) }
}

/// The insert lock, held.
#[derive(Debug)]
pub struct InsertGuard<'a> {
    core: &'a Core,
    /// `None` only while it is being dropped.
    buffer: Option<MutexGuard<'a, InsertBuffer>>,
}

impl InsertGuard<'_> {
    /// Where the next record will begin: a redo point, if one is noted now.
    pub fn position(&self) -> Lsn {
        self.buffer.as_ref().map_or(Lsn::INVALID, |buffer| buffer.next_record_start())
    }

    /// End of the last record.
    pub fn end(&self) -> Lsn {
        self.buffer.as_ref().map_or(Lsn::INVALID, |buffer| buffer.position())
    }

    /// Appends a record, as [`WalWriter::append`] does, but never blocks.
    pub fn append(&mut self, kind: RecordKind, parts: &[&[u8]]) -> Result<RecordSpan, WalError> {
        check_len(parts)?;
        self.core.check_open()?;
        let seed = self.core.config.crc_seed(Lsn::MAX);
        Ok(self.append_prepared(&Prepared::new(seed, kind, parts)))
    }

    fn append_prepared(&mut self, record: &Prepared<'_>) -> RecordSpan {
        Counters::count(&self.core.counters.records);
        let nothing = RecordSpan { start: Lsn::INVALID, end: Lsn::INVALID };
        self.buffer.as_mut().map_or(nothing, |buffer| buffer.append(record))
    }
}

impl Drop for InsertGuard<'_> {
    fn drop(&mut self) {
        let Some(buffer) = self.buffer.take() else { return };
        let end = buffer.position();
        drop(buffer);
        self.core.positions.insert.advance(end);
        if end.saturating_distance_from(self.core.positions.write.get()) > WRITE_BEHIND_BYTES {
            self.core.request_flush(end);
        }
    }
}
