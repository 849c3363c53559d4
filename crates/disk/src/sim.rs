//! A disk in memory that loses, at power loss, what was not synced.

mod file;
mod names;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::{Disk, DiskError, DiskFile, Metadata, OpenMode, Operation};
use file::{Inode, SimFile};
use names::{Entry, Names};

/// What goes wrong from now on; the default is nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct SimFaults {
    /// Bytes that files may still grow by; then `ENOSPC`. `None` is no limit.
    pub room_bytes: Option<u64>,
    /// This many syncs of files succeed, the next one fails with `EIO`, and those after
    /// it succeed again: what the failed one covered is lost all the same, as on Linux.
    pub syncs_before_failure: Option<u64>,
    /// This many changes (writes, syncs, names) succeed; then the power is off and
    /// every call fails until [`SimDisk::power_loss`].
    pub changes_before_power_off: Option<u64>,
}

/// A file system in memory. What was written but not synced survives
/// [`SimDisk::power_loss`] by chance, sector by sector (so writes are lost, torn and
/// reordered); names that were not synced survive as a prefix of what was done, as on
/// a journaling file system. The seed decides, so that a run can be repeated.
#[derive(Debug, Clone)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    names: Names,
    faults: SimFaults,
    random: StdRng,
    /// Counts power losses: a file that was opened before one is of no use after it.
    life: u64,
    powered: bool,
    changes: u64,
}

impl SimDisk {
    /// An empty disk with a root directory, `/`.
    pub fn new(seed: u64) -> SimDisk {
        let state = State {
            names: Names::new(),
            faults: SimFaults::default(),
            random: StdRng::seed_from_u64(seed),
            life: 0,
            powered: true,
            changes: 0,
        };
        SimDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// Changes what goes wrong from now on.
    pub fn set_faults(&self, faults: SimFaults) {
        self.state.lock().faults = faults;
    }

    /// Writes, syncs and changes of names so far.
    pub fn changes(&self) -> u64 {
        self.state.lock().changes
    }

    /// The power fails and comes back: open files are dead, what was not synced is there
    /// or not, and faults are gone.
    pub fn power_loss(&self) {
        let mut state = self.state.lock();
        let State { names, random, .. } = &mut *state;
        names.lose_power(random);
        // how much survives differs from one power loss to the next: nothing, all, some
        let survival = [0.0, 0.2, 0.5, 0.9, 1.0][random.random_range(0..5)];
        for inode in names.inodes() {
            inode.lose_power(random, survival);
        }
        state.life += 1;
        state.powered = true;
        state.faults = SimFaults::default();
    }

    /// Flips one bit of a file, behind everybody's back.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> Result<(), DiskError> {
        let state = self.state.lock();
        state.file(path, Operation::Write)?.flip_bit(offset, bit);
        Ok(())
    }
}

impl State {
    fn file(&self, path: &Path, operation: Operation) -> Result<Arc<Inode>, DiskError> {
        match self.names.get(path) {
            Some(Entry::File(inode)) => Ok(inode.clone()),
            Some(Entry::Directory) => Err(error(operation, path, io::ErrorKind::IsADirectory)),
            None => Err(error(operation, path, io::ErrorKind::NotFound)),
        }
    }

    fn parent_exists(&self, path: &Path, operation: Operation) -> Result<(), DiskError> {
        match path.parent().map(|p| self.names.get(p)) {
            Some(Some(Entry::Directory)) => Ok(()),
            _ => Err(error(operation, path, io::ErrorKind::NotFound)),
        }
    }

    fn check_power(&self, operation: Operation, path: &Path) -> Result<(), DiskError> {
        if self.powered { Ok(()) } else { Err(DiskError::new(operation, path, power_is_off())) }
    }

    /// Every change comes through here; it is where the power goes off.
    fn change(&mut self, operation: Operation, path: &Path) -> Result<(), DiskError> {
        if let Some(left) = &mut self.faults.changes_before_power_off {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => self.powered = false,
            }
        }
        self.check_power(operation, path)?;
        self.changes += 1;
        Ok(())
    }

    /// Takes room for a file that grows by `bytes`.
    fn grow(&mut self, bytes: u64, operation: Operation, path: &Path) -> Result<(), DiskError> {
        if let Some(room) = &mut self.faults.room_bytes {
            match room.checked_sub(bytes) {
                Some(left) => *room = left,
                None => return Err(error(operation, path, io::ErrorKind::StorageFull)),
            }
        }
        Ok(())
    }

    /// Whether this sync is the one that fails.
    fn sync_fails(&mut self) -> bool {
        match &mut self.faults.syncs_before_failure {
            Some(0) => {
                self.faults.syncs_before_failure = None;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }
}

fn error(operation: Operation, path: &Path, kind: io::ErrorKind) -> DiskError {
    DiskError::new(operation, path, kind.into())
}

fn power_is_off() -> io::Error {
    io::Error::other("the simulated disk has no power")
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, _mode: OpenMode) -> Result<Arc<dyn DiskFile>, DiskError> {
        let state = self.state.lock();
        state.check_power(Operation::Open, path)?;
        let inode = state.file(path, Operation::Open)?;
        Ok(Arc::new(SimFile { disk: self.clone(), path: path.to_owned(), inode, life: state.life }))
    }

    fn create_new(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        let mut state = self.state.lock();
        state.change(Operation::Create, path)?;
        state.parent_exists(path, Operation::Create)?;
        if state.names.get(path).is_some() {
            return Err(error(Operation::Create, path, io::ErrorKind::AlreadyExists));
        }
        let inode = Arc::new(Inode::default());
        state.names.link(path, Entry::File(inode.clone()));
        Ok(Arc::new(SimFile { disk: self.clone(), path: path.to_owned(), inode, life: state.life }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        state.change(Operation::Rename, from)?;
        state.parent_exists(to, Operation::Rename)?;
        let inode = state.file(from, Operation::Rename)?;
        state.names.rename(from, to, Entry::File(inode));
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        state.change(Operation::Remove, path)?;
        let inode = state.file(path, Operation::Remove)?;
        if let Some(room) = &mut state.faults.room_bytes {
            *room += inode.len();
        }
        state.names.unlink(path);
        Ok(())
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError> {
        let state = self.state.lock();
        state.check_power(Operation::List, dir)?;
        match state.names.get(dir) {
            Some(Entry::Directory) => Ok(state.names.children(dir)),
            Some(Entry::File(_)) => Err(error(Operation::List, dir, io::ErrorKind::NotADirectory)),
            None => Err(error(Operation::List, dir, io::ErrorKind::NotFound)),
        }
    }

    fn create_dir(&self, path: &Path) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        state.change(Operation::CreateDirectory, path)?;
        state.parent_exists(path, Operation::CreateDirectory)?;
        if state.names.get(path).is_some() {
            return Err(error(Operation::CreateDirectory, path, io::ErrorKind::AlreadyExists));
        }
        state.names.link(path, Entry::Directory);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        state.change(Operation::SyncDirectory, dir)?;
        state.names.sync(dir);
        Ok(())
    }

    fn metadata(&self, path: &Path) -> Result<Option<Metadata>, DiskError> {
        let state = self.state.lock();
        state.check_power(Operation::Metadata, path)?;
        Ok(state.names.get(path).map(|entry| match entry {
            Entry::File(inode) => Metadata { len: inode.len(), is_dir: false },
            Entry::Directory => Metadata { len: 0, is_dir: true },
        }))
    }
}

impl SimDisk {
    /// All files, with their lengths in bytes.
    pub fn files(&self) -> Vec<(PathBuf, u64)> {
        self.state.lock().names.files()
    }
}
