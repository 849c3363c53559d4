//! PostgreSQL's streaming replication protocol without sockets: what a connection
//! with `replication=true` says, and the state that both of its ends keep.
//!
//! The nouns: [`Command`] (the grammar of replication commands), the messages inside
//! a copy stream ([`PrimaryMessage`], [`StandbyMessage`]), the two halves
//! [`SenderHalf`] and [`ReceiverHalf`], the [`ResultSet`]s that commands answer with,
//! and [`Conninfo`], libpq's connection strings. docs/protocol.md has the whole story.
//!
//! ```
//! use walship_protocol::{Command, Lsn, SlotName};
//! let command = Command::parse("START_REPLICATION SLOT \"a\" 0/1000000 TIMELINE 1").unwrap();
//! let Command::StartReplication { slot, start, .. } = &command else { panic!() };
//! assert_eq!(slot.as_ref().map(SlotName::as_str), Some("a"));
//! assert_eq!(*start, Lsn(0x100_0000));
//! ```

mod command;
mod conninfo;
mod lag;
mod lexer;
mod message;
mod page_messages;
mod receiver;
mod result_set;
mod sender;
mod slot_name;
pub mod wire;

pub use command::{
    BaseBackupOptions, CheckpointMode, Command, CommandError, CompressionChoice, ManifestChecksum,
    ManifestMode, OptionError, SlotKind,
};
pub use conninfo::{
    ChannelBinding, Conninfo, ConninfoError, Host, HostAddress, Password, SessionAttributes, SslMode, Target,
    TargetError, TlsOptions,
};
pub use lag::{LagTracker, Lags};
pub use message::{
    Awaited, HotStandbyFeedback, MessageError, PrimaryMessage, StandbyMessage, StandbyStatus,
    XLOG_DATA_HEADER_BYTES, encode_xlog_data,
};
pub use page_messages::{PageMessageError, PageReply, PageRequest, PageRun, REQUEST_PAGES_MAX};
pub use receiver::{ReceiverHalf, ReceiverOptions, ReceiverRequest, ReceiverViolation};
pub use result_set::{Column, ResultSet, Row, TYPE_INT4, TYPE_INT8, TYPE_OID, TYPE_TEXT};
pub use sender::{PeerPositions, SEND_BYTES_MAX, SenderHalf, SenderRequest, SenderViolation};
pub use slot_name::{InvalidSlotName, SlotName};
pub use walship_types::Lsn;
