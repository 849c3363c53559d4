use std::time::{Duration, Instant};

use walship_types::Lsn;

use crate::{Awaited, LagTracker, Lags, StandbyMessage, StandbyStatus};

/// Most bytes of log in one message, as PostgreSQL sends them: large enough to carry
/// the log at full speed, small enough that replies are looked at in between.
pub const SEND_BYTES_MAX: u64 = 128 * 1024;

/// How far the other end says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PeerPositions {
    /// Handed to its operating system.
    pub write: Lsn,
    /// Durable there; 0/0 for a receiver that does not say.
    pub flush: Lsn,
    /// Visible to its readers.
    pub apply: Lsn,
}

/// What the owner of a [`SenderHalf`] has to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SenderRequest {
    /// Send the log from `from` to `to`, then say so with [`SenderHalf::sent`].
    Send {
        /// First byte.
        from: Lsn,
        /// One behind the last byte.
        to: Lsn,
    },
    /// Send a keepalive.
    Keepalive {
        /// Whether the receiver shall answer at once.
        reply_requested: bool,
        /// What somebody waits for.
        awaited: Awaited,
    },
    /// Everything of a timeline that was left is sent: send CopyDone.
    EndOfTimeline {
        /// Where the timeline was left.
        at: Lsn,
    },
    /// The receiver ended the stream: answer with CopyDone, and the stream is over.
    AnswerDone,
    /// Both sides are done: finish the command.
    Finished,
    /// The server is stopping and the receiver has everything: say so and close.
    Drained,
    /// Nothing was heard for the whole timeout: close.
    TimedOut {
        /// How long nothing was heard.
        silence: Duration,
    },
    /// Nothing to do before a message comes, the flush position moves, or this time.
    Wait {
        /// When to look again.
        until: Option<Instant>,
    },
}

/// Something that a correct receiver cannot have sent; SQLSTATE 08P01.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SenderViolation {
    /// It acknowledges log that it cannot have.
    #[error("receiver reports {what} position {found}, but was sent nothing beyond {sent}")]
    AheadOfSent {
        /// `write`, `flush` or `apply`.
        what: &'static str,
        /// What it says.
        found: Lsn,
        /// The last that it can have.
        sent: Lsn,
    },
    /// It speaks on after its CopyDone.
    #[error("receiver sent a message after it ended the stream")]
    AfterDone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Streaming,
    /// We sent CopyDone and wait for the receiver's.
    DoneSent,
    /// The receiver sent CopyDone; ours is due.
    DoneReceived,
    Finished,
}

/// The sending end of a log stream: it decides what to send and when to give up, and
/// keeps what the receiver reported. It never asks for bytes beyond the flush
/// position, and believes no receiver that acknowledges more than it can have.
#[derive(Debug)]
pub struct SenderHalf {
    sent: Lsn,
    flush: Lsn,
    /// End of the timeline, when it is one that was left.
    timeline_end: Option<Lsn>,
    /// What a receiver may claim before it was sent anything: after a reconnect it
    /// starts at a segment's start and still has all that it had.
    claim_max: Lsn,
    peer: PeerPositions,
    reply_time: Option<walship_types::Timestamp>,
    last_heard: Instant,
    timeout: Option<Duration>,
    pinged: bool,
    reply_owed: bool,
    awaited: Awaited,
    awaited_told: Awaited,
    lag: LagTracker,
    stopping: bool,
    drain_pinged_at: Lsn,
    ending: Ending,
}

impl SenderHalf {
    /// A stream from `start`; `flush` is the server's flush position now, `timeline_end`
    /// where the timeline was left if it is not the server's own. Without `timeout`
    /// (`wal_sender_timeout`) silence is no reason to close.
    pub fn new(
        start: Lsn,
        flush: Lsn,
        timeline_end: Option<Lsn>,
        timeout: Option<Duration>,
        now: Instant,
    ) -> SenderHalf {
        SenderHalf {
            sent: start,
            flush,
            timeline_end,
            claim_max: flush.max(start),
            peer: PeerPositions::default(),
            reply_time: None,
            last_heard: now,
            timeout: timeout.filter(|t| !t.is_zero()),
            pinged: false,
            reply_owed: false,
            awaited: Awaited::default(),
            awaited_told: Awaited::default(),
            lag: LagTracker::default(),
            stopping: false,
            drain_pinged_at: Lsn::INVALID,
            ending: Ending::Streaming,
        }
    }

