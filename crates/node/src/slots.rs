use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use walship_disk::{SharedDisk, durable_create_dir};
use walship_types::{Lsn, SystemId};

use crate::NodeError;
use crate::sealed::Kind;

const KIND: Kind = Kind { name: "slot", version: 1 };
const STATE_FILE: &str = "state";

/// Longest slot name in bytes, as PostgreSQL's NAMEDATALEN - 1.
const NAME_LENGTH_MAX: usize = 63;

/// A refused slot operation; SQLSTATEs as PostgreSQL's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// 42602.
    #[error("replication slot name \"{0}\" is invalid")]
    InvalidName(String),
    /// 42710.
    #[error("replication slot \"{0}\" already exists")]
    Exists(String),
    /// 42704.
    #[error("replication slot \"{0}\" does not exist")]
    DoesNotExist(String),
    /// 55006.
    #[error("replication slot \"{name}\" is active for PID {pid}")]
    Active {
        /// The slot.
        name: String,
        /// The session that streams from it.
        pid: i32,
    },
    /// 53400.
    #[error("all replication slots are in use")]
    AllInUse {
        /// `max_replication_slots`.
        max: usize,
    },
    /// 55000.
    #[error("replication slot \"{name}\" has lost its WAL: it needed {restart_lsn}")]
    Lost {
        /// The slot.
        name: String,
        /// What it needed.
        restart_lsn: Lsn,
    },
}

impl SlotError {
    /// PostgreSQL's code for it.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            SlotError::InvalidName(_) => "42602",
            SlotError::Exists(_) => "42710",
            SlotError::DoesNotExist(_) => "42704",
            SlotError::Active { .. } => "55006",
            SlotError::AllInUse { .. } => "53400",
            SlotError::Lost { .. } => "55000",
        }
    }

    /// Advice, if there is any.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            SlotError::InvalidName(_) => Some(
                "replication slot names may only contain lower case letters, numbers, and the underscore character, \
                 1 to 63 of them",
            ),
            SlotError::AllInUse { .. } => Some("free one or increase max_replication_slots"),
            SlotError::Lost { .. } => Some(
                "the follower needs a new base backup, or the missing segments from an archive; \
                 a larger max_slot_wal_keep_size keeps the log for longer",
            ),
            _ => None,
        }
    }
}

/// What a slot keeps, on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Durable {
    restart_lsn: Lsn,
    lost: bool,
}

/// One slot, as views show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotInfo {
    /// Unique on the node.
    pub name: String,
    /// Gone when the session that made it ends.
    pub temporary: bool,
    /// The session that streams from it now.
    pub active_pid: Option<i32>,
    /// The oldest position that its follower still needs; invalid until it reserved any.
    pub restart_lsn: Lsn,
    /// Whether log that it needed was removed.
    pub lost: bool,
}

#[derive(Debug)]
struct Slot {
    info: SlotInfo,
    /// What the state file says.
    saved: Option<Durable>,
}

/// The node's replication slots: what followers still need of the log, kept
/// across restarts. A position on disk may be older than the one in memory, never
/// newer: then more log is kept, not less.
#[derive(Debug)]
pub struct Slots {
    disk: SharedDisk,
    directory: PathBuf,
    system_id: SystemId,
    // protects the map; files are written outside of it, under `writing`
    slots: Mutex<BTreeMap<String, Slot>>,
    // orders writers of state files
    writing: Mutex<()>,
}

/// Checks a slot name as PostgreSQL does: 1 to 63 of `a-z 0-9 _`.
pub fn check_slot_name(name: &str) -> Result<(), SlotError> {
    let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if (1..=NAME_LENGTH_MAX).contains(&name.len()) && name.bytes().all(valid) {
        Ok(())
    } else {
        Err(SlotError::InvalidName(name.to_owned()))
    }
}

/// The slot name for a follower called `name`: the nearest valid one.
pub fn slot_name_for(name: &str) -> String {
    let fold = |c: char| match c.to_ascii_lowercase() {
        c @ ('a'..='z' | '0'..='9' | '_') => c,
        _ => '_',
    };
    let folded: String = name.chars().map(fold).take(NAME_LENGTH_MAX).collect();
    if folded.is_empty() { "walreceiver".to_owned() } else { folded }
}

