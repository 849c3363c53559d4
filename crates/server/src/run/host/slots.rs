use std::sync::Arc;

use walship_node::{NodeError, SlotGuard};
use walship_protocol::SlotName;
use walship_protocol::wire::ErrorFields;
use walship_replication::{SlotPosition, SlotStore, SlotUse};
use walship_settings::Typed as _;
use walship_types::Lsn;

use crate::run::Node;

impl SlotStore for Node {
    fn create(
        &self,
        name: &SlotName,
        temporary_owner: Option<i32>,
        reserve: bool,
    ) -> Result<(), ErrorFields> {
        let max = self.settings().count("max_replication_slots");
        let redo = || self.control.get().redo;
        let reserve = reserve.then_some(&redo as &dyn Fn() -> Lsn);
        self.slots.create(name.as_str(), temporary_owner, reserve, max).map_err(|e| node_error(&e))?;
        Ok(())
    }

    fn remove(&self, name: &SlotName) -> Result<(), ErrorFields> {
        self.slots.drop_slot(name.as_str()).map_err(|e| node_error(&e))
    }

    fn read(&self, name: &SlotName) -> Option<SlotPosition> {
        self.slots.get(name.as_str()).map(|slot| SlotPosition { restart: slot.restart_lsn })
    }

    fn acquire(&self, name: &SlotName, pid: i32) -> Result<Box<dyn SlotUse>, ErrorFields> {
        let guard = self.slots.acquire(name.as_str(), pid).map_err(|e| node_error(&e.into()))?;
        Ok(Box::new(InUse(guard)))
    }

    fn drop_temporary(&self, pid: i32) {
        self.slots.drop_temporary(pid);
    }
}

/// A slot, for as long as a sender uses it.
struct InUse(SlotGuard);

impl SlotUse for InUse {
    fn advance(&self, flushed: Lsn) {
        self.0.advance(flushed);
    }

    fn is_lost(&self) -> bool {
        self.0.is_lost()
    }
}

/// The node's errors as a replication client is told them.
pub(super) fn node_error(error: &NodeError) -> ErrorFields {
    match error {
        NodeError::Slot(slot) => {
            let fields = ErrorFields::error(slot.sqlstate(), slot.to_string());
            match slot.hint() {
                Some(hint) => fields.with_hint(hint),
                None => fields,
            }
        }
        NodeError::Disk(disk) if disk.is_no_space() => ErrorFields::error("53100", error.to_string()),
        _ => ErrorFields::error("XX000", error.to_string()),
    }
}

/// Keeps an `Arc` usable where the trait wants a reference.
pub(super) fn slot_store(node: &Arc<Node>) -> &dyn SlotStore {
    &**node
}
