use std::path::Path;

use walship_disk::{Disk, replace_atomically};
use walship_types::{TimelineHistory, TimelineId, history_file_name, parse_history_file_name};

use crate::WalError;

/// Writes `NNNNNNNN.history` durably; timeline 1 has none.
pub fn write_history(disk: &dyn Disk, dir: &Path, history: &TimelineHistory) -> Result<(), WalError> {
    let path = dir.join(history_file_name(history.timeline));
    Ok(replace_atomically(disk, &path, history.to_text().as_bytes())?)
}

/// Reads the history of a timeline; timeline 1 has no file and no ancestors.
pub fn read_history(disk: &dyn Disk, dir: &Path, timeline: TimelineId) -> Result<TimelineHistory, WalError> {
    if timeline == TimelineId::FIRST {
        return Ok(TimelineHistory::root(timeline));
    }
    let path = dir.join(history_file_name(timeline));
    let Ok(text) = String::from_utf8(disk.read(&path)?) else {
        return Err(WalError::HistoryNotText { path });
    };
    TimelineHistory::parse(timeline, &text).map_err(|source| WalError::History { path, source })
}

/// Holds a history against the files of its ancestors, as far as the directory has them:
/// where a timeline began is said by every file of a later one too, and if they do not
/// agree nobody knows which log is which. [`WalError::HistoriesContradict`] names both.
pub fn check_ancestors(disk: &dyn Disk, dir: &Path, history: &TimelineHistory) -> Result<(), WalError> {
    for entry in &history.entries {
        let path = dir.join(history_file_name(entry.timeline));
        if entry.timeline == TimelineId::FIRST || disk.metadata(&path)?.is_none() {
            continue;
        }
        let found = read_history(disk, dir, entry.timeline)?;
        if !history.ancestor(entry.timeline).is_some_and(|expected| expected.agrees_with(&found)) {
            let other = dir.join(history_file_name(history.timeline));
            return Err(WalError::HistoriesContradict { timeline: entry.timeline, path, other });
        }
    }
    Ok(())
}

/// The newest timeline that the directory has a history of; timeline 1 if none.
pub fn newest_timeline(disk: &dyn Disk, dir: &Path) -> Result<TimelineId, WalError> {
    let names = disk.list(dir)?;
    let timelines = names.iter().filter_map(|name| parse_history_file_name(name));
    Ok(timelines.max().unwrap_or(TimelineId::FIRST))
}

#[cfg(test)]
mod tests {
    use walship_disk::SimDisk;
    use walship_types::Lsn;

    use super::*;

    #[test]
    fn histories_survive_power_loss_and_the_newest_is_found() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/");
        assert_eq!(newest_timeline(&disk, dir).unwrap(), TimelineId(1));
        let second = TimelineHistory::root(TimelineId(1)).branch(TimelineId(2), Lsn(99), "promoted");
        write_history(&disk, dir, &second).unwrap();
        disk.power_loss();
        assert_eq!(newest_timeline(&disk, dir).unwrap(), TimelineId(2));
        assert_eq!(read_history(&disk, dir, TimelineId(2)).unwrap(), second);
        assert!(read_history(&disk, dir, TimelineId(3)).is_err());
    }

    #[test]
    fn ancestors_that_tell_another_story_are_named() {
        let disk = SimDisk::new(1);
        let dir = Path::new("/");
        let second = TimelineHistory::root(TimelineId(1)).branch(TimelineId(2), Lsn(99), "promoted");
        let third = second.branch(TimelineId(3), Lsn(200), "promoted");
        check_ancestors(&disk, dir, &third).unwrap();
        write_history(&disk, dir, &second).unwrap();
        check_ancestors(&disk, dir, &third).unwrap();
        let other = TimelineHistory::root(TimelineId(1)).branch(TimelineId(2), Lsn(98), "promoted");
        write_history(&disk, dir, &other).unwrap();
        let error = check_ancestors(&disk, dir, &third).unwrap_err();
        assert_eq!(
            error.to_string(),
            "history files \"/00000002.history\" and \"/00000003.history\" contradict each other about timeline 2"
        );
    }

    #[test]
    fn a_bad_history_is_named() {
        let disk = SimDisk::new(1);
        disk.create_new(Path::new("/00000002.history")).unwrap().write_all_at(b"gibberish", 0).unwrap();
        let error = read_history(&disk, Path::new("/"), TimelineId(2)).unwrap_err();
        assert!(error.to_string().starts_with("history file \"/00000002.history\": syntax error"), "{error}");
    }
}