impl Slots {
    /// Reads the slots that an earlier process left.
    pub fn load(disk: SharedDisk, directory: PathBuf, system_id: SystemId) -> Result<Slots, NodeError> {
        let mut slots = BTreeMap::new();
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => Some(entries),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => return Err(NodeError::io("read directory", &directory, error)),
        };
        for entry in entries.into_iter().flatten() {
            let entry = entry.map_err(|e| NodeError::io("read directory", &directory, e))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let state = entry.path().join(STATE_FILE);
            if check_slot_name(&name).is_err() || !state.exists() {
                // a creation or removal that a crash cut short
                remove_folder(&entry.path())?;
                continue;
            }
            let (found, durable): (_, Durable) = KIND.read(&state)?;
            if found != system_id {
                return Err(NodeError::WrongSystem { path: state, expected: system_id, found });
            }
            let info = SlotInfo {
                name: name.clone(),
                temporary: false,
                active_pid: None,
                restart_lsn: durable.restart_lsn,
                lost: durable.lost,
            };
            slots.insert(name, Slot { info, saved: Some(durable) });
        }
        Ok(Slots { disk, directory, system_id, slots: Mutex::new(slots), writing: Mutex::new(()) })
    }

    /// Makes a slot. `reserve` reserves the log from the redo point that it returns; without
    /// it nothing is reserved yet. Returns what is reserved. A temporary slot belongs to the
    /// session `owner` until [`Slots::drop_temporary`].
    pub fn create(
        &self,
        name: &str,
        temporary_owner: Option<i32>,
        reserve: Option<&dyn Fn() -> Lsn>,
        max: usize,
    ) -> Result<Lsn, NodeError> {
        check_slot_name(name)?;
        let restart_lsn = reserve.map_or(Lsn::INVALID, |redo| redo());
        {
            let mut slots = self.slots.lock();
            if slots.contains_key(name) {
                return Err(SlotError::Exists(name.to_owned()).into());
            }
            if slots.len() >= max {
                return Err(SlotError::AllInUse { max }.into());
            }
            let info = SlotInfo {
                name: name.to_owned(),
                temporary: temporary_owner.is_some(),
                active_pid: temporary_owner,
                restart_lsn,
                lost: false,
            };
            slots.insert(name.to_owned(), Slot { info, saved: None });
        }
        // a checkpoint that did not see the slot yet may have let go of log before its own redo
        // point, which is this one or an older one; those that come see the slot
        let restart_lsn = reserve.map_or(restart_lsn, |redo| redo());
        if let Some(slot) = self.slots.lock().get_mut(name) {
            slot.info.restart_lsn = slot.info.restart_lsn.max(restart_lsn);
        }
        if temporary_owner.is_none()
            && let Err(error) = self.save(name)
        {
            self.slots.lock().remove(name);
            return Err(error);
        }
        Ok(restart_lsn)
    }

    /// Removes a slot that nobody streams from.
    pub fn drop_slot(&self, name: &str) -> Result<(), NodeError> {
        // a slot of the same name that is made meanwhile writes its file after this
        let _writing = self.writing.lock();
        {
            let mut slots = self.slots.lock();
            let slot = slots.get(name).ok_or_else(|| SlotError::DoesNotExist(name.to_owned()))?;
            if let Some(pid) = slot.info.active_pid {
                return Err(SlotError::Active { name: name.to_owned(), pid }.into());
            }
            slots.remove(name);
        }
        remove_folder(&self.directory.join(name))?;
        // a slot that came back after a power cut would hold back log for nobody
        Ok(self.disk.sync_dir(&self.directory)?)
    }

    /// Removes the temporary slots of a session that ends.
    pub fn drop_temporary(&self, owner: i32) {
        self.slots.lock().retain(|_, slot| !(slot.info.temporary && slot.info.active_pid == Some(owner)));
    }

    /// One slot.
    pub fn get(&self, name: &str) -> Option<SlotInfo> {
        self.slots.lock().get(name).map(|slot| slot.info.clone())
    }

    /// All slots, by name.
    pub fn list(&self) -> Vec<SlotInfo> {
        self.slots.lock().values().map(|slot| slot.info.clone()).collect()
    }

    /// Takes a slot for the session `pid`, until the guard is dropped.
    pub fn acquire(self: &Arc<Self>, name: &str, pid: i32) -> Result<SlotGuard, SlotError> {
        let mut slots = self.slots.lock();
        let slot = slots.get_mut(name).ok_or_else(|| SlotError::DoesNotExist(name.to_owned()))?;
        if slot.info.lost {
            let restart_lsn = slot.info.restart_lsn;
            return Err(SlotError::Lost { name: name.to_owned(), restart_lsn });
        }
        match slot.info.active_pid {
            Some(other) if !(slot.info.temporary && other == pid) => {
                Err(SlotError::Active { name: name.to_owned(), pid: other })
            }
            _ => {
                slot.info.active_pid = Some(pid);
                Ok(SlotGuard { slots: Arc::clone(self), name: name.to_owned() })
            }
        }
    }

    /// The oldest position that any slot still needs; `None` if none needs any.
    pub fn oldest_restart_lsn(&self) -> Option<Lsn> {
        let slots = self.slots.lock();
        let needed = slots.values().filter(|s| !s.info.lost && s.info.restart_lsn.is_valid());
        needed.map(|s| s.info.restart_lsn).min()
    }

    /// Marks the slots lost that need log before `keep_from`, and returns them;
    /// called before that log is removed.
    pub fn invalidate_before(&self, keep_from: Lsn) -> Result<Vec<SlotInfo>, NodeError> {
        let mut lost = Vec::new();
        for slot in self.slots.lock().values_mut() {
            let info = &mut slot.info;
            if !info.lost && info.restart_lsn.is_valid() && info.restart_lsn < keep_from {
                info.lost = true;
                lost.push(info.clone());
            }
        }
        for slot in lost.iter().filter(|s| !s.temporary) {
            self.save(&slot.name)?;
        }
        Ok(lost)
    }

    /// Writes the state files of slots that moved; part of every checkpoint.
    pub fn save_all(&self) -> Result<(), NodeError> {
        let names: Vec<String> =
            self.slots.lock().values().filter(|s| !s.info.temporary).map(|s| s.info.name.clone()).collect();
        names.iter().try_for_each(|name| self.save(name))
    }

    fn save(&self, name: &str) -> Result<(), NodeError> {
        let _writing = self.writing.lock();
        let durable = {
            let slots = self.slots.lock();
            let Some(slot) = slots.get(name) else { return Ok(()) };
            let durable = Durable { restart_lsn: slot.info.restart_lsn, lost: slot.info.lost };
            if slot.saved.as_ref() == Some(&durable) {
                return Ok(());
            }
            durable
        };
        let folder = self.directory.join(name);
        if !folder.exists() {
            durable_create_dir(&*self.disk, &folder)?;
        }
        KIND.write(&self.disk, &folder.join(STATE_FILE), self.system_id, &durable)?;
        if let Some(slot) = self.slots.lock().get_mut(name) {
            slot.saved = Some(durable);
        }
        Ok(())
    }
}

