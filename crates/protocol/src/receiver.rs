use std::time::{Duration, Instant};

use bytes::Bytes;
use walship_types::{Lsn, Timestamp};

use crate::{Awaited, PrimaryMessage, StandbyStatus};

/// Positions that nobody waits for are reported when everything received is durable or visible, which a stream under
/// load may never reach; then at the latest after this time.
const UNREPORTED_MAX: Duration = Duration::from_millis(100);

/// How a receiver reports and how long it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiverOptions {
    /// `wal_receiver_status_interval`: longest time between reports; zero for never by time.
    pub status_interval: Duration,
    /// `wal_receiver_timeout`: silence after which the sender is given up; zero for never.
    pub timeout: Duration,
    /// Silence after which the sender is asked for a sign of life; half of `timeout` if that
    /// is earlier or this is `None`.
    pub sign_interval: Option<Duration>,
}

/// What the owner of a [`ReceiverHalf`] has to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiverRequest {
    /// Send this report.
    Report(StandbyStatus),
    /// Nothing was heard for the whole timeout: close.
    TimedOut {
        /// How long nothing was heard.
        silence: Duration,
    },
    /// Nothing to do before a message comes, a position moves, or this time.
    Wait {
        /// When to look again.
        until: Option<Instant>,
    },
}

/// Something that a correct sender cannot have sent; SQLSTATE 08P01.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiverViolation {
    /// The log's bytes do not continue those before.
    #[error("log stream is not contiguous: got data at {found}, expected {expected}")]
    Gap {
        /// Where it must go on.
        expected: Lsn,
        /// Where it does.
        found: Lsn,
    },
    /// The bytes reach beyond 64 bits.
    #[error("log stream from {start} with {length} bytes reaches beyond the last position")]
    Overflow {
        /// First byte.
        start: Lsn,
        /// Number of bytes.
        length: usize,
    },
}

/// The receiving end of a log stream: it holds the stream to be contiguous, and decides
/// when to report and when to give up. Reports are due when what was written or made
/// durable moved (somebody may wait for it), when replay moved, when the sender asks,
/// and at the latest after the status interval.
#[derive(Debug)]
pub struct ReceiverHalf {
    expected: Lsn,
    write: Lsn,
    flush: Lsn,
    apply: Lsn,
    sender_end: Lsn,
    sender_time: Option<Timestamp>,
    options: ReceiverOptions,
    last_heard: Instant,
    last_report: Option<Instant>,
    pinged: bool,
    awaited: Awaited,
    due: bool,
    /// Since when a position has moved that was not reported.
    unreported_since: Option<Instant>,
}

impl ReceiverHalf {
    /// A stream from `start`; everything before it is durable here, and `apply` of it
    /// visible. The first report is due at once.
    pub fn new(start: Lsn, apply: Lsn, options: ReceiverOptions, now: Instant) -> ReceiverHalf {
        ReceiverHalf {
            expected: start,
            write: start,
            flush: start,
            apply,
            sender_end: Lsn::INVALID,
            sender_time: None,
            options,
            last_heard: now,
            last_report: None,
            pinged: false,
            awaited: Awaited::default(),
            due: true,
            unreported_since: None,
        }
    }

    /// A message came; log bytes are given back together with where they go.
    pub fn received(
        &mut self,
        message: PrimaryMessage,
        now: Instant,
    ) -> Result<Option<(Lsn, Bytes)>, ReceiverViolation> {
        self.last_heard = now;
        self.pinged = false;
        match message {
            PrimaryMessage::Keepalive { end, time, reply_requested, awaited } => {
                // what moved before it was waited for may be what is waited for
                self.due |= awaited != self.awaited;
                self.awaited = awaited;
                self.sender_end = self.sender_end.max(end);
                self.sender_time = Some(time);
                self.due |= reply_requested;
                Ok(None)
            }
            PrimaryMessage::XLogData { start, end, time, data } => {
                if start != self.expected {
                    return Err(ReceiverViolation::Gap { expected: self.expected, found: start });
                }
                let length = data.len();
                let next = start.checked_add(length as u64);
                self.expected = next.ok_or(ReceiverViolation::Overflow { start, length })?;
                self.sender_end = self.sender_end.max(end);
                self.sender_time = Some(time);
                Ok((length > 0).then_some((start, data)))
            }
        }
    }

