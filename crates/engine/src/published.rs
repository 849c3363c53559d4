use parking_lot::{Condvar, Mutex};
use walship_types::Lsn;

use crate::sqlite::WalIndexHeader;
use crate::turn::{Ended, WaitLimits};

/// How far one database's commits are in the log, as readers see it.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// Protects what is published.
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    captured: WalIndexHeader,
    /// End of the last commit in the log.
    end: Lsn,
    /// End of the last commit that readers wait for.
    horizon: Lsn,
    commits: u64,
    foreign_commits: u64,
}

/// What a capture adds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Advance {
    pub(crate) captured: WalIndexHeader,
    pub(crate) end: Option<Lsn>,
    pub(crate) horizon: Option<Lsn>,
    pub(crate) foreign: u64,
}

impl Published {
    /// Publishes that everything up to a point of the -wal is in the log.
    pub(crate) fn advance(&self, to: &Advance) {
        let mut state = self.state.lock();
        state.captured = to.captured;
        state.end = state.end.max(to.end.unwrap_or(Lsn::INVALID));
        state.horizon = state.horizon.max(to.horizon.unwrap_or(Lsn::INVALID));
        state.commits += u64::from(to.end.is_some());
        state.foreign_commits += to.foreign;
        self.changed.notify_all();
    }

    /// End of the last commit in the log.
    pub(crate) fn end(&self) -> Lsn {
        self.state.lock().end
    }

    /// Whether all that `header` names is in the log.
    pub(crate) fn covers(&self, header: &WalIndexHeader) -> bool {
        covers(&self.state.lock().captured, header)
    }

    /// Captures with commits, and foreign commits among them, since the start.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.commits, state.foreign_commits)
    }

    /// Up to where the log has to be durable before anyone is told what was seen
    /// in a -wal that ended at `seen`. Waits while a commit is on its way from
    /// the -wal into the log, which takes microseconds; `now` is where the -wal
    /// ends at present.
    pub(crate) fn horizon(
        &self,
        seen: &WalIndexHeader,
        now: impl Fn() -> WalIndexHeader,
        limits: &WaitLimits<'_>,
    ) -> Result<Lsn, Ended> {
        let mut state = self.state.lock();
        // after a restart the old generation is told from a new one by looking again
        while !covers(&state.captured, seen) && !covers(&state.captured, &now()) {
            self.changed.wait_until(&mut state, limits.next_look());
            if let Some(ended) = limits.ended() {
                return Err(ended);
            }
        }
        Ok(state.horizon)
    }
}

/// A -wal without frames holds nothing that is not in the log: it restarts only
/// when all of it is.
fn covers(captured: &WalIndexHeader, seen: &WalIndexHeader) -> bool {
    seen.frames == 0 || captured.salts == seen.salts && captured.frames >= seen.frames
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn header(salt: u32, frames: u32) -> WalIndexHeader {
        WalIndexHeader { frames, salts: (salt, 0), ..WalIndexHeader::default() }
    }

    #[test]
    fn a_reader_waits_for_what_it_saw_and_for_nothing_else() {
        let published = Arc::new(Published::default());
        let advance = |captured, end| {
            let lsn = Some(Lsn(end));
            published.advance(&Advance { captured, end: lsn, horizon: lsn, foreign: 0 });
        };
        advance(header(1, 5), 100);
        let cancel = AtomicBool::new(true);
        let at_once = WaitLimits { deadline: None, cancel: &cancel };
        let now = || header(1, 9);
        assert_eq!(published.horizon(&header(1, 5), now, &at_once), Ok(Lsn(100)));
        assert_eq!(published.horizon(&header(1, 6), now, &at_once), Err(Ended::Cancelled));
        let reader = {
            let published = Arc::clone(&published);
            std::thread::spawn(move || {
                let cancel = AtomicBool::new(false);
                let limits = WaitLimits { deadline: None, cancel: &cancel };
                published.horizon(&header(1, 9), || header(2, 1), &limits)
            })
        };
        advance(header(1, 8), 200);
        advance(header(2, 1), 300);
        assert_eq!(reader.join().unwrap(), Ok(Lsn(300)));
    }
}
