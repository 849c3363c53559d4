use walship_types::{PageNo, SqliteWalGeneration, SqliteWalPosition};

/// How the -wal that SQLite recovered relates to what the log says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqliteWalEvidence {
    /// It has the last logged frame, with the same checksum, and this many after it.
    HoldsLogged {
        /// Frames after the last logged one.
        beyond: u32,
    },
    /// It is the generation after the one that was sealed, and nothing of the database
    /// was logged since the seal.
    FollowsSeal,
    /// It is the logged generation, but the last logged frame is not there, or is
    /// another one: frames were lost, and what came instead is not the log's.
    LacksLogged,
    /// Nothing of this: only the pages can tell.
    Unrelated,
}

/// How the size of the file relates to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeEvidence {
    /// It is the size at the end of the log.
    Logged,
    /// The database had this size at the redo point or since.
    Earlier,
    /// It never had.
    Unknown,
}

/// How the pages of the file relate to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageEvidence {
    /// Pages that have a content which the log had earlier: at the redo point, or since.
    pub earlier: usize,
    /// Pages that have a content which the log never had.
    pub unknown: usize,
    /// The first of them.
    pub first_unknown: Option<PageNo>,
    /// The size.
    pub size: SizeEvidence,
}

/// What happened to a leader's database while the leader was down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: it is where the log ends.
    Level,
    /// It has commits that are not in the log, and were never acknowledged.
    Ahead,
    /// It is where the log ends, and the -wal has restarted since, after its seal.
    RestartedAfterSeal,
    /// It lacks commits that are in the log: frames were lost with the power.
    LostWork,
    /// Another program committed to it.
    ForeignCommit,
}

/// Part of the file is older than the log, and part of it was never in the log: no way
/// on is known to be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contradiction(pub PageEvidence);

/// Compares -wal positions. `found` is what SQLite recovered, `checksum_at_logged` the
/// checksum of frame `logged.frame` in it, if it has that frame.
pub fn compare_positions(
    logged: Option<SqliteWalPosition>,
    sealed: bool,
    found: SqliteWalPosition,
    checksum_at_logged: Option<(u32, u32)>,
) -> SqliteWalEvidence {
    let Some(logged) = logged.filter(|logged| logged.generation != SqliteWalGeneration::default()) else {
        return SqliteWalEvidence::Unrelated;
    };
    if found.generation == logged.generation && logged.frame > 0 {
        // the same salts alone prove nothing: frames that were lost may have been written anew
        return match found.frame.checked_sub(logged.frame) {
            Some(beyond) if checksum_at_logged == Some(logged.checksum) => {
                SqliteWalEvidence::HoldsLogged { beyond }
            }
            _ => SqliteWalEvidence::LacksLogged,
        };
    }
    if sealed && found.generation.follows(logged.generation) {
        return SqliteWalEvidence::FollowsSeal;
    }
    SqliteWalEvidence::Unrelated
}

/// The verdict that positions alone give; `None` if the pages have to be looked at.
pub fn judge_positions(evidence: SqliteWalEvidence) -> Option<Verdict> {
    match evidence {
        SqliteWalEvidence::HoldsLogged { beyond: 0 } => Some(Verdict::Level),
        SqliteWalEvidence::HoldsLogged { .. } => Some(Verdict::Ahead),
        SqliteWalEvidence::FollowsSeal => Some(Verdict::RestartedAfterSeal),
        SqliteWalEvidence::LacksLogged | SqliteWalEvidence::Unrelated => None,
    }
}

/// The verdict that the pages give. Where logged frames were lost, a page with unknown
/// content may hide one that is too old.
pub fn judge_pages(wal: SqliteWalEvidence, evidence: PageEvidence) -> Result<Verdict, Contradiction> {
    let foreign = evidence.unknown > 0 || evidence.size == SizeEvidence::Unknown;
    let hidden = foreign && wal == SqliteWalEvidence::LacksLogged;
    let older = evidence.earlier > 0 || evidence.size == SizeEvidence::Earlier || hidden;
    match (older, foreign) {
        (false, false) => Ok(Verdict::Level),
        (true, false) => Ok(Verdict::LostWork),
        (false, true) => Ok(Verdict::ForeignCommit),
        (true, true) => Err(Contradiction(evidence)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(sequence: u32, salt1: u32, frame: u32) -> SqliteWalPosition {
        let generation = SqliteWalGeneration { checkpoint_sequence: sequence, salt1, salt2: 77 + sequence };
        SqliteWalPosition { generation, frame, checksum: (frame, frame * 3) }
    }

    #[test]
    fn positions_decide_only_what_they_prove() {
        let logged = position(4, 100, 10);
        let at = Some(logged.checksum);
        let compare = |sealed, found, checksum| compare_positions(Some(logged), sealed, found, checksum);
        let level = SqliteWalEvidence::HoldsLogged { beyond: 0 };
        assert_eq!(compare(false, position(4, 100, 10), at), level);
        let ahead = SqliteWalEvidence::HoldsLogged { beyond: 3 };
        assert_eq!(compare(true, position(4, 100, 13), at), ahead);
        let lacks = SqliteWalEvidence::LacksLogged;
        assert_eq!(compare(false, position(4, 100, 9), None), lacks, "frames were lost");
        assert_eq!(compare(true, position(4, 100, 12), Some((1, 1))), lacks, "lost, and written anew");
        let after = position(5, 101, 2);
        assert_eq!(compare(true, after, None), SqliteWalEvidence::FollowsSeal);
        for (sealed, found, checksum) in [
            (false, after, None),                       // restarted without a seal
            (true, position(6, 102, 2), None),          // restarted twice
            (false, position(4, 999, 10), at),          // another -wal
            (true, SqliteWalPosition::default(), None), // the -wal was deleted
        ] {
            assert_eq!(compare(sealed, found, checksum), SqliteWalEvidence::Unrelated, "{found}");
        }
        assert_eq!(compare_positions(None, true, after, None), SqliteWalEvidence::Unrelated);
        let none = Some(SqliteWalPosition::default());
        assert_eq!(
            compare_positions(none, false, SqliteWalPosition::default(), Some((0, 0))),
            SqliteWalEvidence::Unrelated,
            "no -wal then and none now proves nothing about the file"
        );
    }

    #[test]
    fn pages_decide_the_rest() {
        use SizeEvidence::{Earlier, Logged, Unknown};
        let judge_with = |wal, earlier, unknown, size| {
            judge_pages(wal, PageEvidence { earlier, unknown, first_unknown: None, size })
        };
        let judge = |earlier, unknown, size| judge_with(SqliteWalEvidence::Unrelated, earlier, unknown, size);
        assert_eq!(judge(0, 0, Logged), Ok(Verdict::Level));
        assert_eq!(judge(3, 0, Logged), Ok(Verdict::LostWork));
        assert_eq!(judge(0, 0, Earlier), Ok(Verdict::LostWork));
        assert_eq!(judge(0, 2, Logged), Ok(Verdict::ForeignCommit));
        assert_eq!(judge(0, 2, Unknown), Ok(Verdict::ForeignCommit));
        assert!(judge(1, 1, Logged).is_err());
        assert!(judge(0, 1, Earlier).is_err());
        assert!(judge(1, 0, Unknown).is_err());
        let lacks = SqliteWalEvidence::LacksLogged;
        assert_eq!(judge_with(lacks, 2, 0, Logged), Ok(Verdict::LostWork));
        assert_eq!(judge_with(lacks, 0, 0, Logged), Ok(Verdict::Level));
        assert!(judge_with(lacks, 0, 1, Logged).is_err(), "what was lost may be below what is unknown");
    }
}
