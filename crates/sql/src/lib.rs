//! SQL sessions: PostgreSQL's protocol over SQLite.
//!
//! A session runs on a thread of its own, over any blocking stream: [`run_session`].
//! What it needs of the node are traits ([`SessionHost`], [`SessionEngine`]); how
//! others reach it are its [`Signals`]; one [`Timer`] watches the time limits of all.

pub mod catalog;
mod channel;
mod command;
mod copy;
mod error;
mod guard;
mod host;
mod infer;
mod lexer;
mod pg_type;
mod plan;
mod pragma;
mod rewrite;
pub mod roles;
mod session;
mod signals;
mod sqlite_error;
mod statement;
mod tag;
mod timer;
mod value;

pub use channel::ChannelError;
pub use command::role_tag;
pub use error::SqlError;
pub use host::{
    Activity, ClientAddress, Logged, Registration, SessionEngine, SessionHost, SessionStart,
    SharedSessionSettings, TurnLimits,
};
pub use session::{Connecting, run_session};
pub use signals::{CancelReason, EndReason, NOT_LEADER, Signals, Wake};
pub use sqlite_error::sql_error;
pub use statement::SqliteFailure;
pub use timer::{AlarmClock, Expiry, Timer};
pub use value::PgType;
pub use walship_protocol::wire::{Severity, SqlState, TransactionStatus};
