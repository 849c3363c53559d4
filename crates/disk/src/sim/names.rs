use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rand::Rng;

use super::file::Inode;

#[derive(Debug, Clone)]
pub(super) enum Entry {
    Directory,
    File(Arc<Inode>),
}

#[derive(Debug, Clone)]
enum Change {
    Link(PathBuf, Entry),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, Entry),
}

/// The names as everybody sees them, as they are on the medium, and in between, in
/// order, what was done since.
#[derive(Debug)]
pub(super) struct Names {
    seen: BTreeMap<PathBuf, Entry>,
    durable: BTreeMap<PathBuf, Entry>,
    pending: Vec<Change>,
}

impl Names {
    pub(super) fn new() -> Names {
        let root = BTreeMap::from([(PathBuf::from("/"), Entry::Directory)]);
        Names { seen: root.clone(), durable: root, pending: Vec::new() }
    }

    pub(super) fn get(&self, path: &Path) -> Option<&Entry> {
        self.seen.get(path)
    }

    pub(super) fn link(&mut self, path: &Path, entry: Entry) {
        self.record(Change::Link(path.to_owned(), entry));
    }

    pub(super) fn unlink(&mut self, path: &Path) {
        self.record(Change::Unlink(path.to_owned()));
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path, entry: Entry) {
        self.record(Change::Rename(from.to_owned(), to.to_owned(), entry));
    }

    pub(super) fn children(&self, dir: &Path) -> Vec<String> {
        let of_dir = self.seen.keys().filter(|p| p.parent() == Some(dir));
        of_dir.filter_map(|p| Some(p.file_name()?.to_str()?.to_owned())).collect()
    }

    pub(super) fn files(&self) -> Vec<(PathBuf, u64)> {
        let len = |(path, entry): (&PathBuf, &Entry)| match entry {
            Entry::File(inode) => Some((path.clone(), inode.len())),
            Entry::Directory => None,
        };
        self.seen.iter().filter_map(len).collect()
    }

    pub(super) fn inodes(&self) -> Vec<Arc<Inode>> {
        let inode = |entry: &Entry| match entry {
            Entry::File(inode) => Some(inode.clone()),
            Entry::Directory => None,
        };
        self.seen.values().filter_map(inode).collect()
    }

    /// What was done in `dir` is durable.
    pub(super) fn sync(&mut self, dir: &Path) {
        let in_dir = |path: &Path| path.parent() == Some(dir);
        for change in std::mem::take(&mut self.pending) {
            let concerned = match &change {
                Change::Link(path, _) | Change::Unlink(path) => in_dir(path),
                Change::Rename(from, to, _) => in_dir(from) || in_dir(to),
            };
            if concerned {
                apply(&mut self.durable, &change);
            } else {
                self.pending.push(change);
            }
        }
    }

    /// Some first part of what was not synced made it.
    pub(super) fn lose_power(&mut self, random: &mut impl Rng) {
        let survivors = random.random_range(0..=self.pending.len());
        for change in self.pending.drain(..).take(survivors) {
            apply(&mut self.durable, &change);
        }
        self.seen = self.durable.clone();
    }

    fn record(&mut self, change: Change) {
        apply(&mut self.seen, &change);
        self.pending.push(change);
    }
}

fn apply(names: &mut BTreeMap<PathBuf, Entry>, change: &Change) {
    match change {
        Change::Link(path, entry) => drop(names.insert(path.clone(), entry.clone())),
        Change::Unlink(path) => drop(names.remove(path)),
        Change::Rename(from, to, entry) => {
            names.remove(from);
            names.insert(to.clone(), entry.clone());
        }
    }
}
