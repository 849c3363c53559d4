use serde::{Deserialize, Serialize};
use walship_types::{Lsn, TimelineHistory, TimelineId, Timestamp};

/// Why a leader takes no writes any more: another node leads a newer timeline. Kept in
/// the control file, so that it outlives restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// The newer timeline.
    pub timeline: TimelineId,
    /// Where that left this node's own timeline. What this node has behind it is lost to
    /// the others.
    pub switch_lsn: Lsn,
    /// Who leads it, as that node or whoever told of it says.
    pub node: String,
    /// When this node learned of it.
    pub time: Timestamp,
}

/// A newer timeline that this node was told to ignore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DismissedTimeline {
    /// Its number.
    pub timeline: TimelineId,
    /// Where it left this node's.
    pub switch_lsn: Lsn,
}

/// Why a history does not prove that its timeline has replaced this node's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoProof {
    /// It is the history of this node's own timeline.
    #[error("timeline {0} is this node's own")]
    Own(TimelineId),
    /// It is of an older timeline than this node's.
    #[error("timeline {found} is not newer than this node's timeline {own}")]
    Older {
        /// This node's.
        own: TimelineId,
        /// The one told of.
        found: TimelineId,
    },
    /// Two nodes were promoted without knowing of each other.
    #[error("timeline {found} does not descend from this node's timeline {own}")]
    NotDescended {
        /// This node's.
        own: TimelineId,
        /// The one told of.
        found: TimelineId,
    },
    /// Two histories of one timeline differ.
    #[error(
        "the history of timeline {found} contradicts this node's own history of timeline {own}: {theirs} against {ours}"
    )]
    Contradiction {
        /// This node's.
        own: TimelineId,
        /// The one told of.
        found: TimelineId,
        /// The way to this node's timeline according to the other.
        theirs: String,
        /// And according to this node.
        ours: String,
    },
    /// The other left this node's timeline where this node never was.
    #[error("timeline {found} leaves timeline {own} at {fork}, which is beyond this node's end of log {end}")]
    BeyondEnd {
        /// This node's.
        own: TimelineId,
        /// The one told of.
        found: TimelineId,
        /// Where it leaves.
        fork: Lsn,
        /// This node's end of log.
        end: Lsn,
    },
    /// It was dismissed with `walctl unfence`.
    #[error("timeline {0} was dismissed with walctl unfence")]
    Dismissed(TimelineId),
}

impl NoProof {
    /// Whether somebody has to look at it: two nodes may lead.
    pub fn is_conflict(&self) -> bool {
        matches!(
            self,
            NoProof::NotDescended { .. } | NoProof::Contradiction { .. } | NoProof::BeyondEnd { .. }
        )
    }
}

/// Whether the history `other` proves that its timeline has replaced `own`, whose log ends
/// at `end`: it has to be a newer one that descends from this very one and has left it at
/// or before that end. The result is where.
pub fn judge_history(
    own: &TimelineHistory,
    end: Lsn,
    dismissed: &[DismissedTimeline],
    other: &TimelineHistory,
) -> Result<Lsn, NoProof> {
    let (mine, found) = (own.timeline, other.timeline);
    if found < mine {
        return Err(NoProof::Older { own: mine, found });
    }
    let at = other.entries.iter().position(|entry| entry.timeline == mine);
    if at.is_none() && found != mine {
        return Err(NoProof::NotDescended { own: mine, found });
    }
    let before = other.entries.get(..at.unwrap_or(other.entries.len())).unwrap_or_default();
    let points = |entries: &[walship_types::HistoryEntry]| -> Vec<(TimelineId, Lsn)> {
        entries.iter().map(|entry| (entry.timeline, entry.switch_lsn)).collect()
    };
    if points(before) != points(&own.entries) {
        let (theirs, ours) = (way(before), way(&own.entries));
        return Err(NoProof::Contradiction { own: mine, found, theirs, ours });
    }
    let Some(fork) = at.and_then(|at| other.entries.get(at)).map(|entry| entry.switch_lsn) else {
        return Err(NoProof::Own(mine));
    };
    if fork > end {
        return Err(NoProof::BeyondEnd { own: mine, found, fork, end });
    }
    if dismissed.contains(&DismissedTimeline { timeline: found, switch_lsn: fork }) {
        return Err(NoProof::Dismissed(found));
    }
    Ok(fork)
}

fn way(entries: &[walship_types::HistoryEntry]) -> String {
    let points: Vec<String> =
        entries.iter().map(|entry| format!("{} until {}", entry.timeline, entry.switch_lsn)).collect();
    if points.is_empty() { "the first timeline".to_owned() } else { points.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const END: Lsn = Lsn(1000);

    fn first() -> TimelineHistory {
        TimelineHistory::root(TimelineId(1))
    }

    #[test]
    fn a_newer_timeline_that_left_ours_is_a_proof() {
        for fork in [Lsn(1), Lsn(999), END] {
            let newer = first().branch(TimelineId(2), fork, "promoted");
            assert_eq!(judge_history(&first(), END, &[], &newer), Ok(fork));
            let newest = newer.branch(TimelineId(5), Lsn(5000), "promoted");
            assert_eq!(judge_history(&first(), END, &[], &newest), Ok(fork));
        }
    }

    #[test]
    fn nothing_else_is() {
        let second = first().branch(TimelineId(2), Lsn(500), "promoted");
        let judge =
            |own: &TimelineHistory, other: &TimelineHistory| judge_history(own, END, &[], other).unwrap_err();
        // an old follower's, this node's own
        assert!(matches!(judge(&second, &first()), NoProof::Older { .. }));
        assert_eq!(judge(&second, &second), NoProof::Own(TimelineId(2)));
        // promoted beside us, under another number and under the same
        let sister = first().branch(TimelineId(3), Lsn(400), "promoted");
        assert!(matches!(judge(&second, &sister), NoProof::NotDescended { .. }));
        let twin = first().branch(TimelineId(2), Lsn(400), "promoted");
        assert!(matches!(judge(&second, &twin), NoProof::Contradiction { .. }));
        let niece = twin.branch(TimelineId(4), Lsn(700), "promoted");
        assert!(matches!(judge(&second, &niece), NoProof::Contradiction { .. }));
        // where we never were
        let ahead = first().branch(TimelineId(2), Lsn(1001), "promoted");
        assert!(matches!(judge(&first(), &ahead), NoProof::BeyondEnd { .. }));
        // told before, and taken back
        let dismissed = [DismissedTimeline { timeline: TimelineId(2), switch_lsn: Lsn(500) }];
        let again = judge_history(&first(), END, &dismissed, &second).unwrap_err();
        assert_eq!(again, NoProof::Dismissed(TimelineId(2)));
        assert!(judge_history(&first(), END, &dismissed, &twin).is_ok());
    }
}
