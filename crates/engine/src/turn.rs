use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use walship_types::Lsn;
use walship_wal::{PositionWatch, WalWriter};

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

/// Work that wants the turn. It may keep the turn that it is given; what it returns
/// says when its thread wants to go on.
pub(crate) type Work<'a> = dyn FnMut(Turn) -> Resume + Send + 'a;

/// When a thread whose work was done for it wants to go on.
#[derive(Debug)]
pub(crate) enum Resume {
    /// At once.
    Now,
    /// When the log is flushed up to there, or rather when `last` is there, which comes
    /// after that: it would only wait for that next.
    Reached { lsn: Lsn, writer: Arc<WalWriter>, last: Option<Arc<PositionWatch>> },
}

/// How many times in a row the one who gives up the turn does the work of those who
/// wait, before it hands the turn on: its own client waits meanwhile.
const SERVED_MAX: usize = 16;

/// The turns to write to one database: first come, first served. A turn is handed from
/// one to the next; nobody can get in between.
///
/// Who gives up the turn does the work of those who wait for it, where they left it
/// here, instead of waking them: on a machine with more sessions than cores, a change of
/// threads for every commit takes longer than the commits.
#[derive(Debug, Default)]
pub(crate) struct TurnQueue {
    /// Protects who holds the turn and who waits for it. Not held over work.
    state: Mutex<State>,
    /// Number of the session whose turn it is, for views; 0 if none of the sessions has it.
    holder: AtomicI32,
}

#[derive(Debug, Default)]
struct State {
    held: bool,
    waiting: VecDeque<Arc<Waiter>>,
    /// Work is being done for somebody, who has been lent the turn.
    lends: bool,
    /// The turn that was lent was given back.
    returned: bool,
}

#[derive(Debug)]
struct Waiter {
    thread: Thread,
    /// Changes under the queue's lock.
    phase: AtomicU8,
    work: Option<LeftWork>,
}

/// Still in the queue.
const WAITS: u8 = 0;
/// Somebody does the work, or did: it cannot be taken back.
const SERVED: u8 = 1;
/// The work was done.
const DONE: u8 = 2;
/// The work was done, and panicked.
const PANICKED: u8 = 3;
/// The turn is the waiter's.
const HANDED: u8 = 4;

/// Work on another thread's stack.
struct LeftWork(NonNull<Work<'static>>);

// SAFETY: the work itself is Send; its thread stays in `TurnQueue::run` for as long as
// anybody can reach it, which is while the phase is WAITS or SERVED.
unsafe impl Send for LeftWork {}
// SAFETY: only who takes the waiter out of the queue uses it, while its thread waits.
unsafe impl Sync for LeftWork {}

impl std::fmt::Debug for LeftWork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LeftWork")
    }
}

impl Waiter {
    fn new(work: Option<LeftWork>) -> Arc<Waiter> {
        Arc::new(Waiter { thread: std::thread::current(), phase: AtomicU8::new(WAITS), work })
    }

    fn phase(&self) -> u8 {
        self.phase.load(Ordering::Acquire)
    }

    fn go_on(&self, phase: u8) {
        self.phase.store(phase, Ordering::Release);
        self.thread.unpark();
    }
}

impl TurnQueue {
    /// Waits for the turn.
    pub(crate) fn take(self: &Arc<Self>, limits: &WaitLimits<'_>) -> Result<Turn, Ended> {
        let mut state = self.state.lock();
        if !state.held {
            state.held = true;
        } else {
            let waiter = Waiter::new(None);
            state.waiting.push_back(Arc::clone(&waiter));
            drop(state);
            self.wait(&waiter, limits)?;
        }
        Ok(Turn { queue: Arc::clone(self), serves: false, lent: false })
    }

