use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use walship_disk::DiskFile;
use walship_types::{Lsn, SegmentNo};

use crate::WalError;
use crate::core::Core;
use crate::insert::InsertBuffer;

/// How long to wait before a full disk is tried again.
const NO_SPACE_RETRY: Duration = Duration::from_millis(250);

/// The one thread that writes and syncs. Whoever commits while it syncs is taken along
/// by the next round: that is all there is to group commit.
pub(crate) struct Flusher {
    core: Arc<Core>,
    /// Taken from the insert buffer, not yet written.
    pending: VecDeque<(Lsn, Bytes)>,
    file: Option<(SegmentNo, Arc<dyn DiskFile>)>,
    /// Whether `file` has content that is not synced.
    dirty: bool,
}

impl Flusher {
    pub(crate) fn new(core: Arc<Core>) -> Flusher {
        Flusher { core, pending: VecDeque::new(), file: None, dirty: false }
    }

    pub(crate) fn run(mut self) {
        loop {
            let stopping = self.core.wait_for_work();
            match self.round() {
                Ok(()) => {
                    self.core.stalled.store(false, Ordering::SeqCst);
                    if stopping && self.core.is_all_flushed() {
                        return;
                    }
                }
                Err(error) if error.is_no_space() && !stopping => {
                    if !self.core.stalled.swap(true, Ordering::SeqCst) {
                        tracing::error!("log cannot grow, trying again until there is room: {error}");
                    }
                    self.core.wait_for_stop(NO_SPACE_RETRY);
                }
                Err(error) => {
                    self.core.poison(&error);
                    return;
                }
            }
        }
    }

    /// Writes and syncs all that was appended when it began.
    fn round(&mut self) -> Result<(), WalError> {
        let spare = self.core.insert.lock().needs_spare().then(InsertBuffer::new_spare);
        let end = {
            let mut insert = self.core.insert.lock();
            insert.take(&mut self.pending);
            if let Some(spare) = spare {
                insert.put_spare(spare);
            }
            insert.position()
        };
        self.core.positions.insert.advance(end);
        let written = self.write_pending();
        if matches!(&written, Err(error) if !error.is_no_space()) {
            return written;
        }
        // with a full disk, too, those whose commits were written must not wait
        self.sync()?;
        written
    }

    fn write_pending(&mut self) -> Result<(), WalError> {
        let size = self.core.config.segment_size;
        while let Some((start, bytes)) = self.pending.front().cloned() {
            let segment = size.segment_of(start);
            let room = size.bytes() - size.offset_of(start);
            let now = bytes.slice(..bytes.len().min(room as usize));
            let end = Lsn(start.0 + now.len() as u64);
            self.segment(segment)?.write_all_at(&now, size.offset_of(start))?;
            self.dirty = true;
            self.pending.pop_front();
            if now.len() < bytes.len() {
                self.pending.push_front((end, bytes.slice(now.len()..)));
            }
            self.core.tail.push(start, now);
            self.core.positions.write.advance(end);
        }
        Ok(())
    }

    fn segment(&mut self, segment: SegmentNo) -> Result<Arc<dyn DiskFile>, WalError> {
        if let Some((open, file)) = &self.file
            && *open == segment
        {
            return Ok(file.clone());
        }
        let file = self.core.segments.open_for_write(segment)?;
        // the segment that is left: durable before anything behind it is written
        self.sync()?;
        self.file = Some((segment, file.clone()));
        self.core.prepare_segments(segment);
        Ok(file)
    }

    fn sync(&mut self) -> Result<(), WalError> {
        if let Some((_, file)) = &self.file
            && self.dirty
        {
            file.sync_data()?;
            self.dirty = false;
        }
        self.core.positions.flush.advance(self.core.positions.write.get());
        Ok(())
    }
}
