//! What a node does with its log before anyone connects: it finds out what its
//! database files hold, and brings them to the end of the log.

mod evidence;
mod foreign;
mod leader;
mod rebuild;
mod restore;
mod scan;
mod verdict;
mod versions;

pub use leader::{LeaderRecovery, LeaderRecoveryError, RecoveredDatabase};
pub use restore::Restored;
pub(crate) use restore::{NotRestored, restore};
pub(crate) use scan::for_each_record;
pub use scan::{LogScan, ScanStart, ScannedDatabase};
pub use verdict::{
    Contradiction, PageEvidence, SizeEvidence, SqliteWalEvidence, Verdict, compare_positions, judge_pages,
    judge_positions,
};
