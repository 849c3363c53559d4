//! Slots and sender rows in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use walship_node::BackupProgress;
use walship_protocol::Awaited;
use walship_protocol::SlotName;
use walship_protocol::wire::ErrorFields;
use walship_replication::{SenderReport, SenderRow, SlotPosition, SlotStore, SlotUse};
use walship_types::Lsn;

/// Where the log begins that a slot reserves.
const RESERVED: Lsn = Lsn(16 << 20);

#[derive(Default)]
struct Slot {
    restart: Lsn,
    active: Option<i32>,
    temporary_owner: Option<i32>,
}

#[derive(Default, Clone)]
pub(crate) struct SlotTable(Arc<Mutex<BTreeMap<String, Slot>>>);

struct Use(SlotTable, String);

impl SlotStore for SlotTable {
    fn create(&self, name: &SlotName, owner: Option<i32>, reserve: bool) -> Result<(), ErrorFields> {
        let mut slots = self.0.lock().unwrap();
        if slots.contains_key(name.as_str()) {
            return Err(ErrorFields::error("42710", format!("replication slot \"{name}\" already exists")));
        }
        let slot = Slot {
            restart: if reserve { RESERVED } else { Lsn::INVALID },
            active: None,
            temporary_owner: owner,
        };
        slots.insert(name.to_string(), slot);
        Ok(())
    }

    fn remove(&self, name: &SlotName) -> Result<(), ErrorFields> {
        let mut slots = self.0.lock().unwrap();
        let slot = slots.get(name.as_str()).ok_or_else(|| missing(name))?;
        if let Some(pid) = slot.active {
            return Err(active(name, pid));
        }
        slots.remove(name.as_str());
        Ok(())
    }

    fn read(&self, name: &SlotName) -> Option<SlotPosition> {
        self.0.lock().unwrap().get(name.as_str()).map(|slot| SlotPosition { restart: slot.restart })
    }

    fn acquire(&self, name: &SlotName, pid: i32) -> Result<Box<dyn SlotUse>, ErrorFields> {
        let mut slots = self.0.lock().unwrap();
        let slot = slots.get_mut(name.as_str()).ok_or_else(|| missing(name))?;
        if let Some(pid) = slot.active {
            return Err(active(name, pid));
        }
        slot.active = Some(pid);
        Ok(Box::new(Use(self.clone(), name.to_string())))
    }

    fn drop_temporary(&self, pid: i32) {
        self.0.lock().unwrap().retain(|_, slot| slot.temporary_owner != Some(pid));
    }
}

fn missing(name: &SlotName) -> ErrorFields {
    ErrorFields::error("42704", format!("replication slot \"{name}\" does not exist"))
}

fn active(name: &SlotName, pid: i32) -> ErrorFields {
    ErrorFields::error("55006", format!("replication slot \"{name}\" is active for PID {pid}"))
}

impl SlotUse for Use {
    fn advance(&self, flushed: Lsn) {
        if let Some(slot) = self.0.0.lock().unwrap().get_mut(&self.1) {
            slot.restart = flushed;
        }
    }

    fn is_lost(&self) -> bool {
        false
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        if let Some(slot) = self.0.0.lock().unwrap().get_mut(&self.1) {
            slot.active = None;
        }
    }
}

/// The rows of all connections, by pid.
#[derive(Default, Clone)]
pub(crate) struct Rows(pub(crate) Arc<Mutex<BTreeMap<i32, SenderReport>>>);

pub(crate) struct Row(pub(crate) Rows, pub(crate) i32);

impl SenderRow for Row {
    fn update(&self, report: SenderReport) {
        self.0.0.lock().unwrap().insert(self.1, report);
    }

    fn backing_up(&self, _progress: Option<Arc<BackupProgress>>) {}

    fn awaited(&self) -> Awaited {
        Awaited::default()
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().remove(&self.1);
    }
}
