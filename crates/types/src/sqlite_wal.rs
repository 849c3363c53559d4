use std::fmt;

use serde::{Deserialize, Serialize};

/// One life of an SQLite -wal file, from one restart to the next.
///
/// A restart adds one to the first salt and draws the second salt anew, so
/// exactly one step forward proves exactly one restart. The checkpoint sequence
/// proves nothing: SQLite counts it per connection (`Wal.nCkpt`), and a connection
/// that did not itself recover the -wal starts from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct SqliteWalGeneration {
    /// "Checkpoint sequence number" of the -wal header.
    pub checkpoint_sequence: u32,
    /// "Salt-1" of the -wal header.
    pub salt1: u32,
    /// "Salt-2" of the -wal header.
    pub salt2: u32,
}

impl SqliteWalGeneration {
    /// Whether `self` is what one restart makes of `earlier`.
    pub fn follows(self, earlier: SqliteWalGeneration) -> bool {
        self.salt1 == earlier.salt1.wrapping_add(1)
    }

    /// Whether both name the same life of the -wal.
    pub fn same_as(self, other: SqliteWalGeneration) -> bool {
        self.salt1 == other.salt1 && self.salt2 == other.salt2
    }
}

/// A -wal position: how far one database's -wal on one node has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct SqliteWalPosition {
    /// The life of the -wal that `frame` counts in.
    pub generation: SqliteWalGeneration,
    /// Number of the last frame, from 1; 0 when the -wal of this generation has none.
    pub frame: u32,
    /// The cumulative checksum in that frame's header (both words); zero without a frame.
    pub checksum: (u32, u32),
}

impl fmt::Display for SqliteWalPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let g = &self.generation;
        write!(
            f,
            "{}:{:08x}{:08x} frame {} checksum {:08x}{:08x}",
            g.checkpoint_sequence, g.salt1, g.salt2, self.frame, self.checksum.0, self.checksum.1
        )
    }
}
