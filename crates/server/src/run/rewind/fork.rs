use std::time::Duration;

use bytes::BytesMut;
use walship_client::{ClientError, Connection, Event, Purpose};
use walship_protocol::{Command, PrimaryMessage, Target};
use walship_replication::receiver::{Primary, ReceiverError, ReceiverHost, fetch_history, identify};
use walship_types::{Lsn, TimelineHistory, TimelineId};
use walship_wal::{EndReason, RECORD_PAYLOAD_MAX, Record, WalConfig, WalSource, first_record};

use super::Fork;
use super::own_end::OwnEnd;
use crate::run::Failure;

/// How much log before a fork is held against the source's, in bytes: enough that two
/// logs which differ anywhere before it differ in it, since every record has the hashes
/// of what it leaves and the position of the record before.
const PROOF_BYTES: u64 = 64 << 10;
/// How long the source may take to send it.
const PROOF_WAIT: Duration = Duration::from_secs(30);
/// Most log that the first record of a timeline takes, in bytes, all headers with it.
const FIRST_RECORD_BYTES_MAX: u64 = RECORD_PAYLOAD_MAX as u64 + PROOF_BYTES;
/// SQLSTATE of a server that no longer has a segment.
const SEGMENT_GONE: &str = "58P01";

/// The node that a rewound one will follow.
pub(super) struct Source {
    connection: Connection,
    pub(super) history: TimelineHistory,
    pub(super) flushed: Lsn,
    pub(super) follower: bool,
}

/// Where a node stands to its source.
pub(super) enum Standing {
    /// The source has all of the node's log.
    Behind,
    /// The node has log that the source went on without.
    Forked(Fork),
    /// Both are on the same timeline, and the node has more of it: nobody went on without.
    NotPromoted,
}

/// A node's own log.
pub(super) struct OwnLog<'a> {
    pub(super) history: &'a TimelineHistory,
    pub(super) end: Lsn,
    /// Where its bytes are; the first that has a segment counts.
    pub(super) places: &'a [WalConfig],
}

impl Source {
    pub(super) async fn connect(target: &Target, host: &dyn ReceiverHost) -> Result<Source, Failure> {
        let mut connection = Connection::connect(target, Purpose::Replication, "walship rewind")
            .await
            .map_err(|error| Failure::new(format!("could not connect to the source: {error}")))?;
        let identified = identify(&mut connection, host.system_id(), host.segment_size()).await;
        let Primary { timeline, flushed } = identified.map_err(unrelated)?;
        let history = match timeline {
            TimelineId::FIRST => TimelineHistory::root(timeline),
            _ => fetch_history(&mut connection, timeline).await.map_err(Failure::new)?,
        };
        let follower = connection.parameter("in_hot_standby") == Some("on");
        Ok(Source { connection, history, flushed, follower })
    }

    /// Where the logs part. It is believed only if both have the same bytes before it.
    pub(super) async fn standing(&mut self, own: &OwnLog<'_>) -> Result<Standing, Failure> {
        let forks = own.history.forks(&self.history);
        for &(timeline, left) in &forks {
            let same_timeline = left == Lsn::MAX;
            let at = if same_timeline { self.flushed } else { left }.min(own.end);
            if !self.same_log(own, timeline, at).await? {
                continue;
            }
            if at == own.end {
                return Ok(Standing::Behind);
            }
            if same_timeline {
                return Ok(Standing::NotPromoted);
            }
            let (own_timeline, own_end) = (own.history.timeline, own.end);
            return Ok(Standing::Forked(Fork { timeline, lsn: at, own_timeline, own_end }));
        }
        let (found, timeline) = (self.history.timeline, own.history.timeline);
        Err(Failure::new(format!(
            "the source's timeline {found} and this node's timeline {timeline} have no log in common although both \
             say so"
        ))
        .hint("the histories contradict each other: take a new base backup, walreceiver --init"))
    }

    /// Why nothing can be done if the node is a leader, or ahead of one.
    pub(super) fn not_promoted(&self, own: &OwnLog<'_>) -> Failure {
        let (end, flushed, timeline) = (own.end, self.flushed, own.history.timeline);
        let role = if self.follower { "follower" } else { "leader" };
        let failure = Failure::new(format!(
            "the source is a {role} on timeline {timeline} as this node, whose log reaches {end} and the source's \
             {flushed}: nothing was abandoned"
        ));
        failure.hint(if self.follower {
            "promote a follower first, then rewind against it; or start this node as the leader that it is"
        } else {
            "two leaders wrote the same timeline: take a new base backup, walreceiver --init"
        })
    }

    /// Whether the source has the same bytes right before `at`.
    async fn same_log(&mut self, own: &OwnLog<'_>, timeline: TimelineId, at: Lsn) -> Result<bool, Failure> {
        let Some((config, start)) = place_of(own, at) else {
            // the segment is gone here: the histories have to do
            return Ok(true);
        };
        let mut expected = BytesMut::new();
        let source = WalSource::offline(config.clone());
        while (expected.len() as u64) < at.0 - start.0 {
            let from = Lsn(start.0 + expected.len() as u64);
            let piece = source.read(from, PROOF_BYTES as usize, at)?;
            if piece.is_empty() {
                break;
            }
            expected.extend_from_slice(&piece);
        }
        match self.read_log(timeline, start, at).await? {
            Some(found) => Ok(found == expected),
            None => self.continues(config, timeline, at).await,
        }
    }

