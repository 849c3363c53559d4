use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;
use walship_client::{Connection, Event, QueryResult};
use walship_node::ReceiverStatus;
use walship_protocol::wire::CopyDirection;
use walship_protocol::{NextPositions, PrimaryMessage, ReceiverHalf, ReceiverRequest, StandbyMessage};
use walship_types::{Lsn, TimelineId, Timestamp};
use walship_wal::{PositionWatch, WaitOutcome, WalPositions};

use super::ReceiverError;
use super::host::{ReceiverHost, ReceiverReport};
use super::log_thread::LogCommand;

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
    pub(super) positions: &'a WalPositions,
    pub(super) log: &'a mpsc::Sender<LogCommand>,
    pub(super) report: &'a mut ReceiverReport,
    /// The timeline that the sender was on when it was asked.
    pub(super) sender: TimelineId,
    /// Received, and waiting for room on the way to the disk.
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

    /// Inside the copy stream.
    async fn stream(&mut self) -> Result<(), ReceiverError> {
        loop {
            let now = Instant::now();
            // in this order: both move meanwhile, and what is flushed was written before
            let flushed = self.positions.flush.get();
            let written = self.positions.write.get();
            self.half.wrote(written.min(self.half.expected()), now);
            self.half.flushed(flushed.min(self.half.expected()), now);
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
            let until = match self.half.next(now, Timestamp::now()) {
                ReceiverRequest::Report(status) => {
                    self.connection.send_status(&StandbyMessage::Status(status)).await?;
                    continue;
                }
                ReceiverRequest::TimedOut { silence } => return Err(ReceiverError::TimedOut(silence)),
                ReceiverRequest::Wait { until } => until,
            };
            // replay that has not started tells nobody when it does
            let look = replay.is_none().then(|| now + REPLAY_LOOK);
            let until = until.into_iter().chain(look).min();
            let next = self.half.next_positions();
            tokio::select! {
                event = self.connection.next(), if self.pending.is_none() => match event? {
                    Event::Data(data) => self.take(data)?,
                    Event::CopyDone => return self.end().await,
                    // a sender that stops ends its command inside the stream
                    Event::Complete(_) | Event::Ready => {
                        return Err(ReceiverError::EndedByPrimary(self.half.expected()));
                    }
                    Event::Notice(_) | Event::Copy(_) => {}
                },
                room = self.log.reserve(), if self.pending.is_some() => {
                    let (Ok(room), Some((lsn, bytes))) = (room, self.pending.take()) else {
                        return Err(self.log_failed());
                    };
                    room.send(LogCommand::Write(lsn, bytes));
                }
                outcome = moved(self.positions, &next) => {
                    if outcome == WaitOutcome::Closed {
                        return Err(self.log_failed());
                    }
                }
                () = replayed(replay.as_deref(), next.apply) => {}
                () = sleep_until(until) => {}
            }
        }
    }

    fn take(&mut self, data: Bytes) -> Result<(), ReceiverError> {
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
        Ok(())
    }

    /// The sender ended its direction: everything that came is made durable and reported,
    /// then we end ours.
    async fn end(&mut self) -> Result<(), ReceiverError> {
        let end = self.half.expected();
        if self.positions.flush.reached(end).await != WaitOutcome::Reached {
            return Err(self.log_failed());
        }
        let now = Instant::now();
        self.half.wrote(end, now);
        self.half.flushed(end, now);
        let status = self.half.status(Timestamp::now(), false);
        self.connection.send_status(&StandbyMessage::Status(status)).await?;
        self.connection.send_copy_done().await?;
        Ok(())
    }

    /// The thread that writes has ended; it says why when it is joined.
    fn log_failed(&self) -> ReceiverError {
        let reason = self.positions.flush.closed_reason().unwrap_or_else(|| "the log is closed".to_owned());
        ReceiverError::Log(walship_wal::WalError::Poisoned { reason })
    }
}

/// Ends when something is written or durable that is to be told at once, or nothing ever will be.
async fn moved(positions: &WalPositions, next: &NextPositions) -> WaitOutcome {
    // a log that fails closes this one
    let flush = positions.flush.reached(next.flush.unwrap_or(Lsn::MAX));
    match next.write {
        None => flush.await,
        Some(write) => tokio::select! {
            outcome = positions.write.reached(write) => outcome,
            outcome = flush => outcome,
        },
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