    /// Everything before `to` was handed to the operating system, as of now.
    pub fn wrote(&mut self, to: Lsn, now: Instant) {
        assert!(to <= self.expected, "wrote {to}, but received only up to {}", self.expected);
        if to > self.write {
            self.write = to;
            self.moved(self.awaited.write, now);
        }
    }

    /// Everything before `to` is durable, as of now.
    pub fn flushed(&mut self, to: Lsn, now: Instant) {
        assert!(to <= self.write, "flushed {to}, but wrote only up to {}", self.write);
        if to > self.flush {
            self.flush = to;
            // whoever waits for readers to see it hears of both at once
            let all = to == self.expected && !self.awaited.apply;
            self.moved(self.awaited.flush || all, now);
        }
    }

    /// Everything before `to` is visible to readers, as of now.
    pub fn applied(&mut self, to: Lsn, now: Instant) {
        if to > self.apply {
            self.apply = to;
            self.moved(self.awaited.apply || to >= self.expected, now);
        }
    }

    fn moved(&mut self, due: bool, now: Instant) {
        self.due |= due;
        self.unreported_since.get_or_insert(now);
    }

    /// The next position whose being visible is to be told at once; `None` while nothing is to become visible that
    /// somebody waits for.
    pub fn next_applied(&self) -> Option<Lsn> {
        match self.awaited.apply {
            true => Some(Lsn(self.apply.0.saturating_add(1))),
            false => (self.apply < self.expected).then_some(self.expected),
        }
    }

    /// Nobody listens to the sender at the moment, so that its silence means nothing.
    pub fn deaf(&mut self, now: Instant) {
        self.last_heard = now;
    }

    /// What to do next. Ask again after each request was done.
    pub fn next(&mut self, now: Instant, clock: Timestamp) -> ReceiverRequest {
        let silence = now.saturating_duration_since(self.last_heard);
        let timeout = Some(self.options.timeout).filter(|t| !t.is_zero());
        let interval = Some(self.options.status_interval).filter(|i| !i.is_zero());
        if timeout.is_some_and(|timeout| silence >= timeout) {
            return ReceiverRequest::TimedOut { silence };
        }
        let sign = timeout.map(|timeout| timeout / 2).into_iter().chain(self.options.sign_interval).min();
        let ping = !self.pinged && sign.is_some_and(|sign| silence >= sign);
        let overdue = match (interval, self.last_report) {
            (Some(interval), Some(last)) => now.saturating_duration_since(last) >= interval,
            (_, None) => true,
            (None, Some(_)) => false,
        };
        let unreported = self.unreported_since.map(|since| since + UNREPORTED_MAX);
        if self.due || overdue || ping || unreported.is_some_and(|until| now >= until) {
            self.due = false;
            self.unreported_since = None;
            self.pinged |= ping;
            self.last_report = Some(now);
            return ReceiverRequest::Report(self.status(clock, ping));
        }
        let silent = if self.pinged { timeout } else { sign }.map(|after| self.last_heard + after);
        let report = interval.zip(self.last_report).map(|(interval, last)| last + interval);
        ReceiverRequest::Wait { until: [silent, report, unreported].into_iter().flatten().min() }
    }

    /// The report as of now.
    pub fn status(&self, clock: Timestamp, reply_requested: bool) -> StandbyStatus {
        StandbyStatus {
            write: self.write,
            flush: self.flush,
            apply: self.apply,
            time: clock,
            reply_requested,
        }
    }

    /// Where the next bytes must start.
    pub fn expected(&self) -> Lsn {
        self.expected
    }

    /// The sender's end of log, as it last said; 0/0 before it did.
    pub fn sender_end(&self) -> Lsn {
        self.sender_end
    }

