use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use walship_types::Lsn;

/// How often a blocking wait asks whether it was cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(20);

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitOutcome {
    /// The position was reached.
    Reached,
    /// The deadline came first.
    TimedOut,
    /// The caller's cancel said so.
    Cancelled,
    /// The position will not move any more: see [`PositionWatch::closed_reason`].
    Closed,
}

/// A position that only grows, and those who wait for it. Each waiter is woken when its
/// own position is reached, not before: with many committers, waking all at every flush
/// costs more than the flush.
#[derive(Debug)]
pub struct PositionWatch {
    value: AtomicU64,
    /// Length of `waiters`, so that nobody takes the lock when nobody waits.
    waiting: AtomicUsize,
    /// For a look without the lock.
    closed: AtomicBool,
    /// Protects who waits, and whether it was closed.
    waiters: Mutex<Waiters>,
}

#[derive(Debug, Default)]
struct Waiters {
    by_position: BTreeMap<(Lsn, u64), Waiter>,
    next_id: u64,
    closed: Option<String>,
}

#[derive(Debug)]
enum Waiter {
    Thread(Thread),
    Task(Waker),
}

impl Waiter {
    fn wake(self) {
        match self {
            Waiter::Thread(thread) => thread.unpark(),
            Waiter::Task(waker) => waker.wake(),
        }
    }
}

impl PositionWatch {
    /// A watch that stands at `position`.
    pub fn new(position: Lsn) -> PositionWatch {
        PositionWatch {
            value: AtomicU64::new(position.0),
            waiting: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            waiters: Mutex::new(Waiters::default()),
        }
    }

    /// Where it stands.
    pub fn get(&self) -> Lsn {
        Lsn(self.value.load(Ordering::SeqCst))
    }

    /// Moves it forward and wakes those whose position is reached; a position that is
    /// not later changes nothing.
    pub fn advance(&self, position: Lsn) {
        // the order matters: publish, then look for waiters; a waiter registers first
        // and looks at the position then, so one of the two sees the other
        if self.value.fetch_max(position.0, Ordering::SeqCst) >= position.0
            || self.waiting.load(Ordering::SeqCst) == 0
        {
            return;
        }
        let reached = {
            let mut waiters = self.waiters.lock();
            let later = waiters.by_position.split_off(&(Lsn(position.0.saturating_add(1)), 0));
            let reached = std::mem::replace(&mut waiters.by_position, later);
            self.waiting.store(waiters.by_position.len(), Ordering::SeqCst);
            reached
        };
        reached.into_values().for_each(Waiter::wake);
    }

    /// Unparks `thread` when `position` is reached or the watch is closed, for a thread
    /// that is parked already; at once if there is nothing to wait for.
    pub fn unpark_at(&self, position: Lsn, thread: &Thread) {
        let mut registration = Registration { watch: self, key: None };
        let over = registration.register(position, || Waiter::Thread(thread.clone()));
        // it stays among the waiters, which are let go of when they are woken
        registration.key = None;
        if over.is_some() {
            thread.unpark();
        }
    }

    /// Takes it back to where nobody has relied on more: for a log's positions, the end of
    /// its last whole record. Who waits for more goes on waiting.
    pub(crate) fn take_back(&self, position: Lsn) {
        self.value.fetch_min(position.0, Ordering::SeqCst);
    }

    /// Ends all waits that are not over, now and later; the first reason stays.
    pub fn close(&self, reason: &str) {
        let all = {
            let mut waiters = self.waiters.lock();
            waiters.closed.get_or_insert_with(|| reason.to_owned());
            self.closed.store(true, Ordering::SeqCst);
            self.waiting.store(0, Ordering::SeqCst);
            std::mem::take(&mut waiters.by_position)
        };
        all.into_values().for_each(Waiter::wake);
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Why it was closed, if it was.
    pub fn closed_reason(&self) -> Option<String> {
        self.waiters.lock().closed.clone()
    }

    /// Blocks until `position` is reached, the deadline has come, `cancel` returns true
    /// (asked about 50 times a second) or the watch is closed.
    pub fn wait_blocking(
        &self,
        position: Lsn,
        deadline: Option<Instant>,
        cancel: impl Fn() -> bool,
    ) -> WaitOutcome {
        self.wait_thread(position, deadline, Some(&cancel))
    }

    /// Blocks until `position` is reached or the watch is closed.
    pub fn wait(&self, position: Lsn) -> WaitOutcome {
        self.wait_thread(position, None, None)
    }

    fn wait_thread(
        &self,
        position: Lsn,
        deadline: Option<Instant>,
        cancel: Option<&dyn Fn() -> bool>,
    ) -> WaitOutcome {
        if self.get() >= position {
            return WaitOutcome::Reached;
        }
        let mut registration = Registration { watch: self, key: None };
        loop {
            if cancel.is_some_and(|cancelled| cancelled()) {
                return WaitOutcome::Cancelled;
            }
            let now = Instant::now();
            if deadline.is_some_and(|d| d <= now) {
                return WaitOutcome::TimedOut;
            }
            if let Some(outcome) = registration.register(position, || Waiter::Thread(std::thread::current()))
            {
                return outcome;
            }
            let left = deadline.map(|d| d - now);
            match (left, cancel.map(|_| CANCEL_POLL)) {
                (Some(left), Some(poll)) => std::thread::park_timeout(left.min(poll)),
                (Some(timeout), None) | (None, Some(timeout)) => std::thread::park_timeout(timeout),
                (None, None) => std::thread::park(),
            }
        }
    }

    /// Resolves to [`WaitOutcome::Reached`] or [`WaitOutcome::Closed`]; dropping it ends the wait.
    pub fn reached(&self, position: Lsn) -> impl Future<Output = WaitOutcome> + Send + '_ {
        Reached { position, registration: Registration { watch: self, key: None } }
    }
}

