//! What a node does with its log before anyone connects: it finds out what its
//! database files hold, and brings them to the end of the log.

mod rebuild;
mod restore;
mod scan;

pub use restore::Restored;
pub(crate) use restore::{NotRestored, restore};
pub use scan::{LogScan, ScanStart, ScannedDatabase};
