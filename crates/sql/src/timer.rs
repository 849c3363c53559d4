use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::signals::{CancelReason, EndReason, Signals};

/// What happens when the time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// The running statement is cancelled.
    Cancel(CancelReason),
    /// The session ends.
    End(EndReason),
}

struct Alarm {
    signals: Arc<Signals>,
    // protects what is armed; held while the timer acts on it, so that disarming is certain
    armed: Mutex<Option<(Instant, Expiry)>>,
}

#[derive(Default)]
struct Schedule {
    alarms: Vec<Weak<Alarm>>,
    // when the thread wakes by itself
    next: Option<Instant>,
    stopped: bool,
}

#[derive(Default)]
struct Shared {
    schedule: Mutex<Schedule>,
    changed: Condvar,
}

/// One thread that watches the time limits of all sessions.
///
/// Arming costs a session no wake-up of that thread unless its limit is the nearest of all.
pub struct Timer {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

/// One session's limit. Dropping it disarms.
pub struct AlarmClock {
    shared: Arc<Shared>,
    alarm: Arc<Alarm>,
}

impl Timer {
    /// Starts the thread.
    pub fn start() -> std::io::Result<Timer> {
        let shared = Arc::new(Shared::default());
        let watched = Arc::clone(&shared);
        let thread = thread::Builder::new().name("timeouts".to_owned()).spawn(move || watched.run())?;
        Ok(Timer { shared, thread: Some(thread) })
    }

    /// A limit for the session that `signals` reach.
    pub fn clock(&self, signals: Arc<Signals>) -> AlarmClock {
        let alarm = Arc::new(Alarm { signals, armed: Mutex::new(None) });
        let mut schedule = self.shared.schedule.lock();
        schedule.alarms.retain(|alarm| alarm.strong_count() > 0);
        schedule.alarms.push(Arc::downgrade(&alarm));
        AlarmClock { shared: Arc::clone(&self.shared), alarm }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.shared.schedule.lock().stopped = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // the thread does not panic; there is nothing else to learn from it
            let _ = thread.join();
        }
    }
}

impl AlarmClock {
    /// Lets the limit pass at `after` from now, in place of what was armed.
    pub fn arm(&self, after: Duration, expiry: Expiry) {
        let Some(at) = Instant::now().checked_add(after) else { return };
        *self.alarm.armed.lock() = Some((at, expiry));
        let mut schedule = self.shared.schedule.lock();
        if schedule.next.is_none_or(|next| at < next) {
            schedule.next = Some(at);
            drop(schedule);
            self.shared.changed.notify_all();
        }
    }

    /// Nothing happens from now on, unless it has already.
    pub fn disarm(&self) {
        *self.alarm.armed.lock() = None;
    }
}

impl Shared {
    fn run(&self) {
        let mut schedule = self.schedule.lock();
        while !schedule.stopped {
            let now = Instant::now();
            if schedule.next.is_some_and(|next| next <= now) {
                schedule.next = schedule.alarms.iter().filter_map(|alarm| alarm.upgrade()?.ring(now)).min();
            }
            match schedule.next {
                Some(next) => {
                    self.changed.wait_until(&mut schedule, next);
                }
                None => self.changed.wait(&mut schedule),
            }
        }
    }
}

impl Alarm {
    // acts if the time has come; else when it will
    fn ring(&self, now: Instant) -> Option<Instant> {
        let mut armed = self.armed.lock();
        let (at, expiry) = (*armed)?;
        if at > now {
            return Some(at);
        }
        *armed = None;
        match expiry {
            Expiry::Cancel(reason) => self.signals.cancel(reason),
            Expiry::End(reason) => self.signals.end(reason),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn limits_pass_in_their_order_and_disarmed_ones_do_not() {
        let timer = Timer::start().unwrap();
        let (sender, receiver) = mpsc::channel();
        let clocks: Vec<_> = (0..3)
            .map(|n| {
                let sender = sender.clone();
                let signals = Arc::new(Signals::new(Box::new(move || sender.send(n).unwrap())));
                timer.clock(signals)
            })
            .collect();
        clocks[0].arm(Duration::from_secs(3600), Expiry::End(EndReason::IdleSession));
        clocks[1].arm(Duration::from_millis(40), Expiry::End(EndReason::IdleSession));
        clocks[2].arm(Duration::from_millis(5), Expiry::End(EndReason::IdleSession));
        clocks[0].disarm();
        clocks[0].arm(Duration::from_millis(60), Expiry::End(EndReason::IdleSession));
        clocks[1].disarm();
        let limit = Duration::from_secs(20);
        assert_eq!(receiver.recv_timeout(limit), Ok(2));
        assert_eq!(receiver.recv_timeout(limit), Ok(0));
    }
}
