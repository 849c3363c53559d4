use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use walship_engine::redo::{RedoError, RedoOptions};
use walship_engine::rewind::{LostChange, LostWork, TablePages};
use walship_node::{ControlFile, NodeError};
use walship_types::{DatabaseId, DatabaseName, Lsn, Timestamp};

use super::RewindObserver;
use crate::run::Failure;

/// What a transaction that is lost did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LostKind {
    /// It changed a database.
    Commit,
    /// It was made by a program other than ours, and changed a database.
    ForeignCommit,
    /// It created a database.
    CreateDatabase,
    /// It dropped one.
    DropDatabase,
}

/// A transaction that the node had and the cluster went on without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LostTransaction {
    /// Start of its (closing) record.
    pub lsn: Lsn,
    /// What it did.
    pub kind: LostKind,
    /// When it was made; the creation and removal of databases has no time.
    #[serde(with = "time_as_text")]
    pub time: Option<Timestamp>,
    /// The database.
    pub database: String,
    /// Pages that it changed.
    pub pages: u64,
    /// The tables that these belong to, by name, as far as that can still be told.
    pub tables: Vec<String>,
}

/// Programs read times as RFC 3339 has them; one that is beyond the calendar is left out.
mod time_as_text {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use walship_types::Timestamp;

    pub(super) fn serialize<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        let shown = time.and_then(|time| jiff::Timestamp::from_microsecond(time.unix_micros()).ok());
        shown.map(|time| time.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        let time = text.map(|text| text.parse::<jiff::Timestamp>()).transpose().map_err(D::Error::custom)?;
        Ok(time.map(|time| Timestamp::from_unix_micros(time.as_microsecond())))
    }
}

/// Makes [`LostTransaction`]s of what the log says.
pub(super) struct Describer {
    options: RedoOptions,
    names: BTreeMap<DatabaseId, DatabaseName>,
    tables: BTreeMap<DatabaseId, TablePages>,
}

impl Describer {
    /// `control` is the node's own, as of the end of its log.
    pub(super) fn new(options: RedoOptions, control: &ControlFile) -> Describer {
        let names = control.databases.iter().map(|database| (database.id, database.name.clone())).collect();
        Describer { options, names, tables: BTreeMap::new() }
    }

    /// Names that the log itself gives: to be told before they are needed.
    pub(super) fn note(&mut self, lost: &LostWork) {
        if let LostChange::Create(name) | LostChange::Drop(name) = &lost.change {
            self.names.insert(lost.database, name.clone());
        }
    }

    pub(super) fn describe(&mut self, lost: LostWork) -> Result<LostTransaction, RedoError> {
        let LostWork { lsn, database: id, change } = lost;
        let name = self.names.get(&id).cloned();
        let database = name.as_ref().map_or_else(|| format!("database {id}"), ToString::to_string);
        Ok(match change {
            LostChange::Commit { time, pages, foreign } => {
                let kind = if foreign { LostKind::ForeignCommit } else { LostKind::Commit };
                let tables = self.tables(id, name.as_ref())?.of(&pages);
                let pages = pages.len() as u64;
                LostTransaction { lsn, kind, time: Some(time), database, pages, tables }
            }
            LostChange::Create(name) => database_change(lsn, LostKind::CreateDatabase, &name),
            LostChange::Drop(name) => database_change(lsn, LostKind::DropDatabase, &name),
        })
    }

    /// A database that is gone, or whose schema cannot be read, has no tables to name.
    fn tables(&mut self, id: DatabaseId, name: Option<&DatabaseName>) -> Result<&TablePages, RedoError> {
        Ok(match self.tables.entry(id) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let path = name.map(|name| self.options.database_path(name)).filter(|path| path.exists());
                let read = path.map(|path| TablePages::read(&path)).transpose();
                entry.insert(
                    read.unwrap_or_else(|error| {
                        tracing::warn!(database = %id, %error, "could not read which tables there are");
                        None
                    })
                    .unwrap_or_default(),
                )
            }
        })
    }
}

fn database_change(lsn: Lsn, kind: LostKind, name: &DatabaseName) -> LostTransaction {
    LostTransaction {
        lsn,
        kind,
        time: None::<Timestamp>,
        database: name.to_string(),
        pages: 0,
        tables: Vec::new(),
    }
}

/// The list of what was lost, a line of JSON for each: it is made while the databases are
/// still what they were, and shown from here, also when the rewind is run again.
pub(super) struct LostFile {
    writer: BufWriter<File>,
    path: std::path::PathBuf,
    count: u64,
}

impl LostFile {
    pub(super) fn create(path: &Path) -> Result<LostFile, Failure> {
        let file = File::create(path).map_err(|e| NodeError::io("create file", path, e))?;
        Ok(LostFile { writer: BufWriter::new(file), path: path.to_owned(), count: 0 })
    }

    pub(super) fn add(&mut self, lost: &LostTransaction) -> Result<(), RedoError> {
        self.count += 1;
        let failed = |source| RedoError::Io { operation: "write", path: self.path.clone(), source };
        serde_json::to_writer(&mut self.writer, lost).map_err(|e| failed(e.into()))?;
        self.writer.write_all(b"\n").map_err(failed)
    }

    /// Makes it durable.
    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let synced = self.writer.flush().and_then(|()| self.writer.get_ref().sync_all());
        Ok(synced.map_err(|e| NodeError::io("write file", &self.path, e))?)
    }

    /// Tells all that are in it; how many there are.
    pub(super) fn tell(path: &Path, observer: &mut dyn RewindObserver) -> Result<u64, Failure> {
        let read = |e| NodeError::io("read file", path, e);
        let mut count = 0;
        for line in BufReader::new(File::open(path).map_err(read)?).lines() {
            let line = line.map_err(read)?;
            let lost = serde_json::from_str(&line).map_err(|e| read(e.into()))?;
            observer.lost(&lost);
            count += 1;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_list_is_read_back() {
        let mut lost = LostTransaction {
            lsn: Lsn(0x100_0540),
            kind: LostKind::Commit,
            time: Some(Timestamp(848_963_863_627_964)),
            database: "postgres".to_owned(),
            pages: 2,
            tables: vec!["t".to_owned()],
        };
        let line = serde_json::to_string(&lost).unwrap();
        assert!(line.contains(r#""time":"2026-11-25T23:17:43.627964Z""#), "{line}");
        assert_eq!(serde_json::from_str::<LostTransaction>(&line).unwrap(), lost);
        lost.time = Some(Timestamp(i64::MAX));
        assert!(serde_json::to_string(&lost).unwrap().contains(r#""time":null"#));
    }
}
