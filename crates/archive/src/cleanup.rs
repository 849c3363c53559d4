use std::fs;
use std::path::{Path, PathBuf};

use crate::compressed::uncompressed_name;
use crate::error::ArchiveError;
use crate::name::PARTIAL_SUFFIX;

/// Hexadecimal digits of a segment's name.
const SEGMENT_DIGITS: usize = 24;
/// Of them, those of the timeline.
const TIMELINE_DIGITS: usize = 8;

/// The oldest segment file that stays in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldestKept(String);

impl OldestKept {
    /// From the name of a segment file, or of its `.partial` or `.backup` file, as
    /// pg_archivecleanup takes them.
    pub fn parse(name: &str) -> Result<OldestKept, ArchiveError> {
        let invalid = || ArchiveError::OldestKept(name.to_owned());
        let segment = name.get(..SEGMENT_DIGITS).filter(|segment| is_segment(segment)).ok_or_else(invalid)?;
        let rest = name.get(SEGMENT_DIGITS..).unwrap_or_default();
        let known = rest.is_empty() || rest == PARTIAL_SUFFIX || is_backup_suffix(rest);
        known.then(|| OldestKept(segment.to_owned())).ok_or_else(invalid)
    }

    /// The segment's name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

fn is_segment(name: &str) -> bool {
    name.len() == SEGMENT_DIGITS && name.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
}

/// `.NNNNNNNN.backup`.
fn is_backup_suffix(rest: &str) -> bool {
    let digits = rest.strip_prefix('.').and_then(|rest| rest.strip_suffix(".backup"));
    digits.is_some_and(|digits| digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// The files of an archive that are older than `oldest`, in order: segments of whatever
/// timeline with a smaller number, complete or not, compressed or not, with `suffix` behind
/// their names or not. Histories stay: they are small, and every later backup needs them.
///
/// Each is given to `remove`, which decides what becomes of it.
pub fn cleanup(
    archive: &Path,
    oldest: &OldestKept,
    suffix: Option<&str>,
    mut remove: impl FnMut(&Path) -> Result<(), ArchiveError>,
) -> Result<usize, ArchiveError> {
    if !archive.is_dir() {
        return Err(ArchiveError::NoDirectory(archive.to_owned()));
    }
    let mut old: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(archive).map_err(ArchiveError::io("read directory", archive))? {
        let entry = entry.map_err(ArchiveError::io("read directory", archive))?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| is_older(name, oldest, suffix)) {
            old.push(entry.path());
        }
    }
    old.sort_unstable();
    old.iter().try_for_each(|path| remove(path))?;
    Ok(old.len())
}

fn is_older(name: &str, oldest: &OldestKept, suffix: Option<&str>) -> bool {
    let name = suffix.and_then(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    let name = uncompressed_name(name);
    let name = name.strip_suffix(PARTIAL_SUFFIX).unwrap_or(&name);
    // as pg_archivecleanup: a segment of an earlier timeline with a number that is not
    // older may be the one that the oldest kept one continues
    is_segment(name) && name.get(TIMELINE_DIGITS..) < oldest.0.get(TIMELINE_DIGITS..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_before_the_oldest_go_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        let names = [
            "000000010000000000000003",
            "000000010000000000000004.gz",
            "000000010000000000000004.gz.partial",
            "000000010000000000000005",
            "000000010000000000000005.partial",
            "000000020000000000000004",
            "000000020000000000000006",
            "00000002.history",
            "000000010000000000000003.00000028.backup",
            "notes.txt",
        ];
        for name in names {
            fs::write(scratch.path().join(name), "").unwrap();
        }
        let oldest = OldestKept::parse("000000020000000000000005.00000028.backup").unwrap();
        assert_eq!(oldest.name(), "000000020000000000000005");
        let mut found = Vec::new();
        let count = cleanup(scratch.path(), &oldest, None, |path| {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
            Ok(())
        });
        assert_eq!(count.unwrap(), 4);
        assert_eq!(found, [names[0], names[1], names[2], names[5]]);
    }

    #[test]
    fn an_own_suffix_is_seen_through_and_bad_names_are_refused() {
        let oldest = OldestKept::parse("000000010000000000000005").unwrap();
        assert!(is_older("000000010000000000000004.enc", &oldest, Some(".enc")));
        assert!(!is_older("000000010000000000000004.enc", &oldest, None));
        for bad in ["", "00000002.history", "00000001000000000000000g", "000000010000000000000005.gz"] {
            assert!(OldestKept::parse(bad).is_err(), "{bad}");
        }
    }
}