    /// Has `work` done with the turn when it comes: here, or on the thread of whoever
    /// gives the turn up. An error means that it was not begun.
    pub(crate) fn run(self: &Arc<Self>, limits: &WaitLimits<'_>, work: &mut Work<'_>) -> Result<(), Ended> {
        let mut state = self.state.lock();
        if state.held {
            // SAFETY: only the lifetime is changed; nobody has the pointer when this returns
            let left =
                unsafe { std::mem::transmute::<NonNull<Work<'_>>, NonNull<Work<'static>>>(work.into()) };
            let waiter = Waiter::new(Some(LeftWork(left)));
            state.waiting.push_back(Arc::clone(&waiter));
            drop(state);
            match self.wait(&waiter, limits)? {
                HANDED => {}
                PANICKED => panic!("a statement panicked on another session's thread"),
                _ => return Ok(()),
            }
        } else {
            state.held = true;
            drop(state);
        }
        work(Turn { queue: Arc::clone(self), serves: true, lent: false });
        Ok(())
    }

    /// Blocks until the waiter is out of the queue and nobody works for it.
    fn wait(&self, waiter: &Arc<Waiter>, limits: &WaitLimits<'_>) -> Result<u8, Ended> {
        loop {
            match waiter.phase() {
                WAITS => {
                    if let Some(ended) = limits.ended() {
                        let mut state = self.state.lock();
                        if waiter.phase() == WAITS {
                            state.waiting.retain(|other| !Arc::ptr_eq(other, waiter));
                            return Err(ended);
                        }
                    }
                }
                SERVED => {}
                over => return Ok(over),
            }
            let left = limits.next_look().saturating_duration_since(Instant::now());
            std::thread::park_timeout(left);
        }
    }

    /// Takes the turn if nobody has it.
    pub(crate) fn try_take(self: &Arc<Self>) -> Option<Turn> {
        let mut state = self.state.lock();
        if state.held {
            return None;
        }
        state.held = true;
        Some(Turn { queue: Arc::clone(self), serves: false, lent: false })
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }

    /// Whether somebody has the turn.
    pub(crate) fn is_held(&self) -> bool {
        self.state.lock().held
    }

    /// Number of the session whose turn it is, if it has told.
    pub(crate) fn holder(&self) -> Option<i32> {
        Some(self.holder.load(Ordering::Relaxed)).filter(|number| *number != 0)
    }

    /// Hands the turn on, after the work of up to `serves` of those who wait.
    fn release(self: &Arc<Self>, serves: usize) {
        let mut flush = None;
        let mut state = self.state.lock();
        for served in 0.. {
            let Some(next) = state.waiting.pop_front() else {
                state.held = false;
                self.holder.store(0, Ordering::Relaxed);
                break;
            };
            let Some(work) = next.work.as_ref().filter(|_| served < serves) else {
                self.holder.store(0, Ordering::Relaxed);
                next.go_on(HANDED);
                break;
            };
            next.phase.store(SERVED, Ordering::Release);
            (state.lends, state.returned) = (true, false);
            drop(state);
            let done = self.serve(work);
            state = self.state.lock();
            state.lends = false;
            let returned = state.returned;
            match done {
                Ok(Resume::Reached { lsn, writer, last }) => {
                    next.phase.store(DONE, Ordering::Release);
                    let last = last.as_deref().unwrap_or(&writer.positions().flush);
                    last.unpark_at(lsn, &next.thread);
                    flush = Some((writer, lsn));
                }
                Ok(Resume::Now) => next.go_on(DONE),
                Err(_) => next.go_on(PANICKED),
            }
            if !returned {
                break;
            }
        }
        drop(state);
        // the last of them is the furthest
        if let Some((writer, lsn)) = flush {
            writer.request_flush(lsn);
        }
    }

    fn serve(self: &Arc<Self>, work: &LeftWork) -> std::thread::Result<Resume> {
        let turn = Turn { queue: Arc::clone(self), serves: true, lent: true };
        // SAFETY: its thread waits in `run` until the phase is no longer SERVED
        let work = unsafe { &mut *work.0.as_ptr() };
        // a panic ends the session whose work it is, not this one
        catch_unwind(AssertUnwindSafe(|| work(turn)))
    }
}

