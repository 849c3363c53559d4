use std::collections::{BTreeMap, BTreeSet};

use walship_engine::page::{page_hash, same_content};
use walship_types::{DatabaseId, DatabaseName, Lsn, PageNo, PageSize};
use walship_wal::payload::{Base, Entries, Payload};
use walship_wal::{Next, Record, WalSource};

/// What the log makes of the databases: whole pages in memory, record by record.
#[derive(Default)]
pub(crate) struct Oracle {
    pub(crate) databases: BTreeMap<DatabaseId, Content>,
    pub(crate) seals: usize,
    pub(crate) foreign: usize,
    pub(crate) deltas: usize,
    pub(crate) images: usize,
    pub(crate) parts: usize,
    pub(crate) payload_bytes: u64,
    /// Redo points that were passed.
    pub(crate) redo_points: usize,
}

pub(crate) struct Content {
    pub(crate) name: DatabaseName,
    pub(crate) page_size: PageSize,
    pub(crate) size: u32,
    pub(crate) pages: BTreeMap<PageNo, Vec<u8>>,
    pending: BTreeMap<PageNo, Vec<u8>>,
    /// Pages that a commit has logged since the redo point: they may be logged as changes.
    in_era: BTreeSet<PageNo>,
    checksum: u64,
    pub(crate) commits: usize,
}

impl Oracle {
    /// Replays everything from `start` to `end`, checking as it goes: also that replay from
    /// any redo point on its own would find every page that it needs.
    pub(crate) fn replay(source: &WalSource, start: Lsn, end: Lsn) -> Oracle {
        let records = records(source, start, end);
        let mut redo_points: BTreeSet<Lsn> = records.iter().filter_map(redo_point).collect();
        let mut oracle = Oracle::default();
        for record in &records {
            oracle.payload_bytes += record.payload.len() as u64;
            while redo_points.first().is_some_and(|redo| *redo <= record.lsn) {
                redo_points.pop_first();
                oracle.begin_era();
            }
            oracle.apply(&record.decode().unwrap());
        }
        oracle
    }

    fn begin_era(&mut self) {
        self.redo_points += 1;
        for content in self.databases.values_mut() {
            assert!(content.pending.is_empty(), "a redo point within a commit");
            content.in_era.clear();
        }
    }

    fn apply(&mut self, payload: &Payload<'_>) {
        match payload {
            Payload::CreateDatabase(create) => {
                let content = Content {
                    name: create.name.clone(),
                    page_size: PageSize::DEFAULT,
                    size: 0,
                    pages: BTreeMap::new(),
                    pending: BTreeMap::new(),
                    in_era: BTreeSet::new(),
                    checksum: 0,
                    commits: 0,
                };
                assert!(self.databases.insert(create.id, content).is_none(), "an id was used twice");
            }
            Payload::DropDatabase(dropped) => {
                assert!(self.databases.remove(&dropped.id).is_some());
            }
            Payload::Pages(part) => {
                self.parts += 1;
                let content = self.databases.get_mut(&part.database).unwrap();
                content.page_size = part.page_size;
                if part.first {
                    content.pending.clear();
                }
                let (deltas, images) = content.add(part.entries());
                self.deltas += deltas;
                self.images += images;
            }
            Payload::Commit(commit) => {
                let content = self.databases.get_mut(&commit.database).unwrap();
                content.page_size = commit.page_size;
                if commit.flags.single {
                    content.pending.clear();
                }
                let (deltas, images) = content.add(commit.entries());
                self.deltas += deltas;
                self.images += images;
                self.foreign += usize::from(commit.flags.foreign);
                content.commit(commit.pages);
                assert_eq!(content.checksum, commit.checksum, "checksum after commit {}", content.commits);
            }
            Payload::Seal(seal) => {
                self.seals += 1;
                let content = &self.databases[&seal.database];
                assert_eq!((content.checksum, content.size), (seal.checksum, seal.pages));
            }
            _ => {}
        }
    }

    pub(crate) fn named(&self, name: &str) -> &Content {
        self.databases.values().find(|content| content.name.as_str() == name).unwrap()
    }
}

fn records(source: &WalSource, start: Lsn, end: Lsn) -> Vec<Record> {
    let (mut reader, mut records) = (source.reader(start), Vec::<Record>::new());
    while records.last().is_none_or(|record| record.end < end) {
        match reader.next().unwrap() {
            Next::Record(record) => records.push(record),
            Next::End(at) => panic!("log ends at {at}, before {end}"),
        }
    }
    records
}

fn redo_point(record: &Record) -> Option<Lsn> {
    match record.decode().unwrap() {
        Payload::Checkpoint(checkpoint) => Some(checkpoint.redo),
        _ => None,
    }
}

impl Content {
    fn add(&mut self, entries: Entries<'_>) -> (usize, usize) {
        let (mut deltas, mut images) = (0, 0);
        for entry in entries {
            let mut page = match entry.base {
                Base::Zero => vec![0; self.page_size.bytes()],
                Base::Previous => {
                    assert!(
                        self.in_era.contains(&entry.page),
                        "a delta against nothing, page {}",
                        entry.page
                    );
                    self.pages[&entry.page].clone()
                }
            };
            *(if entry.base == Base::Zero { &mut images } else { &mut deltas }) += 1;
            entry.apply(&mut page).unwrap();
            assert_eq!(page_hash(entry.page, &page), entry.hash, "page {}", entry.page);
            assert!(self.pending.insert(entry.page, page).is_none(), "page {} twice", entry.page);
        }
        (deltas, images)
    }

    fn commit(&mut self, size: u32) {
        let old: Vec<PageNo> = self.pages.keys().copied().filter(|page| page.0 > size).collect();
        for page in old {
            self.checksum ^= page_hash(page, &self.pages.remove(&page).unwrap());
            self.in_era.remove(&page);
        }
        for (page, content) in std::mem::take(&mut self.pending) {
            assert!(page.0 <= size, "page {page} beyond {size}");
            self.in_era.insert(page);
            self.checksum ^= page_hash(page, &content);
            if let Some(old) = self.pages.insert(page, content) {
                self.checksum ^= page_hash(page, &old);
            }
        }
        self.size = size;
        self.commits += 1;
    }

    /// Page for page what an exported file has.
    pub(crate) fn assert_is(&self, file: &[u8]) {
        let page_bytes = self.page_size.bytes();
        assert_eq!(file.len(), self.size as usize * page_bytes, "size");
        for (number, found) in (1..).map(PageNo).zip(file.chunks(page_bytes)) {
            match self.pages.get(&number) {
                Some(page) => assert!(same_content(number, page, found), "page {number} differs"),
                None => assert!(found.iter().all(|&b| b == 0), "page {number} is not in the log"),
            }
        }
    }
}