fn remove_folder(folder: &Path) -> Result<(), NodeError> {
    match fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(NodeError::io("remove directory", folder, error)),
    }
}

/// A slot in use; dropping it makes the slot inactive.
#[derive(Debug)]
pub struct SlotGuard {
    slots: Arc<Slots>,
    name: String,
}

impl SlotGuard {
    /// The slot's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Notes that the follower has everything before `flushed`. PostgreSQL takes
    /// any valid reported position, also an older one; so does this.
    pub fn advance(&self, flushed: Lsn) {
        if flushed.is_valid()
            && let Some(slot) = self.slots.slots.lock().get_mut(&self.name)
        {
            slot.info.restart_lsn = flushed;
        }
    }

    /// The oldest position that the slot still needs.
    pub fn restart_lsn(&self) -> Lsn {
        self.slots.get(&self.name).map_or(Lsn::INVALID, |info| info.restart_lsn)
    }

    /// Whether log that it needed was removed meanwhile.
    pub fn is_lost(&self) -> bool {
        self.slots.get(&self.name).is_none_or(|info| info.lost)
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        if let Some(slot) = self.slots.slots.lock().get_mut(&self.name)
            && !slot.info.temporary
        {
            slot.info.active_pid = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(dir: &Path) -> Arc<Slots> {
        let disk: SharedDisk = Arc::new(walship_disk::RealDisk::new());
        Arc::new(Slots::load(disk, dir.to_owned(), SystemId(7)).unwrap())
    }

    #[test]
    fn permanent_slots_survive_a_restart_and_temporary_ones_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let first = slots(dir.path());
        first.create("kept", None, Some(&|| Lsn(100)), 10).unwrap();
        first.create("gone", Some(5), Some(&|| Lsn(50)), 10).unwrap();
        first.acquire("kept", 9).unwrap().advance(Lsn(200));
        first.save_all().unwrap();
        let second = slots(dir.path());
        let names: Vec<_> =
            second.list().into_iter().map(|s| (s.name, s.restart_lsn, s.active_pid)).collect();
        assert_eq!(names, [("kept".to_owned(), Lsn(200), None)]);
    }

    #[test]
    fn a_slot_has_one_user_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let slots = slots(dir.path());
        slots.create("s", None, None, 1).unwrap();
        let guard = slots.acquire("s", 1).unwrap();
        assert_eq!(slots.acquire("s", 2).unwrap_err(), SlotError::Active { name: "s".to_owned(), pid: 1 });
        assert!(matches!(slots.drop_slot("s"), Err(NodeError::Slot(SlotError::Active { .. }))));
        drop(guard);
        slots.acquire("s", 2).unwrap();
        assert!(matches!(
            slots.create("t", None, None, 1),
            Err(NodeError::Slot(SlotError::AllInUse { max: 1 }))
        ));
        slots.drop_slot("s").unwrap();
        assert_eq!(slots.acquire("s", 3).unwrap_err(), SlotError::DoesNotExist("s".to_owned()));
    }

