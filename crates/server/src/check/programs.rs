use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use regex::bytes::Regex;
use walship_node::{DataDirectory, PidFile};

use super::{Area, Finding};

const AREA: Area = Area::Programs;
/// Where Debian, Red Hat and others keep libraries.
const LIBRARY_FOLDERS: [&str; 8] = [
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/lib",
    "/usr/local/lib64",
];
const LIBRARY: &str = "libsqlite3.so";
/// A library has a few megabytes; nothing larger is read.
const LIBRARY_BYTES_MAX: u64 = 64 << 20;
const DEFECT: &str = "has the WAL-reset defect (3.7.0 to 3.51.2, but for 3.44.6 and 3.50.7): a commit during another program's checkpoint can be lost or damage the file";
const MEND: &str = "give programs that open these files SQLite 3.51.3 or later, or let them only read, or let them connect to the server";

/// SQLite's version here, in the system's library, and in every program that has a database open now.
pub(super) fn check(root: &DataDirectory, findings: &mut Vec<Finding>) {
    let bundled = rusqlite::version();
    if Version::parse(bundled).is_none_or(Version::is_defective) {
        findings.push(
            Finding::error(AREA, format!("walship itself was built with SQLite {bundled}, which {DEFECT}"))
                .mend("build it with the bundled SQLite"),
        );
    }
    let mut seen = Vec::new();
    for folder in LIBRARY_FOLDERS {
        for library in libraries(Path::new(folder)) {
            if seen.contains(&library) {
                continue;
            }
            if let Some(version) = version_of(&library).filter(|version| version.is_defective()) {
                let message =
                    format!("the system's \"{}\" is SQLite {version}, which {DEFECT}", library.display());
                findings.push(Finding::warning(AREA, message).mend(MEND));
            }
            seen.push(library);
        }
    }
    let own = PidFile::read(root).map(|file| file.pid);
    for (pid, program) in openers(root) {
        if Some(pid) == own || pid == std::process::id() {
            continue;
        }
        let shown = format!("process {pid} ({}) has {} open", program.name, program.files.join(", "));
        match program.library.as_deref().and_then(version_of) {
            Some(version) if version.is_defective() => {
                findings.push(
                    Finding::error(AREA, format!("{shown} with SQLite {version}, which {DEFECT}")).mend(MEND),
                );
            }
            Some(version) => findings.push(Finding::note(AREA, format!("{shown} with SQLite {version}"))),
            None => findings.push(Finding::note(
                AREA,
                format!("{shown} with an SQLite of its own: see that it is 3.51.3 or later"),
            )),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

impl Version {
    fn parse(text: &str) -> Option<Version> {
        let mut numbers = text.split('.').map(str::parse::<u32>);
        let mut next = || numbers.next()?.ok();
        Some(Version(next()?, next()?, next()?))
    }

    /// Whether it has the WAL-reset defect: sqlite.org/wal.html, "The WAL-Reset Bug".
    fn is_defective(self) -> bool {
        let mended = match (self.0, self.1) {
            (3, 44) => self.2 >= 6,
            (3, 50) => self.2 >= 7,
            _ => self >= Version(3, 51, 3),
        };
        self >= Version(3, 7, 0) && !mended
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

fn libraries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(LIBRARY));
    let mut found: Vec<PathBuf> = named.filter_map(|entry| entry.path().canonicalize().ok()).collect();
    found.sort();
    found.dedup();
    found
}

/// The version that a library has in itself, as the text of sqlite3_version.
fn version_of(library: &Path) -> Option<Version> {
    if fs::metadata(library).ok()?.len() > LIBRARY_BYTES_MAX {
        return None;
    }
    let bytes = fs::read(library).ok()?;
    let text = Regex::new(r"\x00(3\.[0-9]{1,2}\.[0-9]{1,2})\x00").ok()?;
    let found = text.captures(&bytes)?.get(1)?;
    Version::parse(std::str::from_utf8(found.as_bytes()).ok()?)
}

/// A program that has a database open.
struct Opener {
    name: String,
    files: Vec<String>,
    library: Option<PathBuf>,
}

/// By process id. Without privileges only the user's own processes are seen.
fn openers(root: &DataDirectory) -> BTreeMap<u32, Opener> {
    let Ok(base) = root.base().canonicalize() else { return BTreeMap::new() };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered =
        processes.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    numbered.filter_map(|(pid, process)| Some((pid, opener(&process, &base)?))).collect()
}

fn opener(process: &Path, base: &Path) -> Option<Opener> {
    let descriptors = fs::read_dir(process.join("fd")).ok()?.flatten();
    let open = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
    let databases =
        open.filter(|path| path.parent() == Some(base) && path.extension().is_some_and(|end| end == "db"));
    let mut files: Vec<String> =
        databases.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect();
    files.sort();
    files.dedup();
    if files.is_empty() {
        return None;
    }
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default().trim().to_owned();
    let maps = fs::read_to_string(process.join("maps")).unwrap_or_default();
    let mapped = maps.lines().filter_map(|line| Some(PathBuf::from(line.get(line.find('/')?..)?)));
    let mut libraries = mapped
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(LIBRARY)));
    Some(Opener { name, files, library: libraries.next() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_with_the_defect_are_known() {
        for (text, defective) in [
            ("3.6.23", false),
            ("3.7.0", true),
            ("3.40.1", true),
            ("3.44.5", true),
            ("3.44.6", false),
            ("3.45.0", true),
            ("3.50.6", true),
            ("3.50.7", false),
            ("3.51.2", true),
            ("3.51.3", false),
            ("3.54.1", false),
        ] {
            assert_eq!(Version::parse(text).map(Version::is_defective), Some(defective), "{text}");
        }
        assert_eq!(Version::parse("3.x"), None);
    }
}