/// The turn to write; handed on when dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    queue: Arc<TurnQueue>,
    /// Whoever drops it may do the work of others: it holds no lock.
    serves: bool,
    /// Given to work that is done for somebody.
    lent: bool,
}

impl Turn {
    /// Lets whoever drops it do the work of those who wait.
    pub(crate) fn serving(mut self) -> Turn {
        self.serves = true;
        self
    }

    /// Tells views which session has it.
    pub(crate) fn held_by(&self, session: i32) {
        self.queue.holder.store(session, Ordering::Relaxed);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.lent {
            let mut state = self.queue.state.lock();
            if state.lends {
                state.returned = true;
                return;
            }
        }
        self.queue.release(if self.serves { SERVED_MAX } else { 0 });
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

    #[test]
    fn work_is_done_in_order_by_whoever_gives_up_the_turn() {
        let queue = Arc::new(TurnQueue::default());
        let order = Arc::new(Mutex::new(Vec::new()));
        let first = queue.take(&FOREVER).unwrap().serving();
        let threads: Vec<_> = (0..2 * SERVED_MAX)
            .map(|i| {
                let (theirs, order) = (Arc::clone(&queue), Arc::clone(&order));
                let before = queue.waiting();
                let thread = std::thread::spawn(move || {
                    let mut work = |_turn| {
                        order.lock().push((i, std::thread::current().id()));
                        Resume::Now
                    };
                    theirs.run(&FOREVER, &mut work).unwrap();
                });
                until(|| queue.waiting() > before);
                thread
            })
            .collect();
        drop(first);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let order = order.lock();
        assert_eq!(
            order.iter().map(|(i, _)| *i).collect::<Vec<_>>(),
            (0..2 * SERVED_MAX).collect::<Vec<_>>()
        );
        let here = std::thread::current().id();
        assert!(order[..SERVED_MAX].iter().all(|(_, thread)| *thread == here));
        assert!(order[SERVED_MAX..].iter().all(|(_, thread)| *thread != here));
        assert!(!queue.is_held());
    }

    #[test]
    fn a_turn_that_work_keeps_is_handed_on_when_it_is_dropped() {
        let queue = Arc::new(TurnQueue::default());
        let first = queue.take(&FOREVER).unwrap().serving();
        let kept = Arc::new(Mutex::new(None));
        let keeper = {
            let (queue, kept) = (Arc::clone(&queue), Arc::clone(&kept));
            std::thread::spawn(move || {
                queue.run(&FOREVER, &mut |turn| {
                    *kept.lock() = Some(turn);
                    Resume::Now
                })
            })
        };
        until(|| queue.waiting() == 1);
        let next = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || queue.run(&FOREVER, &mut |_turn| Resume::Now))
        };
        until(|| queue.waiting() == 2);
        drop(first);
        keeper.join().unwrap().unwrap();
        assert!(queue.is_held() && queue.waiting() == 1 && !next.is_finished());
        let turn = kept.lock().take();
        drop(turn);
        next.join().unwrap().unwrap();
        assert!(!queue.is_held());
    }

    #[test]
    fn work_that_panics_ends_its_own_thread_and_the_turn_goes_on() {
        let queue = Arc::new(TurnQueue::default());
        let first = queue.take(&FOREVER).unwrap().serving();
        let panics = {
            let queue = Arc::clone(&queue);
            std::thread::spawn(move || queue.run(&FOREVER, &mut |_turn| panic!("on purpose")))
        };
        until(|| queue.waiting() == 1);
        drop(first);
        assert!(panics.join().is_err());
        assert!(queue.try_take().is_some());
    }

    #[test]
    fn work_that_was_not_begun_can_be_cancelled() {
        let queue = Arc::new(TurnQueue::default());
        let held = queue.take(&FOREVER).unwrap().serving();
        let cancelled = AtomicBool::new(true);
        let limits = WaitLimits { deadline: None, cancel: &cancelled };
        let ended = queue.run(&limits, &mut |_turn| panic!("must not run"));
        assert_eq!(ended.unwrap_err(), Ended::Cancelled);
        drop(held);
        assert!(!queue.is_held());
    }
}
