use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use walship_settings::StandbyNames;
use walship_types::Lsn;
use walship_wal::PositionWatch;

use super::judge::{SyncFollower, SyncJudgement, SyncStanding, SyncState, judge};

/// What a commit waits for at the synchronous followers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncLevel {
    /// They have written it: `remote_write`.
    Write,
    /// It is durable there: `on`.
    Flush,
    /// Readers there see it: `remote_apply`.
    Apply,
}

/// The levels at which commits wait, so that followers know what to report without delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncLevels {
    /// Some wait for [`SyncLevel::Write`].
    pub write: bool,
    /// Some wait for [`SyncLevel::Flush`].
    pub flush: bool,
    /// Some wait for [`SyncLevel::Apply`].
    pub apply: bool,
}

/// How long a level stays asked for after the last commit that did: a follower is not told anew for every commit, and
/// not woken for ever for what nobody waits for any more.
const ASKED_FOR: Duration = Duration::from_secs(1);

/// When the levels were last asked for, in milliseconds after `began`; 0 for never.
#[derive(Debug)]
struct Asked {
    began: Instant,
    write: AtomicU64,
    flush: AtomicU64,
    apply: AtomicU64,
}

impl Asked {
    fn new() -> Asked {
        Asked {
            began: Instant::now(),
            write: AtomicU64::new(0),
            flush: AtomicU64::new(0),
            apply: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    fn is_asked(&self, level: SyncLevel, now: u64) -> bool {
        let last = self.of(level).load(Ordering::Relaxed);
        last > 0 && u128::from(now.saturating_sub(last)) <= ASKED_FOR.as_millis()
    }

    fn of(&self, level: SyncLevel) -> &AtomicU64 {
        match level {
            SyncLevel::Write => &self.write,
            SyncLevel::Flush => &self.flush,
            SyncLevel::Apply => &self.apply,
        }
    }
}

/// What was told of the followers last, so that only changes are told.
#[derive(Debug, Default)]
struct Announced {
    states: BTreeMap<i32, SyncState>,
    too_few: bool,
}

/// The rule for synchronous commits, and how far it has released them.
///
/// Three positions that only move forward: a commit waits on the one of its level, and is woken when that is reached
/// and not before. A judgement that comes late can therefore take nothing back.
#[derive(Debug)]
pub struct Synchronous {
    // protects the rule; held to copy or replace it
    names: RwLock<Option<Arc<StandbyNames>>>,
    write: Arc<PositionWatch>,
    flush: Arc<PositionWatch>,
    apply: Arc<PositionWatch>,
    asked: Asked,
    // protects what the log was told; held for a comparison
    announced: Mutex<Announced>,
}

impl Default for Synchronous {
    fn default() -> Synchronous {
        let start = || Arc::new(PositionWatch::new(Lsn::INVALID));
        Synchronous {
            names: RwLock::default(),
            write: start(),
            flush: start(),
            apply: start(),
            asked: Asked::new(),
            announced: Mutex::default(),
        }
    }
}

impl Synchronous {
    /// The rule in force; `None` if no commit waits for a follower.
    pub fn names(&self) -> Option<Arc<StandbyNames>> {
        self.names.read().clone()
    }

    /// The position that a commit of that level waits for.
    pub fn released(&self, level: SyncLevel) -> &Arc<PositionWatch> {
        match level {
            SyncLevel::Write => &self.write,
            SyncLevel::Flush => &self.flush,
            SyncLevel::Apply => &self.apply,
        }
    }

    /// A commit is going to wait at that level. Said before the commit is flushed, so that the senders, which wake up
    /// then, tell the followers together with its log.
    pub fn ask(&self, level: SyncLevel) {
        let (asked, now) = (self.asked.of(level), self.asked.now());
        // so that committers do not take the line from each other for nothing
        if asked.load(Ordering::Relaxed) != now {
            asked.store(now, Ordering::Relaxed);
        }
    }

    /// What commits wait for at the followers of that name.
    pub fn awaited(&self, follower: &str) -> SyncLevels {
        match &*self.names.read() {
            Some(names) if names.priority(follower).is_some() => {
                let now = self.asked.now();
                let asked = |level| self.asked.is_asked(level, now);
                let (write, flush) = (asked(SyncLevel::Write), asked(SyncLevel::Flush));
                SyncLevels { write, flush, apply: asked(SyncLevel::Apply) }
            }
            _ => SyncLevels::default(),
        }
    }

    /// Puts a rule in force. The caller judges the followers by it afterwards.
    pub(crate) fn set_names(&self, names: Option<StandbyNames>) {
        let names = names.map(Arc::new);
        let before = std::mem::replace(&mut *self.names.write(), names.clone());
        if before == names {
            return;
        }
        for asked in [&self.asked.write, &self.asked.flush, &self.asked.apply] {
            asked.store(0, Ordering::Relaxed);
        }
    }

    /// Releases every commit that is in the log up to `end`: there is no rule any more. A commit that waits was
    /// appended before it looked at the rule, so that an `end` read after the change lies behind it.
    pub(crate) fn release_all(&self, end: Lsn) {
        for watch in [&self.write, &self.flush, &self.apply] {
            watch.advance(end);
        }
    }

    /// Judges followers by the rule; `None` without one.
    pub(crate) fn judge(&self, followers: &[SyncFollower<'_>]) -> Option<SyncJudgement> {
        self.names().map(|names| judge(&names, followers))
    }

    /// Wakes the commits that a judgement releases.
    pub(crate) fn release(&self, judgement: &SyncJudgement) {
        let Some(positions) = judgement.released else { return };
        self.write.advance(positions.write);
        self.flush.advance(positions.flush);
        self.apply.advance(positions.apply);
    }

    /// Tells the server's log which followers commits wait for, if that changed.
    pub(crate) fn announce(&self, standings: &[(i32, String, SyncStanding)], too_few: bool) {
        let states: BTreeMap<i32, SyncState> = standings.iter().map(|(pid, _, s)| (*pid, s.state)).collect();
        let before = {
            let mut announced = self.announced.lock();
            if announced.states == states && announced.too_few == too_few {
                return;
            }
            std::mem::replace(&mut *announced, Announced { states, too_few })
        };
        for (pid, name, standing) in standings {
            let known = before.states.get(pid).copied().unwrap_or_default();
            if known != standing.state && matches!(standing.state, SyncState::Sync | SyncState::Quorum) {
                tracing::info!(
                    event = "follower_synchronous", follower = %name, priority = standing.priority,
                    state = standing.state.as_str(), "commits wait for follower \"{name}\" now"
                );
            }
        }
        if too_few && !before.too_few {
            let wanted = self.names().map(|names| names.to_string()).unwrap_or_default();
            let connected: Vec<&str> = standings.iter().map(|(_, name, _)| name.as_str()).collect();
            tracing::warn!(
                event = "synchronous_followers_missing",
                wanted,
                connected = connected.join(", "),
                "commits wait: too few of the followers in synchronous_standby_names are connected and caught up"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_asked_for_until_a_while_after_the_last_commit_that_did() {
        let asked = Asked::new();
        let now = asked.now();
        assert!(!asked.is_asked(SyncLevel::Flush, now));
        asked.flush.store(now, Ordering::Relaxed);
        let later = |milliseconds: u64| asked.is_asked(SyncLevel::Flush, now + milliseconds);
        assert!(later(0) && later(1000) && !later(1001));
        assert!(!asked.is_asked(SyncLevel::Apply, now));
    }
}