    #[test]
    fn a_slot_that_lost_its_log_stays_lost() {
        let dir = tempfile::tempdir().unwrap();
        let first = slots(dir.path());
        first.create("old", None, Some(&|| Lsn(10)), 10).unwrap();
        first.create("new", None, Some(&|| Lsn(30)), 10).unwrap();
        assert_eq!(first.oldest_restart_lsn(), Some(Lsn(10)));
        let lost = first.invalidate_before(Lsn(20)).unwrap();
        assert_eq!(lost.len(), 1);
        let second = slots(dir.path());
        assert!(matches!(second.acquire("old", 1), Err(SlotError::Lost { .. })));
        assert_eq!(second.oldest_restart_lsn(), Some(Lsn(30)));
    }

    #[test]
    fn a_checkpoint_beside_the_creation_takes_nothing_that_is_reserved() {
        let dir = tempfile::tempdir().unwrap();
        let slots = slots(dir.path());
        // sets a redo point and lets go of the log before it, as long as it sees no slot
        let checkpoint = || slots.oldest_restart_lsn().map_or(Lsn(200), |needed| needed.min(Lsn(200)));
        let kept_from = std::cell::Cell::new(Lsn(100));
        let redo = || {
            let before = kept_from.get();
            kept_from.set(checkpoint());
            if slots.list().is_empty() { before } else { Lsn(200) }
        };
        let reserved = slots.create("s", None, Some(&redo), 1).unwrap();
        assert!(reserved >= kept_from.get(), "{reserved} is reserved, {} is kept", kept_from.get());
        assert_eq!(slots.oldest_restart_lsn(), Some(reserved));
    }

    #[test]
    fn a_slot_of_the_same_name_is_not_dropped_with_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let slots = slots(dir.path());
        for _ in 0..60 {
            slots.create("s", None, None, 1).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| slots.drop_slot("s").unwrap());
                while slots.create("s", None, None, 1).is_err() {
                    std::thread::yield_now();
                }
            });
            assert!(dir.path().join("s").join(STATE_FILE).exists());
            slots.drop_slot("s").unwrap();
        }
    }

    #[test]
    fn names_are_postgresqls() {
        for bad in ["", "A", "a-b", "a b", "é", &"x".repeat(64)] {
            assert!(check_slot_name(bad).is_err(), "{bad}");
        }
        assert_eq!(slot_name_for("My-Follower 1"), "my_follower_1");
        check_slot_name(&slot_name_for("Ü")).unwrap();
    }
}
