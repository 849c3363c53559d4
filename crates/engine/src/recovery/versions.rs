use std::collections::{BTreeMap, BTreeSet};

use walship_types::{DatabaseId, Lsn, PageNo};
use walship_wal::payload::{DatabaseState, Entries, Payload};
use walship_wal::{Next, Record, WalSource};

use super::scan::{ScannedDatabase, for_each_record};
use crate::page::HashFile;
use crate::redo::{RedoError, RedoOptions};

/// Bytes that are not zero in a page that says nothing: more than the header of an empty b-tree page has.
const EMPTY_PAGE_BYTES_MAX: usize = 24;

/// The hashes of pages that do not have their logged content, and which of these are known to be an earlier content.
#[derive(Default)]
pub(super) struct Wanted {
    found: BTreeMap<PageNo, u64>,
    known: BTreeSet<PageNo>,
    empty: BTreeSet<PageNo>,
}

/// What the log before the redo point says of the file as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct EarlierState {
    /// The database had the file's size.
    pub(super) had_size: bool,
    /// It had the file's size and checksum: the file is the database of that time.
    pub(super) had_state: bool,
}

impl Wanted {
    /// Adds a page of the file.
    pub(super) fn add(&mut self, page: PageNo, hash: u64, content: &[u8]) {
        self.found.insert(page, hash);
        if content.iter().filter(|byte| **byte != 0).count() <= EMPTY_PAGE_BYTES_MAX {
            self.empty.insert(page);
        }
    }

    /// All of them.
    pub(super) fn found(&self) -> impl Iterator<Item = (PageNo, u64)> + '_ {
        self.found.iter().map(|(page, hash)| (*page, *hash))
    }

    /// How many have an earlier content.
    pub(super) fn known(&self) -> usize {
        self.known.len()
    }

    /// Those whose content no log had.
    pub(super) fn unknown(&self) -> impl Iterator<Item = PageNo> + '_ {
        self.found.keys().copied().filter(|page| !self.known.contains(page))
    }

    /// Takes all of them for earlier content.
    pub(super) fn all_known(&mut self) {
        self.known.extend(self.found.keys());
    }

    /// Takes empty pages for unknown that became known since `before`, if others are unknown.
    fn forget_empty(&mut self, before: &BTreeSet<PageNo>) {
        if self.unknown().next().is_some() {
            self.known.retain(|page| before.contains(page) || !self.empty.contains(page));
        }
    }

    fn note(&mut self, page: PageNo, hash: u64) {
        if self.found.get(&page) == Some(&hash) {
            self.known.insert(page);
        }
    }

    fn note_entries(&mut self, entries: Entries<'_>) {
        entries.into_iter().for_each(|entry| self.note(entry.page, entry.hash));
    }

    fn take(&mut self, payload: &Payload<'_>, database: DatabaseId) {
        match payload {
            Payload::Pages(part) if part.database == database => self.note_entries(part.entries()),
            Payload::Commit(commit) if commit.database == database => self.note_entries(commit.entries()),
            _ => {}
        }
    }
}

/// Marks those pages whose content the database had at the redo point, or since.
pub(super) fn look_since(
    options: &RedoOptions,
    source: &WalSource,
    (redo, end): (Lsn, Lsn),
    scanned: &ScannedDatabase,
    wanted: &mut Wanted,
) -> Result<(), RedoError> {
    if wanted.found.is_empty() {
        return Ok(());
    }
    let path = options.hash_path(&scanned.name);
    if let Ok(file) = HashFile::read(&path, options.system_id, scanned.id) {
        for (page, hash) in file.hashes.iter() {
            wanted.note(page, hash);
        }
    }
    for_each_record(source, redo, end, |record| {
        wanted.take(&decode(&record)?, scanned.id);
        Ok(())
    })
}

/// Marks those pages whose content the database had before the redo point, as far as the log is kept; empty ones only
/// if no page is left unknown. `file` is the size of the file in pages and its checksum, if that is known.
pub(super) fn look_before(
    source: &WalSource,
    redo: Lsn,
    database: DatabaseId,
    wanted: &mut Wanted,
    file: (u32, Option<u64>),
) -> EarlierState {
    let since = wanted.known.clone();
    let mut state = EarlierState::default();
    let mut note_state = |pages: u32, checksum: u64| {
        state.had_size |= pages == file.0;
        state.had_state |= (pages, Some(checksum)) == file;
    };
    for_each_kept_record(source, redo, |payload| {
        wanted.take(payload, database);
        match payload {
            Payload::Commit(commit) if commit.database == database => {
                note_state(commit.pages, commit.checksum);
            }
            Payload::Seal(seal) if seal.database == database => note_state(seal.pages, seal.checksum),
            Payload::Checkpoint(checkpoint) => {
                note_states(&checkpoint.databases, database, &mut note_state);
            }
            Payload::EndOfRecovery(end) => note_states(&end.databases, database, &mut note_state),
            _ => {}
        }
    });
    wanted.forget_empty(&since);
    state
}

fn note_states(states: &[DatabaseState], database: DatabaseId, note: &mut impl FnMut(u32, u64)) {
    let states = states.iter().filter(|state| state.id == database);
    states.for_each(|state| note(state.pages, state.checksum));
}

/// Calls `each` with what the log that is kept from before the redo point says. It is no part of recovery any more, so
/// a segment that cannot be read does not stop that: reading goes on with the next one.
fn for_each_kept_record(source: &WalSource, redo: Lsn, mut each: impl FnMut(&Payload<'_>)) {
    let mut reader = source.reader(source.kept_from(redo));
    while reader.position() < redo {
        match reader.next() {
            Ok(Next::Record(record)) if record.lsn < redo => {
                if let Ok(payload) = decode(&record) {
                    each(&payload);
                }
            }
            Ok(Next::Record(_)) => return,
            damaged => {
                let (at, next) = (reader.position(), source.segment_after(reader.position()));
                tracing::warn!(%at, ?damaged, "the log before the redo point cannot be read here; looking behind it");
                reader = source.reader(next);
            }
        }
    }
}

fn decode(record: &Record) -> Result<Payload<'_>, RedoError> {
    let lsn = record.lsn;
    Payload::decode(record.kind, &record.payload).map_err(|source| RedoError::Payload { lsn, source })
}
