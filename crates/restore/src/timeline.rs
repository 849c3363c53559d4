use std::collections::BTreeMap;
use std::path::Path;

use walship_types::{Lsn, TimelineHistory, TimelineId, history_file_name, parse_history_file_name};

use crate::RestoreError;
use crate::backup::Backup;
use crate::options::TimelineChoice;

/// The histories that archive and backup have.
pub(crate) struct Histories {
    known: BTreeMap<TimelineId, TimelineHistory>,
}

impl Histories {
    /// Reads all of them.
    pub(crate) fn read(folders: &[&Path]) -> Result<Histories, RestoreError> {
        let mut known = BTreeMap::from([(TimelineId::FIRST, TimelineHistory::root(TimelineId::FIRST))]);
        for folder in folders {
            let entries = match std::fs::read_dir(folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(RestoreError::io("read directory", folder)(error)),
            };
            for entry in entries {
                let path = entry.map_err(RestoreError::io("read directory", folder))?.path();
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let Some(timeline) = parse_history_file_name(name) else { continue };
                let text = std::fs::read_to_string(&path).map_err(RestoreError::io("read file", &path))?;
                let history = TimelineHistory::parse(timeline, &text);
                let history =
                    history.map_err(|source| RestoreError::History { path: path.clone(), source })?;
                known.entry(timeline).or_insert(history);
            }
        }
        Ok(Histories { known })
    }

    /// The newest timeline that anybody knows of.
    pub(crate) fn newest(&self) -> TimelineId {
        self.known.last_key_value().map_or(TimelineId::FIRST, |(timeline, _)| *timeline)
    }

    fn get(&self, timeline: TimelineId) -> Result<&TimelineHistory, RestoreError> {
        let file = history_file_name(timeline);
        self.known.get(&timeline).ok_or(RestoreError::NoTimeline { timeline, file })
    }

    /// The history that is followed, and newer timelines that could not be.
    pub(crate) fn choose(
        &self,
        choice: TimelineChoice,
        backup: &Backup,
    ) -> Result<(TimelineHistory, Vec<TimelineId>), RestoreError> {
        let own = backup.control.timeline;
        let consistent = backup.control.minimum_recovery;
        let goes_through = |history: &TimelineHistory| match history.timeline == own {
            true => Ok(()),
            false => match history.switch_point(own) {
                Some(fork) if fork >= consistent => Ok(()),
                fork => Err(fork),
            },
        };
        match choice {
            TimelineChoice::Current => Ok((self.get(own)?.clone(), Vec::new())),
            TimelineChoice::Number(timeline) => {
                let history = self.get(timeline)?;
                match goes_through(history) {
                    Ok(()) => Ok((history.clone(), Vec::new())),
                    Err(fork) => Err(RestoreError::OtherBranch { timeline, own, consistent, fork }),
                }
            }
            TimelineChoice::Latest => {
                let mut passed_over = Vec::new();
                for history in self.known.values().rev() {
                    if goes_through(history).is_ok() {
                        return Ok((history.clone(), passed_over));
                    }
                    passed_over.push(history.timeline);
                }
                Ok((self.get(own)?.clone(), passed_over))
            }
        }
    }
}

/// The history of a new timeline that leaves `history` at `end`.
pub(crate) fn branch(
    history: &TimelineHistory,
    timeline: TimelineId,
    end: Lsn,
    reason: &str,
) -> TimelineHistory {
    // of the last byte that was recovered, which need not be the one that is followed
    let parent = history.timeline_at(Lsn(end.0.saturating_sub(1)));
    let entries = history.entries.iter().take_while(|entry| entry.timeline < parent).cloned();
    TimelineHistory { timeline: parent, entries: entries.collect() }.branch(timeline, end, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_timeline_leaves_the_one_that_it_ended_on() {
        let root = TimelineHistory::root(TimelineId(1));
        let followed = root.branch(TimelineId(2), Lsn(100), "a").branch(TimelineId(3), Lsn(200), "b");
        let at = |end| branch(&followed, TimelineId(4), Lsn(end), "c").to_text();
        assert_eq!(at(50), "1\t0/32\tc\n");
        assert_eq!(at(100), "1\t0/64\tc\n");
        assert_eq!(at(150), "1\t0/64\ta\n2\t0/96\tc\n");
        assert_eq!(at(300), "1\t0/64\ta\n2\t0/C8\tb\n3\t0/12C\tc\n");
    }
}
