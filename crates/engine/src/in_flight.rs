use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Keeps redo points out of commits: a commit is entered before its first record
/// and left after its last, a redo point is set while no commit is in flight.
///
/// The locks are held while records are appended, which is memory unless the log
/// is behind. Large commits have a lock of their own: a redo point waits for them
/// without stopping the small ones meanwhile.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    /// Shared by large commits.
    large: RwLock<()>,
    /// Shared by small commits.
    small: RwLock<()>,
    /// Counts redo points; a page's first image in an era is a full one.
    era: AtomicU64,
}

/// A commit in flight.
#[derive(Debug)]
pub(crate) struct InFlightGuard<'a> {
    era: u64,
    _lock: RwLockReadGuard<'a, ()>,
}

/// No commit in flight, and a new era for those that come.
#[derive(Debug)]
pub(crate) struct NoneInFlight<'a> {
    _large: RwLockWriteGuard<'a, ()>,
    _small: RwLockWriteGuard<'a, ()>,
}

impl InFlight {
    /// Enters a commit.
    pub(crate) fn enter(&self, large: bool) -> InFlightGuard<'_> {
        let lock = if large { self.large.read() } else { self.small.read() };
        InFlightGuard { era: self.era.load(Ordering::Acquire), _lock: lock }
    }

    /// Waits until no commit is in flight, keeps others out, and begins an era.
    pub(crate) fn begin_era(&self) -> NoneInFlight<'_> {
        let large = self.large.write();
        let small = self.small.write();
        self.era.fetch_add(1, Ordering::AcqRel);
        NoneInFlight { _large: large, _small: small }
    }
}

impl InFlightGuard<'_> {
    /// The era in force; it does not change while this is held.
    pub(crate) fn era(&self) -> u64 {
        self.era
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_redo_point_waits_for_a_large_commit_and_small_ones_go_on() {
        let in_flight = Arc::new(InFlight::default());
        let large = in_flight.enter(true);
        let checkpointer = {
            let in_flight = Arc::clone(&in_flight);
            std::thread::spawn(move || drop(in_flight.begin_era()))
        };
        while in_flight.large.try_read().is_some() {
            std::thread::yield_now();
        }
        assert_eq!(in_flight.enter(false).era(), 0);
        drop(large);
        checkpointer.join().unwrap();
        assert_eq!(in_flight.enter(true).era(), 1);
    }
}
