use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};
use walship_node::{ControlFile, DataDirectory};

use super::{Area, Finding};

const AREA: Area = Area::Databases;
/// What an SQLite file begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Where its header says how it is written, and what it says in WAL mode.
const WRITE_VERSION: usize = 18;
const READ_VERSION: usize = 19;
const IN_WAL_MODE: u8 = 2;
/// Tables that other tools leave in a database, and whose they are.
const FOREIGN_TABLES: [(&str, &str); 5] = [
    ("_litestream_seq", "Litestream"),
    ("_litestream_lock", "Litestream"),
    ("__marmot__%", "Marmot"),
    ("crsql_%", "cr-sqlite"),
    ("__corro_%", "Corrosion"),
];

/// The files below `base/`, and who else works on them.
pub(super) fn check(root: &DataDirectory, control: &ControlFile, findings: &mut Vec<Finding>) {
    let entries = match fs::read_dir(root.base()) {
        Ok(entries) => entries,
        Err(error) => {
            findings.push(Finding::error(
                AREA,
                format!("could not read folder \"{}\": {error}", root.base().display()),
            ));
            return;
        }
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in &paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with("-litestream") {
            let message = format!(
                "\"{}\" is Litestream's: it checkpoints the same -wal, and either tool misses what the other has moved",
                path.display()
            );
            findings.push(Finding::error(AREA, message).mend("stop Litestream for this database and remove the folder; walctl basebackup and an archive take its place"));
        } else if name.ends_with(".db-journal") {
            let message =
                format!("\"{}\" exists: a program has written the database in rollback mode", path.display());
            findings.push(
                Finding::error(AREA, message)
                    .mend("keep that program from changing journal_mode; do not remove the file"),
            );
        } else if name.ends_with(".db") {
            file(path, findings);
        }
    }
    for database in &control.databases {
        let path = root.base().join(format!("{}.db", database.name));
        if !path.exists() {
            let message = format!(
                "\"{}\" is missing: the control file has database \"{}\"",
                path.display(),
                database.name
            );
            findings.push(
                Finding::error(AREA, message)
                    .mend("bring the file back from a backup, or start from a base backup"),
            );
        }
    }
}

fn file(path: &Path, findings: &mut Vec<Finding>) {
    let shown = path.display();
    let mut header = [0; 100];
    match fs::File::open(path).and_then(|mut file| file.read_exact(&mut header)) {
        Ok(()) => {}
        // one that was just created has nothing in it yet
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return,
        Err(error) => {
            findings.push(Finding::error(AREA, format!("could not read \"{shown}\": {error}")));
            return;
        }
    }
    if !header.starts_with(MAGIC) {
        findings.push(Finding::error(
            AREA,
            format!("\"{shown}\" is not an SQLite database: its first bytes are wrong"),
        ));
        return;
    }
    if header[WRITE_VERSION] != IN_WAL_MODE || header[READ_VERSION] != IN_WAL_MODE {
        let message = format!("\"{shown}\" is not in WAL mode: another program has set its journal_mode");
        findings.push(
            Finding::error(AREA, message)
                .mend("keep that program from it; the next start of the server sets WAL mode again"),
        );
    }
    match foreign_tables(path) {
        Ok(found) => {
            for (table, tool) in found {
                let message =
                    format!("\"{shown}\" has table \"{table}\" of {tool}, which replicates the same file");
                let mend =
                    format!("stop {tool} for this database; if it is gone already: DROP TABLE \"{table}\"");
                findings.push(Finding::warning(AREA, message).mend(mend));
            }
        }
        Err(error) => findings.push(Finding::note(
            AREA,
            format!("could not look for other tools' tables in \"{shown}\": {error}"),
        )),
    }
}

/// The file alone is read, without its -wal and without a lock: whoever looks must leave no trace, not even a -shm.
fn foreign_tables(path: &Path) -> rusqlite::Result<Vec<(String, &'static str)>> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let escaped: String = path.to_string_lossy().chars().flat_map(escape).collect();
    let connection = Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)?;
    let mut found = Vec::new();
    let mut query = connection.prepare(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE ?1 ESCAPE '\\' LIMIT 1",
    )?;
    for (pattern, tool) in FOREIGN_TABLES {
        let pattern = pattern.replace('_', "\\_");
        let mut rows = query.query([pattern])?;
        if let Some(row) = rows.next()? {
            found.push((row.get(0)?, tool));
        }
    }
    Ok(found)
}

/// What has a meaning in a URI.
fn escape(c: char) -> Vec<char> {
    match c {
        '?' | '#' | '%' => format!("%{:02x}", u32::from(c)).chars().collect(),
        c => vec![c],
    }
}
