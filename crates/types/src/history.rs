use serde::{Deserialize, Serialize};

use crate::{Lsn, TimelineId};

/// One line of a history file: where a timeline was left, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The timeline that was left.
    pub timeline: TimelineId,
    /// End (exclusive) of what belongs to it.
    pub switch_lsn: Lsn,
    /// For people.
    pub reason: String,
}

/// The timelines that lead to one timeline, oldest first, as a history file
/// (`NNNNNNNN.history`, PostgreSQL's format) lists them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineHistory {
    /// The timeline whose history this is.
    pub timeline: TimelineId,
    /// Its ancestors, oldest first; switch positions never decrease.
    pub entries: Vec<HistoryEntry>,
}

/// A history that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// A line is not `<timeline>\t<LSN>\t<reason>`.
    #[error("syntax error in history file of timeline {timeline}, line {line}: \"{text}\"")]
    Syntax {
        /// Whose history.
        timeline: TimelineId,
        /// From 1.
        line: usize,
        /// The line as found.
        text: String,
    },
    /// Timelines or positions do not increase, or lead beyond the file's own timeline.
    #[error(
        "history file of timeline {timeline}, line {line}: timeline {found} at {switch_lsn} does not follow the line before"
    )]
    Order {
        /// Whose history.
        timeline: TimelineId,
        /// From 1.
        line: usize,
        /// The line's timeline.
        found: TimelineId,
        /// The line's position.
        switch_lsn: Lsn,
    },
}

/// `NNNNNNNN.history`.
pub fn history_file_name(timeline: TimelineId) -> String {
    format!("{:08X}.history", timeline.0)
}

/// Parses what [`history_file_name`] makes; `None` for any other name.
pub fn parse_history_file_name(name: &str) -> Option<TimelineId> {
    let digits = name.strip_suffix(".history")?;
    let timeline = TimelineId(u32::from_str_radix(digits, 16).ok()?);
    (history_file_name(timeline) == name).then_some(timeline)
}

impl TimelineHistory {
    /// The history of timeline 1, or of a timeline whose ancestors are of no interest.
    pub fn root(timeline: TimelineId) -> TimelineHistory {
        TimelineHistory { timeline, entries: Vec::new() }
    }

    /// The history of `timeline`, which leaves this one at `switch_lsn`.
    pub fn branch(&self, timeline: TimelineId, switch_lsn: Lsn, reason: &str) -> TimelineHistory {
        let mut entries = self.entries.clone();
        entries.push(HistoryEntry { timeline: self.timeline, switch_lsn, reason: reason.to_owned() });
        TimelineHistory { timeline, entries }
    }

    /// The timeline that the byte at `lsn` belongs to.
    pub fn timeline_at(&self, lsn: Lsn) -> TimelineId {
        self.entries.iter().find(|e| lsn < e.switch_lsn).map_or(self.timeline, |e| e.timeline)
    }

    /// Where this history leaves `timeline`; `None` if it never does (it is the
    /// history's own, or not one of its ancestors).
    pub fn switch_point(&self, timeline: TimelineId) -> Option<Lsn> {
        self.entries.iter().find(|e| e.timeline == timeline).map(|e| e.switch_lsn)
    }

    /// Whether `timeline` is this one or one of its ancestors.
    pub fn contains(&self, timeline: TimelineId) -> bool {
        self.timeline == timeline || self.switch_point(timeline).is_some()
    }

    /// The timeline that follows `timeline` on the way here, and where it starts.
    pub fn next_after(&self, timeline: TimelineId) -> Option<(TimelineId, Lsn)> {
        let at = self.entries.iter().position(|e| e.timeline == timeline)?;
        let next = self.entries.get(at + 1).map_or(self.timeline, |e| e.timeline);
        Some((next, self.entries[at].switch_lsn))
    }

    /// The history of an ancestor, as far as this one knows it; `None` if it is not one.
    pub fn ancestor(&self, timeline: TimelineId) -> Option<TimelineHistory> {
        if timeline == self.timeline {
            return Some(self.clone());
        }
        let at = self.entries.iter().position(|e| e.timeline == timeline)?;
        Some(TimelineHistory { timeline, entries: self.entries.iter().take(at).cloned().collect() })
    }

    /// Where a log of this history leaves `ancestor`. `None` if it does not come from it,
    /// also when it names a timeline of that number that began elsewhere.
    pub fn leaves(&self, ancestor: &TimelineHistory) -> Option<Lsn> {
        let same = self.ancestor(ancestor.timeline).is_some_and(|own| own.agrees_with(ancestor));
        self.switch_point(ancestor.timeline).filter(|_| same)
    }

    /// Whether both name the same timelines, left at the same positions.
    pub fn agrees_with(&self, other: &TimelineHistory) -> bool {
        let same =
            |(a, b): (&HistoryEntry, &HistoryEntry)| (a.timeline, a.switch_lsn) == (b.timeline, b.switch_lsn);
        self.timeline == other.timeline
            && self.entries.len() == other.entries.len()
            && self.entries.iter().zip(&other.entries).all(same)
    }

    /// Where the logs of two histories may part, the latest place first: a timeline that
    /// both come from, and the position up to which both have it ([`Lsn::MAX`] if neither
    /// left it). The places after the first count only if two nodes gave different
    /// timelines the same number, which the histories alone do not show. Empty if they
    /// have nothing in common.
    pub fn forks(&self, other: &TimelineHistory) -> Vec<(TimelineId, Lsn)> {
        let mut forks = Vec::new();
        for (own, others) in self.stretches().zip(other.stretches()) {
            if own.0 != others.0 {
                break;
            }
            forks.push((own.0, own.1.min(others.1)));
            if own.1 != others.1 {
                break;
            }
        }
        forks.reverse();
        forks
    }

