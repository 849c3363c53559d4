use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use walship_node::SenderState;
use walship_protocol::wire::{
    CopyDirection, ErrorFields, Frame, FrontendMessage, put_command_complete, put_copy_data, put_copy_done,
    put_copy_response, put_result_set,
};
use walship_protocol::{
    PrimaryMessage, ResultSet, SenderHalf, SenderRequest, SlotName, StandbyMessage, encode_xlog_data,
};
use walship_types::{Lsn, TimelineId, Timestamp};

use super::channel::{ConnectionError, Inbound};
use super::follower_events::{FollowerEvents, reason};
use super::host::{CheckedLog, LogSource, LogWait, SenderReport, ServerPhase, SlotUse};
use super::serve::{After, Serving, blocking, phase_reached};

/// A read closer than this to the end of the log comes from memory, and is done at once;
/// what is further away may have to come from a disk.
const NEAR_END_BYTES: u64 = 1 << 20;

/// How long to leave a closed log alone before looking whether another took its place.
const CLOSED_LOG_PAUSE: Duration = Duration::from_millis(50);

/// How long to wait at most for the rest of a record before looking whether the stream
/// has become a dead one meanwhile.
const PART_OF_RECORD_WAIT: Duration = Duration::from_millis(500);

/// `START_REPLICATION`: everything from the checks to the last message of the command.
pub(super) async fn start_replication<S: AsyncRead + AsyncWrite + Send>(
    serving: &mut Serving<S>,
    slot: Option<SlotName>,
    start: Lsn,
    timeline: Option<TimelineId>,
) -> Result<After, ConnectionError> {
    let acquired = slot.as_ref().map(|name| serving.host.slots().acquire(name, serving.session.pid));
    let slot_use = match acquired.transpose() {
        Ok(slot_use) => slot_use,
        Err(error) => {
            serving.outbound.refuse(&error);
            return Ok(After::Continue);
        }
    };
    let timeline = timeline.unwrap_or_else(|| serving.host.history().timeline);
    let end = match timeline_end(serving, timeline, start) {
        Ok(end) => end,
        Err(error) => {
            serving.outbound.refuse(&error);
            return Ok(After::Continue);
        }
    };
    put_copy_response(&mut serving.outbound.buffer, CopyDirection::Both, 0);
    let log = serving.host.log();
    if let Err(error) = check_start(serving, log.as_ref(), start) {
        serving.outbound.refuse(&error);
        return Ok(After::Continue);
    }
    let now = Instant::now();
    let half = SenderHalf::new(start, log.flushed(), end, serving.host.wal_sender_timeout(), now);
    let events = FollowerEvents::connected(&serving.session, start, timeline, slot.as_ref());
    let mut stream = Stream { serving, slot: slot_use, log, bytes: None, half, timeline, events };
    let result = stream.run().await;
    stream.ended(&result);
    result
}

/// Where the timeline ends for the one who asked; `None` for the node's own.
fn timeline_end<S>(
    serving: &Serving<S>,
    timeline: TimelineId,
    start: Lsn,
) -> Result<Option<Lsn>, ErrorFields> {
    let history = serving.host.history();
    if history.timeline == timeline {
        return Ok(None);
    }
    let Some(end) = history.switch_point(timeline) else {
        let text = format!("requested timeline {timeline} is not in this server's history");
        let detail = format!("This server is on timeline {}.", history.timeline);
        return Err(ErrorFields::error("XX000", text).with_detail(detail));
    };
    if start > end {
        let text = format!(
            "requested starting point {start} on timeline {timeline} is not in this server's history"
        );
        let detail = format!("This server's history forked from timeline {timeline} at {end}.");
        let hint = "The requesting server has log that was abandoned: rewind it, or make it anew from a base backup.";
        return Err(ErrorFields::error("XX000", text).with_detail(detail).with_hint(hint));
    }
    Ok(Some(end))
}

/// PostgreSQL reports these only after the stream has begun, and so its clients expect it.
fn check_start<S>(serving: &Serving<S>, log: &dyn LogSource, start: Lsn) -> Result<(), ErrorFields> {
    let flushed = log.flushed();
    if start > flushed {
        let text = format!(
            "requested starting point {start} is ahead of the WAL flush position of this server {flushed}"
        );
        return Err(ErrorFields::error("XX000", text));
    }
    let size = serving.host.segment_size();
    if size.segment_of(start) < log.oldest_segment() {
        // reading it says which file is missing
        let end = Lsn(start.0.saturating_add(1));
        log.read(start, end)?;
    }
    Ok(())
}

/// The end of the command: where the timeline went on, if it was left, and both tags.
fn finish<S: AsyncWrite>(serving: &mut Serving<S>, timeline: TimelineId, left: bool) {
    let next = serving.host.history().next_after(timeline).filter(|_| left);
    let out = &mut serving.outbound.buffer;
    match next {
        Some((next, start)) => put_result_set(out, &ResultSet::next_timeline(next, start)),
        None => put_command_complete(out, "START_STREAMING"),
    }
    put_command_complete(out, "START_REPLICATION");
    serving.outbound.ready();
}

