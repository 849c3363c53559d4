mod judge;
mod release;

pub use judge::{SyncFollower, SyncJudgement, SyncPositions, SyncStanding, SyncState, judge};
pub use release::{SyncLevel, SyncLevels, Synchronous};