    /// Each timeline on the way, oldest first, with the position where it was left.
    fn stretches(&self) -> impl Iterator<Item = (TimelineId, Lsn)> + '_ {
        let left = self.entries.iter().map(|e| (e.timeline, e.switch_lsn));
        left.chain([(self.timeline, Lsn::MAX)])
    }

    /// The file's text: a line per ancestor, `<timeline>\t<LSN>\t<reason>`.
    pub fn to_text(&self) -> String {
        let line = |e: &HistoryEntry| format!("{}\t{}\t{}\n", e.timeline, e.switch_lsn, e.reason);
        self.entries.iter().map(line).collect()
    }

    /// Parses a history file's text; empty lines and lines that start with `#` are skipped.
    pub fn parse(timeline: TimelineId, text: &str) -> Result<TimelineHistory, HistoryError> {
        let mut entries: Vec<HistoryEntry> = Vec::new();
        for (index, raw) in text.lines().enumerate() {
            let line = index + 1;
            if raw.trim().is_empty() || raw.trim_start().starts_with('#') {
                continue;
            }
            let mut fields = raw.splitn(3, '\t');
            let parsed = (|| {
                let id = TimelineId(fields.next()?.trim().parse().ok()?);
                let switch_lsn: Lsn = fields.next()?.trim().parse().ok()?;
                Some(HistoryEntry {
                    timeline: id,
                    switch_lsn,
                    reason: fields.next().unwrap_or("").to_owned(),
                })
            })();
            let entry =
                parsed.ok_or_else(|| HistoryError::Syntax { timeline, line, text: raw.to_owned() })?;
            let follows = entries
                .last()
                .is_none_or(|last| last.timeline < entry.timeline && last.switch_lsn <= entry.switch_lsn);
            if !follows || entry.timeline >= timeline || entry.timeline.0 == 0 {
                let (found, switch_lsn) = (entry.timeline, entry.switch_lsn);
                return Err(HistoryError::Order { timeline, line, found, switch_lsn });
            }
            entries.push(entry);
        }
        Ok(TimelineHistory { timeline, entries })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn third() -> TimelineHistory {
        TimelineHistory::root(TimelineId(1)).branch(TimelineId(2), Lsn(100), "promoted").branch(
            TimelineId(3),
            Lsn(250),
            "switchover",
        )
    }

    #[test]
    fn text_round_trips() {
        let history = third();
        assert_eq!(history.to_text(), "1\t0/64\tpromoted\n2\t0/FA\tswitchover\n");
        assert_eq!(TimelineHistory::parse(TimelineId(3), &history.to_text()), Ok(history));
    }

    #[test]
    fn every_position_has_one_timeline() {
        let history = third();
        for (lsn, timeline) in [(1, 1), (99, 1), (100, 2), (249, 2), (250, 3), (9999, 3)] {
            assert_eq!(history.timeline_at(Lsn(lsn)), TimelineId(timeline), "{lsn}");
        }
        assert_eq!(history.next_after(TimelineId(1)), Some((TimelineId(2), Lsn(100))));
        assert_eq!(history.next_after(TimelineId(3)), None);
    }

    #[test]
    fn contradictions_are_named() {
        for text in ["2\t0/64\t\n1\t0/64\t\n", "1\t0/64\t\n2\t0/63\t\n", "3\t0/64\t\n", "0\t0/1\t\n"] {
            assert!(
                matches!(TimelineHistory::parse(TimelineId(3), text), Err(HistoryError::Order { .. })),
                "{text}"
            );
        }
        for text in ["1 0/64 x\n", "x\t0/64\n", "1\t64\n", "1\n"] {
            assert!(
                matches!(TimelineHistory::parse(TimelineId(3), text), Err(HistoryError::Syntax { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn forks_are_found_also_where_numbers_were_given_twice() {
        let first = TimelineHistory::root(TimelineId(1));
        let (one, two, three) = (TimelineId(1), TimelineId(2), TimelineId(3));
        let second = first.branch(two, Lsn(100), "promoted");
        assert_eq!(first.forks(&first), [(one, Lsn::MAX)]);
        assert_eq!(first.forks(&third()), [(one, Lsn(100))]);
        assert_eq!(second.forks(&third()), [(two, Lsn(250)), (one, Lsn(100))]);
        // both were promoted, one after the other had left
        let other = first.branch(three, Lsn(90), "promoted");
        assert_eq!(other.forks(&second), [(one, Lsn(90))]);
        assert_eq!(second.forks(&second), [(two, Lsn::MAX), (one, Lsn(100))]);
        assert_eq!(first.forks(&TimelineHistory::root(two)), []);
        let elsewhere = first.branch(two, Lsn(80), "promoted");
        assert_eq!(third().leaves(&second), Some(Lsn(250)));
        assert_eq!(third().leaves(&elsewhere), None, "another timeline 2");
        assert_eq!(third().leaves(&third()), None);
        assert!(third().ancestor(two).unwrap().agrees_with(&second));
        assert!(!second.agrees_with(&elsewhere));
    }

    #[test]
    fn file_names_round_trip() {
        assert_eq!(parse_history_file_name(&history_file_name(TimelineId(0x1F))), Some(TimelineId(0x1F)));
        assert_eq!(parse_history_file_name("0000001f.history"), None);
    }
}
