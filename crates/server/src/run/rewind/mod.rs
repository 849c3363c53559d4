//! Brings a node that has log of its own, which the cluster went on without, back as a
//! follower, by fetching the pages that it has changed since instead of all of them.
//!
//! Everything that is needed to run it again is durable before the first file changes:
//! the control file says that a rewind is under way, the abandoned log says which pages
//! are not to be trusted, and only a replay that ended well takes the node out of it.

mod abandoned;
mod auto;
mod fetch;
mod follow;
mod fork;
mod lost;
mod own_end;
mod receive;
mod recover;
mod steps;

use std::path::PathBuf;

use walship_types::{Lsn, TimelineId};

pub(crate) use auto::auto_rewind;
pub use lost::{LostKind, LostTransaction};
pub use steps::rewind;

/// What to rewind, and how.
#[derive(Debug, Clone, Default)]
pub struct RewindOptions {
    /// The data directory of a node that does not run.
    pub directory: PathBuf,
    /// Connection string of the node to follow afterwards.
    pub source: String,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Where to leave the databases as they were, as plain SQLite files.
    pub keep_lost: Option<PathBuf>,
    /// The follower's name from now on; the settings have it otherwise.
    pub name: Option<String>,
    /// Its slot on the source.
    pub slot: Option<String>,
    /// Whether it takes one.
    pub use_slot: bool,
}

/// Where the cluster went another way than the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork {
    /// The last timeline that both come from.
    pub timeline: TimelineId,
    /// The position up to which both have it.
    pub lsn: Lsn,
    /// The node's own timeline.
    pub own_timeline: TimelineId,
    /// The end of its log.
    pub own_end: Lsn,
}

/// Is told what a rewind finds and how far it is.
pub trait RewindObserver: Send {
    /// There is something to rewind.
    fn forked(&mut self, fork: &Fork);

    /// Something is lost, in the order of the log.
    fn lost(&mut self, lost: &LostTransaction);

    /// So many bytes of pages have come, of about `total`.
    fn fetched(&mut self, done: u64, total: u64);
}

/// What a rewind did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewound {
    /// Where the node's log ended.
    pub own_end: Lsn,
    /// The source's timeline.
    pub timeline: TimelineId,
    /// What came of it.
    pub outcome: Outcome,
}

/// See [`Rewound`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The source has all of the node's log: it only has to follow.
    NothingToDo {
        /// Whether the directory was made a follower's; it may have been one.
        made_follower: bool,
    },
    /// What would have been done.
    DryRun {
        /// Pages that would be fetched.
        pages: u64,
        /// Whether crash recovery has to be run first, which may find more.
        crashed: bool,
    },
    /// Done.
    Rewound(RewindSums),
}

/// What it took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RewindSums {
    /// Transactions that were lost.
    pub lost: u64,
    /// Folder with the abandoned log.
    pub abandoned: PathBuf,
    /// Pages that came from the source.
    pub pages: u64,
    /// Their bytes.
    pub page_bytes: u64,
    /// Bytes of log that came from the source.
    pub log_bytes: u64,
    /// Bytes that the databases have.
    pub database_bytes: u64,
    /// The databases are those of the source at this position.
    pub consistent_at: Lsn,
}

/// Ends the process here if a test asks for it: as a crash would, without a word.
fn kill_point(step: &str) {
    if std::env::var_os("WALSHIP_REWIND_KILL_AT").is_some_and(|wanted| wanted == step) {
        std::process::abort();
    }
}
