use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// How often a waiter looks at its cancel flag, which nobody signals.
const CANCEL_POLL: Duration = Duration::from_millis(20);

/// How long a wait may take, and what ends it early.
#[derive(Debug, Clone, Copy)]
pub struct WaitLimits<'a> {
    /// When to give up; `None` waits for as long as it takes.
    pub deadline: Option<Instant>,
    /// Set by whoever wants the wait to end.
    pub cancel: &'a AtomicBool,
}

impl WaitLimits<'_> {
    /// Why a wait must end now, if it must.
    pub(crate) fn ended(&self) -> Option<Ended> {
        if self.cancel.load(Ordering::Relaxed) {
            return Some(Ended::Cancelled);
        }
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline).then_some(Ended::TimedOut)
    }

    /// When to look at the limits again.
    pub(crate) fn next_look(&self) -> Instant {
        let look = Instant::now() + CANCEL_POLL;
        self.deadline.map_or(look, |deadline| deadline.min(look))
    }
}

/// Why a wait ended without what was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    TimedOut,
    Cancelled,
}

/// The turns to write to one database: first come, first served. A turn is
/// handed from one to the next; nobody can get in between.
#[derive(Debug, Default)]
pub(crate) struct TurnQueue {
    /// Protects who holds the turn and who waits for it.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: bool,
    waiting: VecDeque<Arc<Waiter>>,
}

#[derive(Debug, Default)]
struct Waiter {
    handed: AtomicBool,
    wake: Condvar,
}

impl TurnQueue {
    /// Waits for the turn.
    pub(crate) fn take(self: &Arc<Self>, limits: &WaitLimits<'_>) -> Result<Turn, Ended> {
        let mut state = self.state.lock();
        if !state.held {
            state.held = true;
            return Ok(Turn { queue: Arc::clone(self) });
        }
        let waiter = Arc::new(Waiter::default());
        state.waiting.push_back(Arc::clone(&waiter));
        loop {
            waiter.wake.wait_until(&mut state, limits.next_look());
            if waiter.handed.load(Ordering::Relaxed) {
                return Ok(Turn { queue: Arc::clone(self) });
            }
            if let Some(ended) = limits.ended() {
                state.waiting.retain(|other| !Arc::ptr_eq(other, &waiter));
                return Err(ended);
            }
        }
    }

    /// Takes the turn if nobody has it.
    pub(crate) fn try_take(self: &Arc<Self>) -> Option<Turn> {
        let mut state = self.state.lock();
        if state.held {
            return None;
        }
        state.held = true;
        Some(Turn { queue: Arc::clone(self) })
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// Whether somebody has the turn.
    pub(crate) fn is_held(&self) -> bool {
        self.state.lock().held
    }

    fn release(&self) {
        let mut state = self.state.lock();
        match state.waiting.pop_front() {
            Some(next) => {
                next.handed.store(true, Ordering::Relaxed);
                next.wake.notify_one();
            }
            None => state.held = false,
        }
    }
}

/// The turn to write; handed on when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    queue: Arc<TurnQueue>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.queue.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static NEVER: AtomicBool = AtomicBool::new(false);
    const FOREVER: WaitLimits<'static> = WaitLimits { deadline: None, cancel: &NEVER };

    fn until(condition: impl Fn() -> bool) {
        while !condition() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn turns_are_served_in_the_order_they_were_asked_for() {
        let queue = Arc::new(TurnQueue::default());
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = queue.take(&FOREVER).unwrap();
        let threads: Vec<_> = (0..8)
            .map(|i| {
                let (queue, order) = (Arc::clone(&queue), Arc::clone(&order));
                let before = queue.waiting();
                let asked = Arc::clone(&queue);
                let thread = std::thread::spawn(move || {
                    let _turn = queue.take(&FOREVER).unwrap();
                    order.lock().push(i);
                });
                until(|| asked.waiting() > before);
                thread
            })
            .collect();
        assert!(queue.try_take().is_none());
        drop(first);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*order.lock(), (0..8).collect::<Vec<_>>());
        assert!(!queue.is_held());
    }

    #[test]
    fn a_wait_ends_at_its_deadline_and_when_cancelled() {
        let queue = Arc::new(TurnQueue::default());
        let held = queue.take(&FOREVER).unwrap();
        let soon = WaitLimits { deadline: Some(Instant::now() + Duration::from_millis(5)), cancel: &NEVER };
        assert_eq!(queue.take(&soon).unwrap_err(), Ended::TimedOut);
        let cancelled = AtomicBool::new(true);
        let limits = WaitLimits { deadline: None, cancel: &cancelled };
        assert_eq!(queue.take(&limits).unwrap_err(), Ended::Cancelled);
        assert_eq!(queue.waiting(), 0);
        drop(held);
        assert!(queue.try_take().is_some());
    }
}