    /// Whether the timeline with which the source left `timeline` at `at` continues this
    /// node's log, where the source has nothing from before: one that was restored to the
    /// end of a segment begins there. The histories alone do not show it, since two nodes
    /// may have given two timelines the same number. The first record of the new one does:
    /// it has the position of the record before it, and the checksum of every database,
    /// which have to be those that this node's log has there. More is not needed either,
    /// since nothing from before that record is replayed.
    async fn continues(
        &mut self,
        config: &WalConfig,
        timeline: TimelineId,
        at: Lsn,
    ) -> Result<bool, Failure> {
        let next = self.history.next_after(timeline).filter(|(_, start)| *start == at);
        let Some((next, _)) = next.filter(|_| config.segment_size.offset_of(at) == 0) else {
            return Err(gone(format!("the source has no log right before {at} on timeline {timeline}")));
        };
        let first = self.first_record(config, next, at).await?;
        OwnEnd::read(config, at)?.is_continued_by(&first, config, at)
    }

    /// The first record of a timeline of the source that begins with a segment.
    async fn first_record(
        &mut self,
        config: &WalConfig,
        timeline: TimelineId,
        at: Lsn,
    ) -> Result<Record, Failure> {
        let source = WalConfig { history: self.history.clone(), ..config.clone() };
        let mut reason = EndReason::NotFlushed;
        for most in [PROOF_BYTES, FIRST_RECORD_BYTES_MAX] {
            let end = self.flushed.min(Lsn(at.0.saturating_add(most)));
            let Some(log) = self.read_log(timeline, at, end).await? else {
                return Err(gone(format!("the source has no log at {at} on timeline {timeline}")));
            };
            match first_record(&source, at, &log) {
                Ok(record) => return Ok(record),
                Err(EndReason::NotFlushed) => {}
                Err(other) => {
                    reason = other;
                    break;
                }
            }
        }
        Err(Failure::new(format!("the source's timeline {timeline} has no record at {at}: {reason}")))
    }

    /// The source's log from `start` to `end`; `None` if it has been removed.
    async fn read_log(
        &mut self,
        timeline: TimelineId,
        start: Lsn,
        end: Lsn,
    ) -> Result<Option<BytesMut>, Failure> {
        match tokio::time::timeout(PROOF_WAIT, self.receive_log(timeline, start, end)).await {
            Ok(Ok(log)) => Ok(Some(log)),
            // the command has been answered to its end: the connection takes the next one
            Ok(Err(error)) if error.sqlstate() == Some(SEGMENT_GONE) => Ok(None),
            Ok(Err(error)) => Err(source_refuses(error)),
            Err(_) => Err(Failure::new("the source does not send its log")),
        }
    }

    async fn receive_log(
        &mut self,
        timeline: TimelineId,
        start: Lsn,
        end: Lsn,
    ) -> Result<BytesMut, ClientError> {
        let command = Command::StartReplication { slot: None, start, timeline: Some(timeline) };
        let connection = &mut self.connection;
        connection.start(&command.to_string()).await?;
        let wanted = usize::try_from(end.saturating_distance_from(start)).unwrap_or(usize::MAX);
        let (mut found, mut done) = (BytesMut::new(), false);
        loop {
            match connection.next().await? {
                Event::Data(data) => {
                    // what is on its way when enough has come is let go
                    if let Ok(PrimaryMessage::XLogData { data, .. }) = PrimaryMessage::decode(data)
                        && found.len() < wanted
                    {
                        found.extend_from_slice(&data);
                    }
                }
                Event::CopyDone if !done => {
                    done = true;
                    connection.send_copy_done().await?;
                }
                Event::Ready => break,
                _ => {}
            }
            if found.len() >= wanted && !done {
                done = true;
                connection.send_copy_done().await?;
            }
        }
        found.truncate(wanted);
        Ok(found)
    }

    pub(super) async fn close(self) {
        self.connection.close().await;
    }
}

/// The log whose segment right before `at` is there, and where to begin in it.
fn place_of<'a>(own: &OwnLog<'a>, at: Lsn) -> Option<(&'a WalConfig, Lsn)> {
    let last = Lsn(at.0.saturating_sub(1));
    let found =
        own.places.iter().find(|config| config.file_path(config.segment_size.segment_of(last)).exists())?;
    let segment_start = found.segment_size.start_of(found.segment_size.segment_of(last));
    Some((found, segment_start.max(Lsn(at.0.saturating_sub(PROOF_BYTES)))))
}

fn unrelated(error: ReceiverError) -> Failure {
    match error {
        ReceiverError::OtherSystem { own, found } => Failure::new(format!(
            "the source belongs to another cluster: its system identifier is {found}, this node's is {own}"
        ))
        .hint("give the connection string of a node of this cluster"),
        error => Failure::new(error),
    }
}

/// Why the source does not send log or pages.
pub(super) fn source_refuses(error: ClientError) -> Failure {
    let failure = format!("the source refuses: {error}");
    if error.sqlstate() == Some(SEGMENT_GONE) {
        return gone(failure);
    }
    match error.server().and_then(|error| error.hint.clone()) {
        Some(hint) => Failure::new(failure).hint(hint),
        None => Failure::new(failure),
    }
}

/// The source lacks log that a rewind needs.
fn gone(failure: String) -> Failure {
    Failure::new(failure).hint(
        "the source no longer has the log since the fork, so that this node cannot be rewound: take a new base \
         backup, walreceiver --init",
    )
}
