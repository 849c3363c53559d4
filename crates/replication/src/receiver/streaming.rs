use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bytes::Bytes;
use walship_client::{ClientError, Connection, Event, QueryResult};
use walship_node::ReceiverStatus;
use walship_protocol::wire::CopyDirection;
use walship_protocol::{PrimaryMessage, ReceiverHalf, ReceiverRequest, StandbyMessage};
use walship_types::{Lsn, TimelineId, Timestamp};
use walship_wal::{PositionWatch, WaitOutcome};

use super::ReceiverError;
use super::host::{ReceiverHost, ReceiverReport};
use super::log::{NO_SPACE_PAUSE, ReceiverLog};

/// How often to look whether replay has started.
const REPLAY_LOOK: Duration = Duration::from_millis(100);

/// Where the sender's timeline went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NextTimeline {
    pub(super) timeline: TimelineId,
    pub(super) start: Lsn,
}

/// One stream, from its command to its end.
pub(super) struct Streaming<'a> {
    pub(super) connection: &'a mut Connection,
    pub(super) host: &'a dyn ReceiverHost,
    pub(super) half: ReceiverHalf,
    pub(super) log: &'a mut ReceiverLog,
    pub(super) report: &'a mut ReceiverReport,
    /// The timeline that the sender was on when it was asked.
    pub(super) sender: TimelineId,
    /// Received, and not all of it written yet, because the disk is full.
    pub(super) pending: Option<(Lsn, Bytes)>,
}