    /// The sender's clock in its last message.
    pub fn sender_time(&self) -> Option<Timestamp> {
        self.sender_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Lsn = Lsn(0x100_0000);
    const CLOCK: Timestamp = Timestamp(7);

    fn half(now: Instant) -> ReceiverHalf {
        let options = ReceiverOptions {
            status_interval: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            sign_interval: None,
        };
        ReceiverHalf::new(START, Lsn::INVALID, options, now)
    }

    fn data(start: Lsn, bytes: &'static [u8]) -> PrimaryMessage {
        let data = Bytes::from_static(bytes);
        PrimaryMessage::XLogData { start, end: Lsn(start.0 + 100), time: CLOCK, data }
    }

    fn keepalive(reply_requested: bool, awaited: Awaited) -> PrimaryMessage {
        PrimaryMessage::Keepalive { end: START, time: CLOCK, reply_requested, awaited }
    }

    fn report(half: &mut ReceiverHalf, now: Instant) -> StandbyStatus {
        match half.next(now, CLOCK) {
            ReceiverRequest::Report(status) => status,
            other => panic!("expected a report, got {other:?}"),
        }
    }

    #[test]
    fn reports_first_then_whenever_all_that_came_is_durable_or_visible() {
        let now = Instant::now();
        let mut half = half(now);
        assert_eq!(report(&mut half, now).flush, START);
        assert_eq!(
            half.next(now, CLOCK),
            ReceiverRequest::Wait { until: Some(now + Duration::from_secs(10)) }
        );
        let (at, bytes) = half.received(data(START, b"abcd"), now).unwrap().unwrap();
        assert_eq!((at, bytes.as_ref()), (START, b"abcd".as_ref()));
        let end = Lsn(START.0 + 4);
        half.wrote(end, now);
        // nobody waits for it
        assert_eq!(half.next(now, CLOCK), ReceiverRequest::Wait { until: Some(now + UNREPORTED_MAX) });
        half.flushed(end, now);
        let status = report(&mut half, now);
        assert_eq!((status.write, status.flush), (end, end));
        half.applied(end, now);
        let status = report(&mut half, now);
        assert_eq!((status.flush, status.apply, status.reply_requested), (end, end, false));
        assert!(matches!(half.next(now, CLOCK), ReceiverRequest::Wait { .. }));
        assert_eq!(half.sender_end(), Lsn(START.0 + 100));
    }

    #[test]
    fn a_gap_or_a_repetition_is_refused() {
        let now = Instant::now();
        for found in [Lsn(START.0 + 1), Lsn(START.0 - 1)] {
            let mut half = half(now);
            let gap = ReceiverViolation::Gap { expected: START, found };
            assert_eq!(half.received(data(found, b"x"), now), Err(gap));
        }
    }

    #[test]
    fn the_sender_may_ask_and_silence_is_found() {
        let now = Instant::now();
        let later = |seconds| now + Duration::from_secs(seconds);
        let mut half = half(now);
        report(&mut half, now);
        let ask = keepalive(true, Awaited::default());
        half.received(ask, now).unwrap();
        assert!(!report(&mut half, now).reply_requested);
        for seconds in [10, 20] {
            assert!(!report(&mut half, later(seconds)).reply_requested, "{seconds}");
        }
        assert!(report(&mut half, later(30)).reply_requested);
        assert!(!report(&mut half, later(40)).reply_requested);
        let silence = Duration::from_secs(60);
        assert_eq!(half.next(later(60), CLOCK), ReceiverRequest::TimedOut { silence });
        // not while it is this end that does not listen
        half.deaf(later(60));
        assert!(!report(&mut half, later(60)).reply_requested);
    }

    #[test]
    #[should_panic(expected = "wrote only up to")]
    fn nothing_is_durable_that_was_not_written() {
        half(Instant::now()).flushed(Lsn(START.0 + 1), Instant::now());
    }

    #[test]
    fn what_somebody_waits_for_is_reported_at_once() {
        let now = Instant::now();
        let mut half = half(now);
        report(&mut half, now);
        half.received(data(START, b"abcd"), now).unwrap();
        half.received(keepalive(false, Awaited { write: true, ..Awaited::default() }), now).unwrap();
        report(&mut half, now);
        let (some, all) = (Lsn(START.0 + 2), Lsn(START.0 + 4));
        assert_eq!(half.next_applied(), Some(all));
        half.wrote(some, now);
        assert_eq!(report(&mut half, now).write, some);
        half.flushed(some, now);
        assert!(matches!(half.next(now, CLOCK), ReceiverRequest::Wait { .. }));
        assert_eq!(report(&mut half, now + UNREPORTED_MAX).flush, some);
    }

    #[test]
    fn who_waits_for_readers_to_see_it_hears_of_its_flush_at_the_same_time() {
        let now = Instant::now();
        let mut half = half(now);
        half.received(keepalive(false, Awaited { apply: true, ..Awaited::default() }), now).unwrap();
        report(&mut half, now);
        half.received(data(START, b"abcd"), now).unwrap();
        let end = Lsn(START.0 + 4);
        half.wrote(end, now);
        half.flushed(end, now);
        assert_eq!(half.next(now, CLOCK), ReceiverRequest::Wait { until: Some(now + UNREPORTED_MAX) });
        half.applied(end, now);
        let status = report(&mut half, now);
        assert_eq!((status.flush, status.apply), (end, end));
    }
}
