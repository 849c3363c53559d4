//! The grammar of replication commands: PostgreSQL 15's, in upper case only, and
//! walship's own commands, whose names start with `WALSHIP_`.

mod base_backup;
mod parse;
mod print;

use walship_types::{DatabaseName, InvalidDatabaseName, Lsn, SystemId, TimelineId};

use crate::{InvalidSlotName, SlotName};

pub use base_backup::{
    BaseBackupOptions, CheckpointMode, CompressionChoice, ManifestChecksum, ManifestMode, OptionError,
};

/// A replication command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `IDENTIFY_SYSTEM`
    IdentifySystem,
    /// `SHOW name`
    Show {
        /// The setting's name.
        name: String,
    },
    /// `READ_REPLICATION_SLOT name`
    ReadReplicationSlot {
        /// The slot's name.
        slot: SlotName,
    },
    /// `CREATE_REPLICATION_SLOT name [TEMPORARY] PHYSICAL|LOGICAL plugin [options]`
    CreateReplicationSlot {
        /// The slot's name.
        slot: SlotName,
        /// Whether it goes with its connection.
        temporary: bool,
        /// Physical, or logical with the name of a plugin.
        kind: SlotKind,
        /// Whether it holds the log from now on, and not only from its first use.
        reserve_wal: bool,
    },
    /// `DROP_REPLICATION_SLOT name [WAIT]`
    DropReplicationSlot {
        /// The slot's name.
        slot: SlotName,
        /// Whether to wait for a user of the slot to let go of it.
        wait: bool,
    },
    /// `START_REPLICATION [SLOT name] [PHYSICAL] X/X [TIMELINE n]`
    StartReplication {
        /// The slot to stream under.
        slot: Option<SlotName>,
        /// First byte wanted.
        start: Lsn,
        /// The timeline wanted; the server's own if none is given.
        timeline: Option<TimelineId>,
    },
    /// `START_REPLICATION SLOT name LOGICAL X/X [(...)]`: understood, so that it can be refused.
    StartLogicalReplication {
        /// The slot's name.
        slot: SlotName,
    },
    /// `TIMELINE_HISTORY n`
    TimelineHistory {
        /// The timeline whose history is wanted.
        timeline: TimelineId,
    },
    /// `BASE_BACKUP [(options)]`
    BaseBackup(BaseBackupOptions),
    /// `WALSHIP_IMPORT_DATABASE name`: a plain SQLite file follows as a CopyIn stream.
    ImportDatabase {
        /// Name of the database to be made of it.
        name: DatabaseName,
    },
    /// `WALSHIP_READ_PAGES X/X`: pages of databases, as the client asks for them in a
    /// CopyBoth stream, with the log kept from that position on.
    ReadPages {
        /// The oldest position of the log that the client will need.
        keep_from: Lsn,
    },
    /// `WALSHIP_FENCE SYSTEM 'id' TIMELINE n HISTORY 'text' NODE 'name'`: tells a leader that
    /// another node leads a newer timeline. Answers with one row: the timeline, and where it
    /// left the server's own.
    Fence {
        /// The cluster.
        system_id: SystemId,
        /// The newer timeline.
        timeline: TimelineId,
        /// Its history file.
        history: String,
        /// Who leads it, for people.
        node: String,
    },
    /// `WALSHIP_SWITCHOVER TO 'conninfo' CATCH_UP ms HOLD ms`: hands the server's leadership
    /// over to a follower. Answers with one row: the new timeline, where it begins, and for
    /// how long writers were held up.
    Switchover {
        /// Connection string of the follower.
        to: String,
        /// How long to wait until it has caught up, in milliseconds.
        catch_up_ms: u64,
        /// How long writers may be held up, in milliseconds.
        hold_ms: u64,
    },
    /// `WALSHIP_PLEDGE TIMELINE n FOR ms`: a follower receives nothing from a sender on an
    /// older timeline for that long; 0 takes it back. Answers with one row: the follower's
    /// timeline, and up to where its log is durable, which no such sender will hear of more.
    Pledge {
        /// The oldest timeline that will do.
        timeline: TimelineId,
        /// For how long, in milliseconds.
        for_ms: u64,
    },
    /// `WALSHIP_TAKE_OVER X/X TIMELINE n`: promotes a follower that has exactly the log up to
    /// there, which is all that there is of that timeline. Answers with one row: the new
    /// timeline, and where it begins.
    TakeOver {
        /// End of the leader's log.
        end: Lsn,
        /// The leader's timeline.
        timeline: TimelineId,
    },
    /// `WALSHIP_EXPORT_DATABASE name`: answers with a plain SQLite file as a CopyOut stream.
    ExportDatabase {
        /// The database to copy.
        name: DatabaseName,
    },
}

/// Kind of a replication slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotKind {
    /// Holds log segments for a receiver.
    Physical,
    /// For logical decoding, which walship does not have.
    Logical {
        /// The output plugin's name.
        plugin: String,
    },
}

/// Why a text is not a replication command. SQLSTATE 42601, or what the variant says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Its first word is no replication command, so it is taken for SQL (0A000 on a
    /// physical connection).
    #[error("cannot execute SQL commands in WAL sender for physical replication")]
    NotReplication,
    /// The word at `position` does not fit.
    #[error("syntax error at or near \"{near}\"")]
    Syntax {
        /// The word, or as much of the rest as names it.
        near: String,
        /// In characters, from 1.
        position: usize,
    },
    /// The command ends too early.
    #[error("syntax error at end of input")]
    Incomplete {
        /// One behind the last character, from 1.
        position: usize,
    },
    /// A quoted text is not closed.
    #[error("unterminated quoted string at or near \"{near}\"")]
    Unterminated {
        /// Where it starts.
        near: String,
        /// In characters, from 1.
        position: usize,
    },
    /// 0 is no timeline.
    #[error("invalid timeline {0}")]
    InvalidTimeline(u64),
    /// An option of the command is wrong.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// A text is no system identifier.
    #[error("invalid system identifier \"{0}\"")]
    SystemId(String),
    /// A slot's name is none (42602).
    #[error(transparent)]
    SlotName(#[from] InvalidSlotName),
    /// A database's name is none (42602).
    #[error(transparent)]
    DatabaseName(#[from] InvalidDatabaseName),
}

impl CommandError {
    /// The SQLSTATE that goes with it.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            CommandError::NotReplication => "0A000",
            CommandError::SlotName(_) | CommandError::DatabaseName(_) => "42602",
            CommandError::Option(error) => error.sqlstate(),
            _ => "42601",
        }
    }

    /// Where in the text, in characters from 1.
    pub fn position(&self) -> Option<usize> {
        match self {
            CommandError::Syntax { position, .. }
            | CommandError::Incomplete { position }
            | CommandError::Unterminated { position, .. } => Some(*position),
            _ => None,
        }
    }

    /// Advice, where there is any.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            CommandError::SlotName(_) => Some(InvalidSlotName::HINT),
            CommandError::NotReplication => Some(
                "Connect without replication=true to run SQL; replication commands are written in upper case.",
            ),
            _ => None,
        }
    }
}