impl Streaming<'_> {
    /// Streams until the sender ends it; the result says where its timeline went on.
    pub(super) async fn run(&mut self, command: &str) -> Result<Option<NextTimeline>, ReceiverError> {
        self.connection.start(command).await?;
        let mut next = None;
        loop {
            match self.connection.next().await? {
                Event::Copy(CopyDirection::Both) => {
                    self.report.status = ReceiverStatus::Streaming;
                    self.host.report(self.report);
                    self.stream().await?;
                }
                Event::Complete(result) => next = next.or(next_timeline(&result)?),
                Event::Ready => return Ok(next),
                Event::Notice(notice) => tracing::info!("the primary says: {}", notice.message),
                other @ (Event::Copy(_) | Event::Data(_) | Event::CopyDone) => {
                    let what = format!("unexpected {:?}", std::mem::discriminant(&other));
                    return Err(ReceiverError::Response { command: "START_REPLICATION", what });
                }
            }
        }
    }

    /// Inside the copy stream. What came is written at once, and made durable as soon as nothing more has come: under
    /// load many pieces share a sync.
    async fn stream(&mut self) -> Result<(), ReceiverError> {
        loop {
            let now = Instant::now();
            self.half.wrote(self.log.written(), now);
            self.half.flushed(self.log.flushed(), now);
            let replay = self.host.replay();
            if let Some(replay) = &replay {
                self.half.applied(replay.get(), now);
            }
            // after the positions were read: whoever was promised has heard of all that is reported
            // a sender beyond that timeline sends the rest of an older one: nobody writes that any more
            let found = self.report.timeline.unwrap_or(self.sender).max(self.sender);
            if let Some(wanted) = self.host.oldest_timeline().filter(|&wanted| found < wanted) {
                return Err(ReceiverError::Pledged { wanted, found });
            }
            if self.pending.is_some() {
                self.half.deaf(now);
            }
            let (until, silence) = match self.half.next(now, Timestamp::now()) {
                ReceiverRequest::Report(status) => {
                    self.connection.send_status(&StandbyMessage::Status(status)).await?;
                    continue;
                }
                ReceiverRequest::TimedOut { silence } => (None, Some(silence)),
                ReceiverRequest::Wait { until } => (until, None),
            };
            let dirty = self.log.flushed() < self.log.written();
            if self.pending.is_none() && (dirty || silence.is_some()) {
                // a disk that was slow is no silence of the sender, who may have said much meanwhile
                match (self.arrived().await, silence) {
                    (Some(event), _) => {
                        if self.take(event?)?.is_break() {
                            return self.end().await;
                        }
                    }
                    (None, Some(silence)) => return Err(ReceiverError::TimedOut(silence)),
                    (None, None) => self.log.flush()?,
                }
                continue;
            }
            if dirty {
                // those whose commits were written must not wait for room
                self.log.flush()?;
                continue;
            }
            // replay that has not started tells nobody when it does
            let look = replay.is_none().then(|| now + REPLAY_LOOK);
            let room = self.pending.is_some().then(|| now + NO_SPACE_PAUSE);
            let until = [until, look, room].into_iter().flatten().min();
            let applied = self.half.next_applied();
            tokio::select! {
                event = self.connection.next(), if self.pending.is_none() => {
                    if self.take(event?)?.is_break() {
                        return self.end().await;
                    }
                }
                () = replayed(replay.as_deref(), applied) => {}
                () = sleep_until(until) => self.write_pending()?,
            }
        }
    }

    /// What has come by now, without waiting for more.
    async fn arrived(&mut self) -> Option<Result<Event, ClientError>> {
        // the runtime looks at the socket meanwhile
        tokio::task::yield_now().await;
        tokio::select! {
            biased;
            event = self.connection.next() => Some(event),
            () = std::future::ready(()) => None,
        }
    }

    /// Whether the sender goes on after this.
    fn take(&mut self, event: Event) -> Result<ControlFlow<()>, ReceiverError> {
        match event {
            Event::Data(data) => self.take_message(data)?,
            Event::CopyDone => return Ok(ControlFlow::Break(())),
            // a sender that stops ends its command inside the stream
            Event::Complete(_) | Event::Ready => {
                return Err(ReceiverError::EndedByPrimary(self.half.expected()));
            }
            Event::Notice(_) | Event::Copy(_) => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn take_message(&mut self, data: Bytes) -> Result<(), ReceiverError> {
        let message = PrimaryMessage::decode(data)?;
        if self.report.last_message_received.is_none() {
            let (host, start) = (self.connection.host(), self.half.expected());
            tracing::info!(event = "streaming_started", %host, %start, "started streaming from {host} at {start}");
        }
        self.pending = self.half.received(message, Instant::now())?;
        self.report.last_message_sent = self.half.sender_time();
        self.report.last_message_received = Some(Timestamp::now());
        self.report.latest_end = self.half.sender_end();
        self.host.report(self.report);
        self.write_pending()
    }

    /// Writes what was received, as far as there is room.
    fn write_pending(&mut self) -> Result<(), ReceiverError> {
        if let Some((lsn, bytes)) = self.pending.take()
            && !self.log.write(lsn, &bytes)?
        {
            self.pending = Some((lsn, bytes));
        }
        Ok(())
    }

    /// The sender ended its direction: everything that came is made durable and reported,
    /// then we end ours.
    async fn end(&mut self) -> Result<(), ReceiverError> {
        let end = self.half.expected();
        self.log.flush()?;
        let now = Instant::now();
        self.half.wrote(end, now);
        self.half.flushed(end, now);
        let status = self.half.status(Timestamp::now(), false);
        self.connection.send_status(&StandbyMessage::Status(status)).await?;
        self.connection.send_copy_done().await?;
        Ok(())
    }
}

/// Ends when something is visible that is to be told at once.
async fn replayed(replay: Option<&PositionWatch>, next: Option<Lsn>) {
    if let Some((replay, next)) = replay.zip(next)
        && replay.reached(next).await == WaitOutcome::Reached
    {
        return;
    }
    // replay that has failed is shown by views, and ends no stream
    std::future::pending::<()>().await;
}

async fn sleep_until(when: Option<Instant>) {
    match when {
        Some(when) => tokio::time::sleep_until(when.into()).await,
        None => std::future::pending().await,
    }
}

fn next_timeline(result: &QueryResult) -> Result<Option<NextTimeline>, ReceiverError> {
    let Some(timeline) = result.text("next_tli") else { return Ok(None) };
    let parsed = timeline.parse().ok().zip(result.text("next_tli_startpos").and_then(|lsn| lsn.parse().ok()));
    let (timeline, start) = parsed.ok_or_else(|| ReceiverError::Response {
        command: "START_REPLICATION",
        what: format!("invalid next timeline \"{timeline}\""),
    })?;
    Ok(Some(NextTimeline { timeline: TimelineId(timeline), start }))
}
