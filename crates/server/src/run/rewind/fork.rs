use std::time::Duration;

use bytes::BytesMut;
use walship_client::{Connection, Event, Purpose};
use walship_protocol::{Command, PrimaryMessage, Target};
use walship_replication::receiver::{Primary, ReceiverError, ReceiverHost, fetch_history, identify};
use walship_types::{Lsn, TimelineHistory, TimelineId};
use walship_wal::{WalConfig, WalSource};

use super::Fork;
use crate::run::Failure;

/// How much log before a fork is held against the source's, in bytes: enough that two
/// logs which differ anywhere before it differ in it, since every record has the hashes
/// of what it leaves and the position of the record before.
const PROOF_BYTES: u64 = 64 << 10;
/// How long the source may take to send it.
const PROOF_WAIT: Duration = Duration::from_secs(30);

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
        let found = tokio::time::timeout(PROOF_WAIT, self.read_log(timeline, start, at)).await;
        let found = found.map_err(|_| Failure::new("the source does not send its log"))??;
        Ok(found == expected)
    }

    /// The source's log from `start` to `end`.
    async fn read_log(&mut self, timeline: TimelineId, start: Lsn, end: Lsn) -> Result<BytesMut, Failure> {
        let command = Command::StartReplication { slot: None, start, timeline: Some(timeline) };
        let connection = &mut self.connection;
        connection.start(&command.to_string()).await.map_err(Failure::new)?;
        let wanted = usize::try_from(end.saturating_distance_from(start)).unwrap_or(usize::MAX);
        let (mut found, mut done) = (BytesMut::new(), false);
        loop {
            match connection.next().await.map_err(source_refuses)? {
                Event::Data(data) => {
                    if let Ok(PrimaryMessage::XLogData { data, .. }) = PrimaryMessage::decode(data) {
                        found.extend_from_slice(&data);
                    }
                }
                Event::CopyDone if !done => {
                    done = true;
                    connection.send_copy_done().await.map_err(Failure::new)?;
                }
                Event::Ready => break,
                _ => {}
            }
            if found.len() >= wanted && !done {
                done = true;
                connection.send_copy_done().await.map_err(Failure::new)?;
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
pub(super) fn source_refuses(error: walship_client::ClientError) -> Failure {
    let hint = error.server().and_then(|error| error.hint.clone());
    let gone = error.sqlstate() == Some("58P01");
    let failure = Failure::new(format!("the source refuses: {error}"));
    match (gone, hint) {
        (true, _) => failure.hint(
            "the source no longer has the log since the fork, so that this node cannot be rewound: take a new base \
             backup, walreceiver --init",
        ),
        (false, Some(hint)) => failure.hint(hint),
        (false, None) => failure,
    }
}
