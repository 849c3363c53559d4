use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use walship_disk::{DiskError, DiskFile, OpenMode, durable_rename, temporary_path};
use walship_types::{Lsn, SegmentNo, SegmentSize, TimelineId, parse_segment_file_name, segment_file_name};

use crate::{WalConfig, WalError};

/// Bytes that are written at once when a segment is zeroed.
const ZERO_BLOCK_BYTES: usize = 256 << 10;

/// The segment files of one timeline that is being written: made ahead, recycled, removed.
#[derive(Debug)]
pub(crate) struct SegmentFiles {
    /// Protects the history, which a follower may change.
    config: RwLock<Arc<WalConfig>>,
    /// Taken, over I/O, by those alone who make, rename or remove files. Nobody who
    /// appends or writes to a segment that is there takes it.
    making: Mutex<()>,
    /// Number of the oldest segment that may be read. Raised before a file goes.
    oldest: AtomicU64,
    /// Number of the first segment that does not exist yet, for a look without the lock.
    ready_until: AtomicU64,
}

impl SegmentFiles {
    /// Looks at what there is. `end` is the end of the log: what is in files behind it
    /// does not matter, only that they are there.
    pub(crate) fn open(config: &WalConfig, end: Lsn) -> Result<SegmentFiles, WalError> {
        let files = list_segments(config)?;
        let current = config.segment_size.segment_of(end);
        let on_history = |segment: SegmentNo, timeline| config.file_timeline(segment) == timeline;
        let exists = |n: SegmentNo| files.iter().any(|&(timeline, s)| s == n && on_history(s, timeline));
        let mut until = current;
        while exists(until) {
            until = until.next();
        }
        // what lies behind a gap cannot be read on from
        let mut oldest = current;
        while oldest.0 > 0 && exists(SegmentNo(oldest.0 - 1)) {
            oldest = SegmentNo(oldest.0 - 1);
        }
        Ok(SegmentFiles {
            config: RwLock::new(Arc::new(config.clone())),
            making: Mutex::new(()),
            oldest: AtomicU64::new(oldest.0),
            ready_until: AtomicU64::new(until.0),
        })
    }

    fn config(&self) -> Arc<WalConfig> {
        self.config.read().clone()
    }

    /// Number of the oldest segment that may be read.
    pub(crate) fn oldest(&self) -> SegmentNo {
        SegmentNo(self.oldest.load(Ordering::SeqCst))
    }

    /// Number of the first segment that does not exist yet.
    pub(crate) fn ready_until(&self) -> SegmentNo {
        SegmentNo(self.ready_until.load(Ordering::SeqCst))
    }

    /// Makes sure that all segments before `until` exist.
    pub(crate) fn make_ready(&self, until: SegmentNo) -> Result<(), WalError> {
        while self.ready_until() < until {
            let _making = self.making.lock();
            // somebody else may have made it while this one waited for the lock
            let next = self.ready_until();
            if next < until {
                create_segment(&self.config(), next)?;
                self.ready_until.store(next.next().0, Ordering::SeqCst);
            }
        }
        Ok(())
    }

    /// Opens a segment for writing, after making it if need be.
    pub(crate) fn open_for_write(&self, segment: SegmentNo) -> Result<Arc<dyn DiskFile>, WalError> {
        self.make_ready(segment.next())?;
        let config = self.config();
        Ok(config.disk().open(&config.file_path(segment), OpenMode::ReadWrite)?)
    }

    /// Goes over to another history; the log ends at `end`.
    pub(crate) fn switch_history(&self, config: &WalConfig, end: Lsn) -> Result<(), WalError> {
        let _making = self.making.lock();
        let fresh = SegmentFiles::open(config, end)?;
        self.ready_until.store(fresh.ready_until().0, Ordering::SeqCst);
        *self.config.write() = Arc::new(config.clone());
        Ok(())
    }