struct Stream<'a, S> {
    serving: &'a mut Serving<S>,
    slot: Option<Box<dyn SlotUse>>,
    log: Arc<dyn LogSource>,
    /// Where the log is read; `None` before the first piece.
    bytes: Option<Box<dyn CheckedLog>>,
    half: SenderHalf,
    timeline: TimelineId,
    events: FollowerEvents,
}

impl<S: AsyncRead + AsyncWrite + Send> Stream<'_, S> {
    async fn run(&mut self) -> Result<After, ConnectionError> {
        let mut phase = self.serving.host.phase();
        let mut left = false;
        // that the stream has begun is told even if there is nothing to send
        self.flush().await?;
        loop {
            match *phase.borrow_and_update() {
                ServerPhase::Running => {}
                ServerPhase::Draining => self.half.stop(),
                ServerPhase::Stopping => return Ok(After::Close),
            }
            self.look_at_log();
            self.report(*phase.borrow());
            if self.slot.as_ref().is_some_and(|slot| slot.is_lost()) {
                return Ok(self.end_with(&slot_lost()));
            }
            match self.half.next(Instant::now()) {
                SenderRequest::Send { from, to } => {
                    let flushed = self.log.flushed();
                    match self.read(from, to).await {
                        Ok(data) if data.is_empty() => {
                            // a follower's log may end within a record
                            if *phase.borrow() == ServerPhase::Draining {
                                return self.drained().await;
                            }
                            let look_again = Instant::now() + PART_OF_RECORD_WAIT;
                            self.wait(Some(look_again), Some(flushed), &mut phase).await?;
                        }
                        Ok(data) => {
                            self.put_log(from, &data);
                            self.flush().await?;
                        }
                        Err(error) => return Ok(self.end_with(&error)),
                    }
                }
                SenderRequest::Keepalive { reply_requested, awaited } => {
                    let message = PrimaryMessage::Keepalive {
                        end: self.log.flushed(),
                        time: Timestamp::now(),
                        reply_requested,
                        awaited,
                    };
                    put_copy_data(&mut self.serving.outbound.buffer, &message.encode());
                    self.flush().await?;
                }
                SenderRequest::EndOfTimeline { .. } => {
                    left = true;
                    put_copy_done(&mut self.serving.outbound.buffer);
                    self.flush().await?;
                }
                SenderRequest::AnswerDone => put_copy_done(&mut self.serving.outbound.buffer),
                SenderRequest::Finished => {
                    self.events.left(self.half.sent_position(), &self.half.peer());
                    finish(self.serving, self.timeline, left);
                    return Ok(After::Continue);
                }
                SenderRequest::Drained => return self.drained().await,
                SenderRequest::TimedOut { silence } => return Err(ConnectionError::TimedOut(silence)),
                SenderRequest::Wait { until } => {
                    let beyond = self.half.waits_for_log().then(|| self.half.sent_position());
                    self.wait(until, beyond, &mut phase).await?;
                }
            }
        }
    }

    /// Takes over how far the log is, and whether this timeline is still the node's own.
    /// In this order: what is flushed beyond a switch point is never seen without it.
    fn look_at_log(&mut self) {
        let flushed = self.log.flushed();
        let history = self.serving.host.history();
        if history.timeline != self.timeline
            && let Some(end) = history.switch_point(self.timeline)
        {
            self.half.timeline_left(end);
        }
        self.half.flushed(flushed, Instant::now());
        self.half.set_timeout(self.serving.host.wal_sender_timeout());
        self.half.set_awaited(self.serving.row.awaited());
    }

    fn report(&mut self, phase: ServerPhase) {
        if self.half.caught_up() {
            self.events.caught_up(self.half.sent_position());
        }
        let state = match phase {
            ServerPhase::Running if self.events.has_caught_up() => SenderState::Streaming,
            ServerPhase::Running => SenderState::Catchup,
            ServerPhase::Draining | ServerPhase::Stopping => SenderState::Stopping,
        };
        self.serving.row.update(SenderReport {
            state,
            sent: self.half.sent_position(),
            peer: self.half.peer(),
            lags: self.half.lags(),
            reply_time: self.half.reply_time(),
        });
    }

    async fn read(&mut self, from: Lsn, to: Lsn) -> Result<Bytes, ErrorFields> {
        let bytes = self.bytes.take().filter(|bytes| bytes.position() == from);
        let near = self.log.flushed().saturating_distance_from(from) <= NEAR_END_BYTES;
        let (bytes, data) = match bytes {
            Some(mut bytes) if near => {
                let data = bytes.next(to)?;
                (bytes, data)
            }
            bytes => {
                let log = Arc::clone(&self.log);
                let work = move || -> Result<_, ErrorFields> {
                    let mut bytes = bytes.map_or_else(|| log.checked(from), Ok)?;
                    let data = bytes.next(to)?;
                    Ok((bytes, data))
                };
                blocking(work).await??
            }
        };
        self.bytes = Some(bytes);
        Ok(data)
    }

    /// The stream is not ended but the server is gone: receivers try again.
    async fn drained(&mut self) -> Result<After, ConnectionError> {
        self.events.drained(self.half.sent_position());
        put_command_complete(&mut self.serving.outbound.buffer, "COPY 0");
        self.serving.outbound.flush().await?;
        self.serving.outbound.close().await;
        Ok(After::Close)
    }

    fn put_log(&mut self, from: Lsn, data: &[u8]) {
        let end = self.log.flushed();
        let message = encode_xlog_data(from, end, Timestamp::now(), data);
        put_copy_data(&mut self.serving.outbound.buffer, &message);
        self.half.sent(Lsn(from.0.saturating_add(data.len() as u64)));
    }

    /// Sends the buffer. What comes in meanwhile is taken, and silence noticed: a receiver
    /// that does not read must not hold us for longer than one that does not answer.
    async fn flush(&mut self) -> Result<(), ConnectionError> {
        let Serving { inbound, outbound, host, .. } = &mut *self.serving;
        let mut phase = host.phase();
        let timeout = host.wal_sender_timeout();
        let started = Instant::now();
        let mut write = pin!(outbound.flush());
        loop {
            let give_up = sleep_until(timeout.map(|timeout| started + timeout));
            tokio::select! {
                written = &mut write => return written,
                message = inbound.next() => take(&mut self.half, self.slot.as_deref(), message?)?,
                () = give_up => return Err(ConnectionError::TimedOut(started.elapsed())),
                () = phase_reached(&mut phase, ServerPhase::Stopping) => return Err(ConnectionError::Closed),
            }
        }
    }

    /// Waits for a message, a change of phase, `until`, or log `beyond` a position.
    async fn wait(
        &mut self,
        until: Option<Instant>,
        beyond: Option<Lsn>,
        phase: &mut tokio::sync::watch::Receiver<ServerPhase>,
    ) -> Result<(), ConnectionError> {
        let more = Lsn(beyond.map_or(u64::MAX, |lsn| lsn.0.saturating_add(1)));
        let inbound: &mut Inbound<S> = &mut self.serving.inbound;
        let closed = tokio::select! {
            message = inbound.next() => {
                take(&mut self.half, self.slot.as_deref(), message?)?;
                false
            }
            reached = self.log.wait_flushed(more), if beyond.is_some() => reached == LogWait::Closed,
            () = sleep_until(until) => false,
            _ = phase.changed() => false,
        };
        if closed {
            tokio::time::sleep(CLOSED_LOG_PAUSE).await;
            self.log = self.serving.host.log();
            self.bytes = None;
        }
        Ok(())
    }

    fn end_with(&mut self, error: &ErrorFields) -> After {
        let what = format!("streaming ended: {}", error.message);
        self.events.lost(&what, self.half.sent_position(), &self.half.peer());
        self.serving.outbound.refuse(error);
        After::Continue
    }

    /// What the log has not been told of the end yet.
    fn ended(&mut self, result: &Result<After, ConnectionError>) {
        let told = match result {
            Ok(After::Close) => "this server is stopping".to_owned(),
            Ok(After::Continue) => return,
            Err(error) => reason(error),
        };
        self.serving.lost_told = true;
        self.events.lost(&told, self.half.sent_position(), &self.half.peer());
    }
}

