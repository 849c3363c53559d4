//! Everything that touches SQLite's C interface directly.

mod open;
mod requirements;
mod snapshot;
mod wal_index;

pub use open::{open_internal, open_session};
pub use requirements::{SQLITE_VERSION_MIN, check_requirements};
pub use snapshot::{Snapshot, take_snapshot};
pub use wal_index::{WalIndex, WalIndexHeader};