/// A place among the waiters, given up when dropped.
struct Registration<'a> {
    watch: &'a PositionWatch,
    key: Option<(Lsn, u64)>,
}

impl Registration<'_> {
    /// Registers (again), unless the wait is over.
    fn register(&mut self, position: Lsn, waiter: impl FnOnce() -> Waiter) -> Option<WaitOutcome> {
        let watch = self.watch;
        if watch.get() >= position {
            return Some(WaitOutcome::Reached);
        }
        let mut waiters = watch.waiters.lock();
        if waiters.closed.is_some() {
            return Some(WaitOutcome::Closed);
        }
        let id = waiters.next_id;
        let key = *self.key.get_or_insert((position, id));
        waiters.next_id += 1;
        waiters.by_position.insert(key, waiter());
        watch.waiting.store(waiters.by_position.len(), Ordering::SeqCst);
        drop(waiters);
        (watch.get() >= position).then_some(WaitOutcome::Reached)
    }
}

impl Drop for Registration<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let mut waiters = self.watch.waiters.lock();
            waiters.by_position.remove(&key);
            self.watch.waiting.store(waiters.by_position.len(), Ordering::SeqCst);
        }
    }
}

struct Reached<'a> {
    position: Lsn,
    registration: Registration<'a>,
}

impl Future for Reached<'_> {
    type Output = WaitOutcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<WaitOutcome> {
        let position = self.position;
        let waker = context.waker();
        match self.registration.register(position, || Waiter::Task(waker.clone())) {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        }
    }
}

/// How far the log of one node is. `flush <= write <= insert`, always.
#[derive(Debug)]
pub struct WalPositions {
    /// Appended, in memory; on a follower the same as `write`.
    pub insert: PositionWatch,
    /// Handed to the operating system.
    pub write: PositionWatch,
    /// Durable.
    pub flush: PositionWatch,
}

impl WalPositions {
    /// All three at `end`, which is durable.
    pub fn new(end: Lsn) -> WalPositions {
        WalPositions {
            insert: PositionWatch::new(end),
            write: PositionWatch::new(end),
            flush: PositionWatch::new(end),
        }
    }

    /// Ends all waits.
    pub fn close(&self, reason: &str) {
        for watch in [&self.insert, &self.write, &self.flush] {
            watch.close(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    #[test]
    fn threads_are_woken_when_their_position_is_reached() {
        let watch = Arc::new(PositionWatch::new(Lsn(1)));
        let waiters: Vec<_> = (1..=8u64)
            .map(|n| {
                let watch = watch.clone();
                std::thread::spawn(move || (watch.wait(Lsn(n * 10)), watch.get()))
            })
            .collect();
        for n in 1..=8 {
            watch.advance(Lsn(n * 10));
        }
        for (n, waiter) in (1..=8).zip(waiters) {
            let (outcome, seen) = waiter.join().unwrap();
            assert_eq!(outcome, WaitOutcome::Reached);
            assert!(seen >= Lsn(n * 10));
        }
        assert_eq!(watch.waiting.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn waits_end_by_deadline_cancel_and_close() {
        let watch = PositionWatch::new(Lsn(1));
        let soon = Instant::now() + Duration::from_millis(5);
        assert_eq!(watch.wait_blocking(Lsn(2), Some(soon), || false), WaitOutcome::TimedOut);
        assert_eq!(watch.wait_blocking(Lsn(2), None, || true), WaitOutcome::Cancelled);
        watch.close("disk on fire");
        watch.close("later");
        assert_eq!(watch.wait(Lsn(2)), WaitOutcome::Closed);
        assert_eq!(watch.wait(Lsn(1)), WaitOutcome::Reached);
        assert_eq!(watch.closed_reason().as_deref(), Some("disk on fire"));
    }

    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn tasks_are_woken_only_for_their_own_position() {
        let watch = PositionWatch::new(Lsn(1));
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(flag.clone());
        let mut context = Context::from_waker(&waker);
        let mut wait = Box::pin(watch.reached(Lsn(5)));
        assert!(wait.as_mut().poll(&mut context).is_pending());
        watch.advance(Lsn(4));
        assert!(!flag.0.load(Ordering::SeqCst), "woken for another position");
        watch.advance(Lsn(5));
        assert!(flag.0.load(Ordering::SeqCst));
        assert_eq!(wait.as_mut().poll(&mut context), Poll::Ready(WaitOutcome::Reached));
        drop(wait);
        let mut gone = Box::pin(watch.reached(Lsn(9)));
        assert!(gone.as_mut().poll(&mut context).is_pending());
        drop(gone);
        assert_eq!(watch.waiting.load(Ordering::SeqCst), 0);
    }
}