/// Takes what the receiver says.
fn take(half: &mut SenderHalf, slot: Option<&dyn SlotUse>, frame: Frame) -> Result<(), ConnectionError> {
    let now = Instant::now();
    match FrontendMessage::of(&frame)? {
        FrontendMessage::CopyData(_) => {
            let message = StandbyMessage::decode(frame.body).map_err(|error| violation(&error))?;
            half.received(message, now).map_err(|error| violation(&error))?;
            let flush = half.peer().flush;
            if let (Some(slot), true) = (slot, flush.is_valid()) {
                slot.advance(flush);
            }
            Ok(())
        }
        FrontendMessage::CopyDone => {
            half.received_done(now);
            Ok(())
        }
        FrontendMessage::Flush | FrontendMessage::Sync => Ok(()),
        FrontendMessage::Terminate => Err(ConnectionError::Closed),
        _ => {
            let tag = frame.tag.escape_ascii();
            Err(violation(&format_args!("unexpected message \"{tag}\" in the replication stream")))
        }
    }
}

fn violation(error: &dyn std::fmt::Display) -> ConnectionError {
    ConnectionError::Violation(error.to_string())
}

fn slot_lost() -> ErrorFields {
    ErrorFields::error("55000", "terminating: the replication slot has lost log that it needed").with_hint(
        "Raise max_slot_wal_keep_size, drop the slot, and make the follower anew from a base backup.",
    )
}

async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}
