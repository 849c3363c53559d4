//! A follower's receiver: connects to the leader (or to another follower), streams its
//! log into this node's own, and reports how far it is. It never gives up by itself
//! unless it is told to, and says in one line why an attempt ended.

mod archive;
mod attempt;
mod choose;
mod error;
mod handshake;
mod host;
mod log;
mod run;
mod streaming;

pub use choose::best_host;
pub use error::ReceiverError;
pub use handshake::{Primary, fetch_history, identify};
pub use host::{ReceiverHost, ReceiverReport, ReceiverSettings, RestoreSource};
pub use run::{ReceiverEnd, ReceiverTask, ReceiverThread};
