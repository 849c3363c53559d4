use std::path::PathBuf;
use std::time::Duration;

use walship_archive::ArchiveError;
use walship_client::ClientError;
use walship_protocol::wire::SqlState;
use walship_protocol::{ConninfoError, MessageError, ReceiverViolation, TargetError};
use walship_types::{HistoryError, Lsn, SegmentSize, SystemId, TimelineId};
use walship_wal::WalError;

use crate::OtherLogFormat;

/// Why an attempt to stream ended.
#[derive(Debug, thiserror::Error)]
pub enum ReceiverError {
    /// The connection could not be made, broke, or the sender refused.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The connection string says something impossible.
    #[error("invalid primary_conninfo: {0}")]
    Target(#[from] TargetError),
    /// The connection string is none.
    #[error("invalid primary_conninfo: {0}")]
    Conninfo(#[from] ConninfoError),
    /// There is no connection string.
    #[error("primary_conninfo is not set")]
    NoPrimary,
    /// The sender is of another cluster.
    #[error(
        "database system identifier differs between the primary and standby: the primary's identifier is {found}, the standby's identifier is {own}"
    )]
    OtherSystem {
        /// This node's.
        own: SystemId,
        /// The sender's.
        found: SystemId,
    },
    /// The sender's segments have another size.
    #[error("the primary's wal_segment_size is {found}, the standby's is {own}")]
    OtherSegmentSize {
        /// This node's.
        own: SegmentSize,
        /// The sender's, as it says.
        found: String,
    },
    /// The sender's log has another format.
    #[error(transparent)]
    OtherLogFormat(#[from] OtherLogFormat),
    /// The sender has not seen a promotion that this node has.
    #[error("highest timeline {found} of the primary is behind recovery timeline {own}")]
    TimelineBehind {
        /// This node's.
        own: TimelineId,
        /// The sender's.
        found: TimelineId,
    },
    /// The host is this node.
    #[error("the server at \"{0}\" is this node itself")]
    Itself(String),
    /// The host follows, and has less than this node.
    #[error(
        "the server at \"{host}\" is a follower whose log ends at {end}, behind this node's, which ends at {own}"
    )]
    FollowerBehind {
        /// Where.
        host: String,
        /// Its end of log.
        end: Lsn,
        /// This node's.
        own: Lsn,
    },
    /// None of several hosts will do.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    NoHost(Vec<ReceiverError>),
    /// The log came from a follower, and one of the other hosts leads now.
    #[error("another host leads now")]
    LeaderFound,
    /// A newer timeline is about to begin, and this node was told to wait for it.
    #[error("the primary is on timeline {found}, and this node waits for timeline {wanted}")]
    Pledged {
        /// The oldest that will do.
        wanted: TimelineId,
        /// The sender's.
        found: TimelineId,
    },
    /// The sender's history does not go through this node's end of log.
    #[error(
        "own log reaches {end} on timeline {own}, but the primary's timeline {found} {}",
        .fork.map_or("does not descend from it".to_owned(), |lsn| format!("left it at {lsn}"))
    )]
    Diverged {
        /// This node's timeline.
        own: TimelineId,
        /// Its end of log.
        end: Lsn,
        /// The sender's timeline.
        found: TimelineId,
        /// Where the sender's history leaves this node's timeline, if it ever was on it.
        fork: Option<Lsn>,
    },
    /// The sender's answer has not what it must have.
    #[error("invalid response from primary to {command}: {what}")]
    Response {
        /// What was asked.
        command: &'static str,
        /// What is missing or wrong.
        what: String,
    },
    /// The sender's history file is none.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A message in the stream is none.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The stream breaks its own rules.
    #[error(transparent)]
    Violation(#[from] ReceiverViolation),
    /// The sender is silent.
    #[error("terminating walreceiver due to timeout: nothing heard for {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The sender ended the stream without a reason: it is stopping.
    #[error("replication terminated by primary server at {0}")]
    EndedByPrimary(Lsn),
    /// This node's own log takes nothing more: the process has to stop.
    #[error(transparent)]
    Log(#[from] WalError),
    /// The archive could not give what was asked for.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The archive has other log than this node at the same place.
    #[error(
        "archive file \"{}\" differs from this node's own log at {lsn}, offset {offset}",
        path.display()
    )]
    ArchiveDiffers {
        /// The file.
        path: PathBuf,
        /// In the file.
        offset: u64,
        /// The same place in the log.
        lsn: Lsn,
    },
    /// What the archive has goes no further, and not because it is not archived yet.
    #[error("the archived log goes no further than {at}: {reason}")]
    ArchiveEnds {
        /// Its end.
        at: Lsn,
        /// What is wrong there, and with which file.
        reason: String,
    },
    /// Something of the node failed.
    #[error("{0}")]
    Node(Box<dyn std::error::Error + Send + Sync>),
}

/// Most often two followers were given one name.
const OWN_NAME: &str = "each follower needs a name of its own (--name), from which its slot takes its own, or a slot of its own (--slot)";

impl ReceiverError {
    /// Whether the slot that this node uses on its sender has lost the log that it was to
    /// keep: once the node has that log from elsewhere, a new slot will do.
    pub fn is_slot_lost(&self) -> bool {
        matches!(self, ReceiverError::Client(error) if error.sqlstate() == Some("55000"))
    }

    /// Whether no further attempt can help.
    pub fn is_fatal(&self) -> bool {
        matches!(self, ReceiverError::Log(_))
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            ReceiverError::OtherSystem { .. } => Some(
                "this is a follower of another cluster: correct primary_conninfo, or make it anew with --init".to_owned(),
            ),
            ReceiverError::Diverged { .. } => Some(
                "this node has log that the primary never had: rewind it with walctl rewind, or make it anew from a base backup"
                    .to_owned(),
            ),
            ReceiverError::OtherLogFormat(_) => Some(OtherLogFormat::HINT.to_owned()),
            ReceiverError::NoHost(errors) => errors.iter().find_map(ReceiverError::hint),
            ReceiverError::ArchiveDiffers { .. } => Some(
                "the archive is of another branch of history, or damaged: this node cannot be brought forward with it"
                    .to_owned(),
            ),
            ReceiverError::ArchiveEnds { .. } => {
                Some("bring that file into the archive anew, from a server's pg_wal or another archive".to_owned())
            }
            ReceiverError::Archive(error) => error.hint().map(str::to_owned),
            ReceiverError::Client(error) => {
                let error = error.server()?;
                let taken = || error.sqlstate == SqlState::OBJECT_IN_USE;
                error.hint.clone().or_else(|| taken().then(|| OWN_NAME.to_owned()))
            }
            _ => None,
        }
    }
}