    /// Gives up all segments that end at or before `lsn`: some become future segments
    /// (their old content is recognised by its positions), the others are removed.
    /// Returns how many there were.
    pub(crate) fn recycle_before(&self, lsn: Lsn, flushed: Lsn) -> Result<usize, WalError> {
        let _making = self.making.lock();
        let config = self.config();
        let size = config.segment_size;
        // the segment of the last flushed byte stays even if the log ends with it: it says
        // what the next record follows
        let last_flushed = Lsn(flushed.0.saturating_sub(1));
        let keep_from = size.segment_of(lsn.min(last_flushed));
        // first the readers: one that copies from a file asks this again afterwards
        self.oldest.fetch_max(keep_from.0, Ordering::SeqCst);
        let current = size.segment_of(flushed);
        let mut gone = 0;
        for (timeline, segment) in list_segments(&config)? {
            if segment >= keep_from {
                continue;
            }
            let path = config.dir().join(segment_file_name(timeline, segment, size));
            let next = self.ready_until();
            let room = next.0.saturating_sub(current.0 + 1) < config.recycled_segments_max;
            if room && is_full_size(&config, &path)? {
                // no sync of the content: whatever of it is on disk carries old positions
                config.disk().rename(&path, &config.file_path(next))?;
                self.ready_until.store(next.next().0, Ordering::SeqCst);
            } else {
                config.disk().remove(&path)?;
            }
            gone += 1;
        }
        if gone > 0 {
            config.disk().sync_dir(config.dir())?;
        }
        Ok(gone)
    }
}

fn is_full_size(config: &WalConfig, path: &Path) -> Result<bool, DiskError> {
    let found = config.disk().metadata(path)?;
    Ok(found.is_some_and(|m| m.len == config.segment_size.bytes()))
}

/// All segment files in the directory, of whatever timeline, sorted by timeline and number.
pub(crate) fn list_segments(config: &WalConfig) -> Result<Vec<(TimelineId, SegmentNo)>, DiskError> {
    let names = config.disk().list(config.dir())?;
    let parse = |name: &String| parse_segment_file_name(name, config.segment_size);
    Ok(names.iter().filter_map(parse).collect())
}

/// Makes a segment: full-size and zeroed, so that appending to it changes neither its
/// length nor its blocks and fdatasync has no metadata to write; under a temporary name
/// until it is complete, so that a crash leaves no short one.
fn create_segment(config: &WalConfig, segment: SegmentNo) -> Result<(), WalError> {
    let path = config.file_path(segment);
    if config.disk().metadata(&path)?.is_some() {
        return Ok(());
    }
    write_segment(config, &path, &[])
}

/// Writes a segment file that begins with `content` and goes on with zeroes.
pub(crate) fn write_segment(config: &WalConfig, path: &Path, content: &[u8]) -> Result<(), WalError> {
    let temporary = temporary_path(path);
    if config.disk().metadata(&temporary)?.is_some() {
        config.disk().remove(&temporary)?;
    }
    let size = config.segment_size;
    fill(config, &temporary, content).and_then(|()| durable_rename(config.disk(), &temporary, path)).map_err(
        |error| {
            // what could be written takes up room that others may need
            let _ = config.disk().remove(&temporary);
            no_space_or(error, size.bytes())
        },
    )
}

fn fill(config: &WalConfig, temporary: &Path, content: &[u8]) -> Result<(), DiskError> {
    let file = config.disk().create_new(temporary)?;
    file.write_all_at(content, 0)?;
    zero_range(&*file, content.len() as u64, config.segment_size)
}

/// Writes zeroes from `from` to the end of the segment.
pub(crate) fn zero_range(file: &dyn DiskFile, from: u64, size: SegmentSize) -> Result<(), DiskError> {
    let zeroes = vec![0; ZERO_BLOCK_BYTES];
    let mut offset = from;
    while offset < size.bytes() {
        let n = (size.bytes() - offset).min(zeroes.len() as u64);
        file.write_all_at(&zeroes[..n as usize], offset)?;
        offset += n;
    }
    Ok(())
}

pub(crate) fn no_space_or(error: DiskError, needed: u64) -> WalError {
    if error.is_no_space() { WalError::NoSpace { needed, source: error } } else { error.into() }
}
