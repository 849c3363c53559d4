use walship_settings::{StandbyMethod, StandbyNames};
use walship_types::Lsn;

/// How far something is written, durable and visible. Positions are ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncPositions {
    /// Written.
    pub write: Lsn,
    /// Durable.
    pub flush: Lsn,
    /// Visible to readers.
    pub apply: Lsn,
}

/// A connected follower, as commits that wait judge it. Equal priorities go by the order of the followers.
#[derive(Debug, Clone, Copy)]
pub struct SyncFollower<'a> {
    /// Its `application_name`.
    pub name: &'a str,
    /// Whether it has caught up once (or is being stopped): one that catches up holds no commit.
    pub streaming: bool,
    /// How far it says it is. A receiver that never reports a durable position is no candidate.
    pub positions: SyncPositions,
}

/// `pg_stat_replication.sync_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum SyncState {
    /// No commit waits for it.
    #[default]
    Async,
    /// It steps in when one before it goes.
    Potential,
    /// Commits wait for it.
    Sync,
    /// Commits wait for some of those that have this state.
    Quorum,
}

impl SyncState {
    /// As the view shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            SyncState::Async => "async",
            SyncState::Potential => "potential",
            SyncState::Sync => "sync",
            SyncState::Quorum => "quorum",
        }
    }
}

/// A follower's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SyncStanding {
    /// `pg_stat_replication.sync_priority`: its place in the list, 0 for none.
    pub priority: usize,
    /// What commits make of it.
    pub state: SyncState,
}

/// What the list makes of the followers that are connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncJudgement {
    /// One for each follower, in the same order.
    pub standings: Vec<SyncStanding>,
    /// Commits up to there need not wait any more; `None` while there are too few followers.
    pub released: Option<SyncPositions>,
}

/// Judges the followers as PostgreSQL's `SyncRepGetSyncRecPtr` does.
///
/// With `FIRST n`, the `n` candidates with the lowest places count, and all of them must have a commit. With `ANY n`,
/// any `n` of the candidates must have it: the n-th largest position of each kind is released.
pub fn judge(names: &StandbyNames, followers: &[SyncFollower<'_>]) -> SyncJudgement {
    let mut standings = vec![SyncStanding::default(); followers.len()];
    let mut candidates = Vec::new();
    for (standing, follower) in standings.iter_mut().zip(followers) {
        // a receiver that only fetches log never says that anything is durable
        let durable = follower.positions.flush.is_valid();
        standing.priority = names.priority(follower.name).filter(|_| durable).unwrap_or(0);
        if standing.priority > 0 {
            standing.state = SyncState::Potential;
            if follower.streaming {
                candidates.push((standing, follower.positions));
            }
        }
    }
    let enough = candidates.len() >= names.count;
    let (chosen, rank) = match names.method {
        StandbyMethod::First => {
            candidates.sort_by_key(|(standing, _)| standing.priority);
            candidates.truncate(names.count);
            // the slowest of those chosen
            (SyncState::Sync, candidates.len())
        }
        StandbyMethod::Any => (SyncState::Quorum, names.count),
    };
    for (standing, _) in &mut candidates {
        standing.state = chosen;
    }
    let positions: Vec<SyncPositions> = candidates.iter().map(|(_, positions)| *positions).collect();
    let released = || {
        Some(SyncPositions {
            write: nth_largest(positions.iter().map(|p| p.write), rank)?,
            flush: nth_largest(positions.iter().map(|p| p.flush), rank)?,
            apply: nth_largest(positions.iter().map(|p| p.apply), rank)?,
        })
    };
    let released = if enough { released() } else { None };
    SyncJudgement { standings, released }
}

fn nth_largest(positions: impl Iterator<Item = Lsn>, rank: usize) -> Option<Lsn> {
    let mut sorted: Vec<Lsn> = positions.collect();
    sorted.sort_unstable_by(|a, b| b.cmp(a));
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follower(name: &str, at: u64) -> SyncFollower<'_> {
        let positions = SyncPositions { write: Lsn(at + 2), flush: Lsn(at + 1), apply: Lsn(at) };
        SyncFollower { name, streaming: true, positions }
    }

    /// Released apply position, and priority and state of each follower.
    fn judged(names: &str, followers: &[SyncFollower<'_>]) -> (Option<u64>, String) {
        let names = StandbyNames::parse(names).unwrap().unwrap();
        let judgement = judge(&names, followers);
        let shown: Vec<String> =
            judgement.standings.iter().map(|s| format!("{}{}", s.state.as_str(), s.priority)).collect();
        (judgement.released.map(|p| p.apply.0), shown.join(" "))
    }

    #[test]
    fn the_first_of_the_list_count_and_the_next_steps_in() {
        let (a, b, c) = (follower("a", 10), follower("b", 30), follower("c", 20));
        assert_eq!(judged("a, b", &[c, b, a]), (Some(10), "async0 potential2 sync1".to_owned()));
        assert_eq!(judged("a, b", &[c, b]), (Some(30), "async0 sync2".to_owned()));
        assert_eq!(judged("2 (b, c, a)", &[a, b, c]), (Some(20), "potential3 sync1 sync2".to_owned()));
        assert_eq!(judged("2 (a, b)", &[c, b]), (None, "async0 sync2".to_owned()));
        assert_eq!(judged("*", &[b, a]), (Some(30), "sync1 potential1".to_owned()));
        assert_eq!(judged("A", &[a, a]), (Some(10), "sync1 potential1".to_owned()));
    }

    #[test]
    fn any_of_them_releases_what_enough_of_them_have() {
        let (a, b, c) = (follower("a", 10), follower("b", 30), follower("c", 20));
        assert_eq!(judged("ANY 1 (a, b, c)", &[a, b, c]).0, Some(30));
        assert_eq!(judged("ANY 2 (a, b, c)", &[a, b, c]), (Some(20), "quorum1 quorum1 quorum1".to_owned()));
        assert_eq!(judged("ANY 3 (*)", &[a, b, c]).0, Some(10));
        assert_eq!(judged("ANY 2 (a, b)", &[a, c]), (None, "quorum1 async0".to_owned()));
    }

    #[test]
    fn who_catches_up_or_never_says_durable_holds_nothing() {
        let (mut a, b) = (follower("a", 10), follower("b", 30));
        a.streaming = false;
        assert_eq!(judged("a, b", &[a, b]), (Some(30), "potential1 sync2".to_owned()));
        a = follower("a", 10);
        a.positions.flush = Lsn::INVALID;
        assert_eq!(judged("a, b", &[a, b]), (Some(30), "async0 sync2".to_owned()));
    }
}
