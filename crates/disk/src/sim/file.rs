use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::Rng;

use super::{SimDisk, State, error, power_is_off};
use crate::{DiskError, DiskFile, Operation};

/// What a disk writes as a whole, in bytes.
const SECTOR_BYTES: usize = 512;

/// Content of a file, under whatever names.
#[derive(Debug, Default)]
pub(super) struct Inode {
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// In order, what was done since the last sync.
    pending: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Inode {
    pub(super) fn len(&self) -> u64 {
        self.content.lock().seen.len() as u64
    }

    pub(super) fn flip_bit(&self, offset: u64, bit: u8) {
        let mut content = self.content.lock();
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let Content { seen, durable, .. } = &mut *content;
        for bytes in [seen, durable] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    /// Each sector of each write since the last sync survives with this probability.
    pub(super) fn lose_power(&self, random: &mut impl Rng, survival: f64) {
        let mut content = self.content.lock();
        let Content { seen, durable, pending } = &mut *content;
        for change in pending.drain(..) {
            match change {
                Change::Length(len) if random.random_bool(survival) => durable.resize(len, 0),
                Change::Length(_) => {}
                Change::Write { offset, bytes } => {
                    for (at, sector) in sectors(offset, &bytes) {
                        if random.random_bool(survival) {
                            put(durable, at, sector);
                        }
                    }
                }
            }
        }
        seen.clone_from(durable);
    }
}

/// The parts of a write that a disk writes as a whole, with their offsets.
fn sectors(offset: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let first = (SECTOR_BYTES - offset % SECTOR_BYTES).min(bytes.len());
    let (head, rest) = bytes.split_at(first);
    let rest_at = offset + first;
    let tail = rest.chunks(SECTOR_BYTES).enumerate();
    std::iter::once((offset, head)).chain(tail.map(move |(i, sector)| (rest_at + i * SECTOR_BYTES, sector)))
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

#[derive(Debug)]
pub(super) struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) path: PathBuf,
    pub(super) inode: Arc<Inode>,
    pub(super) life: u64,
}

impl SimFile {
    /// The state, if the file was opened since the last power loss.
    fn alive(&self, operation: Operation) -> Result<parking_lot::MutexGuard<'_, State>, DiskError> {
        let state = self.disk.state.lock();
        if state.life != self.life {
            return Err(DiskError::new(operation, &self.path, power_is_off()));
        }
        state.check_power(operation, &self.path)?;
        Ok(state)
    }

    fn resize(&self, len: u64, operation: Operation) -> Result<(), DiskError> {
        let mut state = self.alive(operation)?;
        state.change(operation, &self.path)?;
        let mut content = self.inode.content.lock();
        state.grow(len.saturating_sub(content.seen.len() as u64), operation, &self.path)?;
        let len =
            usize::try_from(len).map_err(|_| error(operation, &self.path, io::ErrorKind::FileTooLarge))?;
        content.seen.resize(len, 0);
        content.pending.push(Change::Length(len));
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, DiskError> {
        let _state = self.alive(Operation::Read)?;
        let content = self.inode.content.lock();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(content.seen.len());
        let available = &content.seen[from..];
        let n = available.len().min(buf.len());
        buf[..n].copy_from_slice(&available[..n]);
        Ok(n)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        let mut state = self.alive(Operation::Write)?;
        state.change(Operation::Write, &self.path)?;
        let mut content = self.inode.content.lock();
        let growth = (offset + bytes.len() as u64).saturating_sub(content.seen.len() as u64);
        state.grow(growth, Operation::Write, &self.path)?;
        let offset = usize::try_from(offset)
            .map_err(|_| error(Operation::Write, &self.path, io::ErrorKind::FileTooLarge))?;
        put(&mut content.seen, offset, bytes);
        content.pending.push(Change::Write { offset, bytes: bytes.to_vec() });
        Ok(())
    }

    fn sync_data(&self) -> Result<(), DiskError> {
        let mut state = self.alive(Operation::Sync)?;
        state.change(Operation::Sync, &self.path)?;
        let mut content = self.inode.content.lock();
        let Content { durable, pending, .. } = &mut *content;
        if state.sync_fails() {
            // dropped, not kept for a second try: the kernel marks the pages clean
            pending.clear();
            return Err(DiskError::new(Operation::Sync, &self.path, io::Error::from_raw_os_error(5)));
        }
        for change in pending.drain(..) {
            match change {
                Change::Length(len) => durable.resize(len, 0),
                Change::Write { offset, bytes } => put(durable, offset, &bytes),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), DiskError> {
        self.resize(len, Operation::SetLength)
    }

    fn len(&self) -> Result<u64, DiskError> {
        let _state = self.alive(Operation::Metadata)?;
        Ok(self.inode.len())
    }

    fn allocate(&self, len: u64) -> Result<(), DiskError> {
        if len > self.len()? { self.resize(len, Operation::Allocate) } else { Ok(()) }
    }

    fn map(&self) -> Result<Bytes, DiskError> {
        let _state = self.alive(Operation::Map)?;
        Ok(Bytes::copy_from_slice(&self.inode.content.lock().seen))
    }
}
