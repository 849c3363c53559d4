//! Point-in-time recovery: a base backup and an archive of the log become a cluster as it
//! was after any one of its transactions.
//!
//! [`restore`] does all of it, from [`Options`] to what it tells in [`Restored`]. The result
//! is a leader on a timeline of its own that was stopped cleanly. The steps, each of which
//! may be interrupted: until the control file is written, last of all, the directory is
//! nothing that a server would start, and it is cleared by the next attempt.

mod backup;
mod copy;
mod error;
mod finish;
mod options;
mod replay;
mod run;
mod staging;
mod target;
mod timeline;

pub use error::RestoreError;
pub use options::{Options, Progress, Restored, Target, TimelineChoice};
pub use run::restore;