    /// The server's flush position is `flush`, as of now.
    pub fn flushed(&mut self, flush: Lsn, now: Instant) {
        self.flush = self.flush.max(flush);
        self.lag.note(self.limit(), now);
    }

    /// What somebody waits for at the receiver, which is told when it changes.
    pub fn set_awaited(&mut self, awaited: Awaited) {
        self.awaited = awaited;
    }

    /// The timeline was left at `end` while it is being streamed. Nothing beyond `end`
    /// belongs to it, so nothing beyond it is sent any more.
    pub fn timeline_left(&mut self, end: Lsn) {
        self.timeline_end = Some(end);
    }

    /// `wal_sender_timeout` changed.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout.filter(|t| !t.is_zero());
    }

    /// The server is stopping: everything that is durable is still sent, and when the
    /// receiver has it, [`SenderRequest::Drained`] comes.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// The log up to `to` was handed to the network.
    pub fn sent(&mut self, to: Lsn) {
        assert!(to <= self.limit(), "sent {to}, beyond the flush position {}", self.limit());
        self.sent = self.sent.max(to);
    }

    /// A message came.
    pub fn received(&mut self, message: StandbyMessage, now: Instant) -> Result<(), SenderViolation> {
        if matches!(self.ending, Ending::DoneReceived | Ending::Finished) {
            return Err(SenderViolation::AfterDone);
        }
        self.heard(now);
        let StandbyMessage::Status(status) = message else { return Ok(()) };
        self.check(&status)?;
        self.peer = PeerPositions { write: status.write, flush: status.flush, apply: status.apply };
        self.lag.reported(&self.peer, self.sent, now);
        self.reply_time = Some(status.time);
        self.reply_owed |= status.reply_requested;
        Ok(())
    }

    /// The receiver's CopyDone came.
    pub fn received_done(&mut self, now: Instant) {
        self.heard(now);
        self.ending = match self.ending {
            Ending::Streaming => Ending::DoneReceived,
            Ending::DoneSent | Ending::DoneReceived | Ending::Finished => Ending::Finished,
        };
    }

    /// What to do next. Ask again after each request was done.
    pub fn next(&mut self, now: Instant) -> SenderRequest {
        match self.ending {
            Ending::Finished => return SenderRequest::Finished,
            Ending::DoneReceived => {
                self.ending = Ending::Finished;
                return SenderRequest::AnswerDone;
            }
            Ending::DoneSent | Ending::Streaming => {}
        }
        let silence = now.saturating_duration_since(self.last_heard);
        if let Some(timeout) = self.timeout {
            if silence >= timeout {
                return SenderRequest::TimedOut { silence };
            }
            if !self.pinged && silence >= timeout / 2 {
                self.pinged = true;
                return self.keepalive(true);
            }
        }
        if self.ending == Ending::Streaming
            && let Some(request) = self.stream()
        {
            return request;
        }
        SenderRequest::Wait { until: self.deadline() }
    }

    /// Position up to which the log was sent.
    pub fn sent_position(&self) -> Lsn {
        self.sent
    }

    /// What the receiver last reported.
    pub fn peer(&self) -> PeerPositions {
        self.peer
    }

    /// How long after the server the receiver had it.
    pub fn lags(&self) -> Lags {
        self.lag.lags()
    }

    /// The receiver's clock in its last report.
    pub fn reply_time(&self) -> Option<walship_types::Timestamp> {
        self.reply_time
    }

    /// Whether everything that there is was sent: the difference between catching up
    /// and streaming.
    pub fn caught_up(&self) -> bool {
        self.sent >= self.limit()
    }

    /// Whether more of the log would give it something to do. A stream that is being ended
    /// must not look at the log any more, which goes on without it.
    pub fn waits_for_log(&self) -> bool {
        self.ending == Ending::Streaming && self.timeline_end.is_none() && self.caught_up()
    }

    fn stream(&mut self) -> Option<SenderRequest> {
        if self.reply_owed || self.awaited != self.awaited_told {
            self.reply_owed = false;
            return Some(self.keepalive(false));
        }
        let limit = self.limit();
        if self.sent < limit {
            let to = self.sent.checked_add(SEND_BYTES_MAX).map_or(limit, |to| to.min(limit));
            return Some(SenderRequest::Send { from: self.sent, to });
        }
        if let Some(at) = self.timeline_end.filter(|end| self.sent >= *end) {
            self.ending = Ending::DoneSent;
            return Some(SenderRequest::EndOfTimeline { at });
        }
        if self.stopping {
            return self.drain();
        }
        None
    }

    /// The receiver is asked once whether it has everything; a receiver that reports no
    /// flush position counts by what it wrote.
    fn drain(&mut self) -> Option<SenderRequest> {
        let reached = if self.peer.flush.is_valid() { self.peer.flush } else { self.peer.write };
        if reached >= self.sent {
            return Some(SenderRequest::Drained);
        }
        if self.drain_pinged_at < self.sent {
            self.drain_pinged_at = self.sent;
            return Some(self.keepalive(true));
        }
        None
    }

    fn keepalive(&mut self, reply_requested: bool) -> SenderRequest {
        self.awaited_told = self.awaited;
        SenderRequest::Keepalive { reply_requested, awaited: self.awaited }
    }

    fn limit(&self) -> Lsn {
        self.timeline_end.map_or(self.flush, |end| end.min(self.flush))
    }

    fn heard(&mut self, now: Instant) {
        self.last_heard = now;
        self.pinged = false;
    }

    fn deadline(&self) -> Option<Instant> {
        let timeout = self.timeout?;
        Some(self.last_heard + if self.pinged { timeout } else { timeout / 2 })
    }

    fn check(&self, status: &StandbyStatus) -> Result<(), SenderViolation> {
        let sent = self.sent.max(self.claim_max);
        for (what, found) in [("write", status.write), ("flush", status.flush), ("apply", status.apply)] {
            if found > sent {
                return Err(SenderViolation::AheadOfSent { what, found, sent });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use walship_types::Timestamp;

    use super::*;

    const START: Lsn = Lsn(0x100_0000);

    fn at(lsn: u64) -> Lsn {
        Lsn(START.0 + lsn)
    }

    fn status(write: Lsn, flush: Lsn) -> StandbyMessage {
        let (apply, time) = (Lsn::INVALID, Timestamp(0));
        StandbyMessage::Status(StandbyStatus { write, flush, apply, time, reply_requested: false })
    }

    fn ask(reply_requested: bool) -> SenderRequest {
        SenderRequest::Keepalive { reply_requested, awaited: Awaited::default() }
    }

    fn half(flush: Lsn, now: Instant) -> SenderHalf {
        SenderHalf::new(START, flush, None, Some(Duration::from_secs(60)), now)
    }

    #[test]
    fn sends_up_to_the_flush_position_in_bounded_pieces() {
        let now = Instant::now();
        let mut sender = half(at(SEND_BYTES_MAX + 10), now);
        assert_eq!(sender.next(now), SenderRequest::Send { from: START, to: at(SEND_BYTES_MAX) });
        sender.sent(at(SEND_BYTES_MAX));
        let rest = SenderRequest::Send { from: at(SEND_BYTES_MAX), to: at(SEND_BYTES_MAX + 10) };
        assert_eq!(sender.next(now), rest);
        sender.sent(at(SEND_BYTES_MAX + 10));
        assert!(sender.caught_up());
        assert_eq!(sender.next(now), SenderRequest::Wait { until: Some(now + Duration::from_secs(30)) });
        sender.flushed(at(SEND_BYTES_MAX + 12), now);
        assert!(matches!(sender.next(now), SenderRequest::Send { .. }));
    }

    #[test]
    #[should_panic(expected = "beyond the flush position")]
    fn never_beyond_the_flush_position() {
        half(at(10), Instant::now()).sent(at(11));
    }

    #[test]
    fn a_receiver_cannot_have_what_it_was_not_sent() {
        let now = Instant::now();
        let mut sender = half(at(100), now);
        // from an earlier connection
        assert_eq!(sender.received(status(START, at(100)), now), Ok(()));
        sender.flushed(at(200), now);
        let refused = SenderViolation::AheadOfSent { what: "flush", found: at(150), sent: at(100) };
        assert_eq!(sender.received(status(START, at(150)), now), Err(refused));
        assert_eq!(sender.peer().flush, at(100));
    }

    #[test]
    fn silence_is_answered_by_one_ping_and_then_an_end() {
        let now = Instant::now();
        let mut sender = half(START, now);
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(sender.next(later(29)), SenderRequest::Wait { until: Some(later(30)) });
        assert_eq!(sender.next(later(30)), ask(true));
        assert_eq!(sender.next(later(31)), SenderRequest::Wait { until: Some(later(60)) });
        sender.received(status(START, START), later(40)).unwrap();
        assert_eq!(sender.next(later(60)), SenderRequest::Wait { until: Some(later(70)) });
        assert_eq!(sender.next(later(70)), ask(true));
        let silence = Duration::from_secs(60);
        assert_eq!(sender.next(later(100)), SenderRequest::TimedOut { silence });
    }

    #[test]
    fn a_timeline_that_was_left_ends_at_its_switch_point() {
        let now = Instant::now();
        let mut sender = SenderHalf::new(START, at(500), Some(at(100)), None, now);
        assert_eq!(sender.next(now), SenderRequest::Send { from: START, to: at(100) });
        sender.sent(at(100));
        assert_eq!(sender.next(now), SenderRequest::EndOfTimeline { at: at(100) });
        assert!(!sender.waits_for_log());
        assert_eq!(sender.next(now), SenderRequest::Wait { until: None });
        // a last report may cross our CopyDone
        sender.received(status(at(100), at(100)), now).unwrap();
        sender.received_done(now);
        assert_eq!(sender.next(now), SenderRequest::Finished);
    }

    #[test]
    fn the_receiver_may_end_the_stream_and_must_be_silent_then() {
        let now = Instant::now();
        let mut sender = half(at(10), now);
        sender.received_done(now);
        assert_eq!(sender.received(status(START, START), now), Err(SenderViolation::AfterDone));
        assert_eq!(sender.next(now), SenderRequest::AnswerDone);
        assert_eq!(sender.next(now), SenderRequest::Finished);
    }

    #[test]
    fn a_stop_waits_until_the_receiver_has_everything() {
        let now = Instant::now();
        let mut sender = half(at(10), now);
        sender.stop();
        assert_eq!(sender.next(now), SenderRequest::Send { from: START, to: at(10) });
        sender.sent(at(10));
        assert_eq!(sender.next(now), ask(true));
        assert!(matches!(sender.next(now), SenderRequest::Wait { .. }));
        sender.received(status(at(10), at(5)), now).unwrap();
        assert!(matches!(sender.next(now), SenderRequest::Wait { .. }));
        sender.received(status(at(10), at(10)), now).unwrap();
        assert_eq!(sender.next(now), SenderRequest::Drained);
    }

    #[test]
    fn a_wanted_reply_is_given_at_once() {
        let now = Instant::now();
        let mut sender = half(at(10), now);
        let (time, lsn) = (Timestamp(1), START);
        let ping = StandbyStatus { write: lsn, flush: lsn, apply: lsn, time, reply_requested: true };
        sender.received(StandbyMessage::Status(ping), now).unwrap();
        assert_eq!(sender.next(now), ask(false));
        assert!(matches!(sender.next(now), SenderRequest::Send { .. }));
    }

    #[test]
    fn what_is_waited_for_is_told_once_and_before_the_log() {
        let now = Instant::now();
        let mut sender = half(at(10), now);
        let awaited = Awaited { apply: true, ..Awaited::default() };
        sender.set_awaited(awaited);
        assert_eq!(sender.next(now), SenderRequest::Keepalive { reply_requested: false, awaited });
        assert!(matches!(sender.next(now), SenderRequest::Send { .. }));
        sender.sent(at(10));
        sender.set_awaited(awaited);
        assert!(matches!(sender.next(now), SenderRequest::Wait { .. }));
    }

    #[test]
    fn lag_counts_from_when_the_log_was_durable() {
        let now = Instant::now();
        let mut sender = half(START, now);
        sender.flushed(at(10), now);
        sender.sent(at(10));
        let later = now + Duration::from_millis(30);
        sender.received(status(at(10), at(5)), later).unwrap();
        assert_eq!(sender.lags().write, Some(Duration::from_millis(30)));
    }
}
