//! What the log says: lines for people or for programs, and the last events for those who look later.
//!
//! `start_logging` begins it, once in a process; an [`EventLog`] keeps what had an `event` field.

mod events;
mod file;
mod journal;
mod levels;
mod line;
mod start;

pub use events::{EventLog, LoggedEvent};
pub(crate) use start::{current_log_file, set_levels, start_logging};
