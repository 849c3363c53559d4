use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

/// The most connections that have not yet proved who they are. One that does what it
/// should takes milliseconds; whoever opens more keeps only his newest, and everybody else
/// still gets in.
pub(super) const PENDING_MAX: usize = 512;

/// The connections that are still to prove who they are, the oldest first.
#[derive(Default)]
pub(super) struct Pending {
    // protects the list and the next number; held to change or count it
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    next: u64,
    tasks: BTreeMap<u64, Option<AbortHandle>>,
}

/// One of them; dropped when it is in, or gone.
pub(super) struct PendingEntry {
    pending: Arc<Pending>,
    number: u64,
}

impl Pending {
    /// A connection has been accepted. If there are too many, the oldest is cut off.
    pub(super) fn enter(self: &Arc<Self>) -> PendingEntry {
        let mut waiting = self.waiting.lock();
        let number = waiting.next;
        waiting.next += 1;
        waiting.tasks.insert(number, None);
        let oldest = if waiting.tasks.len() > PENDING_MAX { waiting.tasks.pop_first() } else { None };
        drop(waiting);
        if let Some((_, Some(task))) = oldest {
            tracing::warn!(
                event = "connection_flood",
                max = PENDING_MAX,
                "too many connections that do not log in; the oldest was cut off"
            );
            task.abort();
        }
        PendingEntry { pending: Arc::clone(self), number }
    }

    /// Which task serves it; nothing if it is no longer pending.
    pub(super) fn served_by(&self, number: u64, task: AbortHandle) {
        if let Some(entry) = self.waiting.lock().tasks.get_mut(&number) {
            *entry = Some(task);
        }
    }
}

impl PendingEntry {
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for PendingEntry {
    fn drop(&mut self) {
        self.pending.waiting.lock().tasks.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_oldest_gives_way() {
        let pending = Arc::new(Pending::default());
        let mut tasks = Vec::new();
        for _ in 0..=PENDING_MAX {
            let entry = pending.enter();
            let number = entry.number();
            let task = tokio::spawn(async move {
                let _entry = entry;
                std::future::pending::<()>().await;
            });
            pending.served_by(number, task.abort_handle());
            tasks.push(task);
        }
        assert!(tasks.remove(0).await.unwrap_err().is_cancelled());
        assert!(tasks.iter().all(|task| !task.is_finished()));
        assert_eq!(pending.waiting.lock().tasks.len(), PENDING_MAX);
    }
}
