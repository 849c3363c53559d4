use walship_types::{Lsn, PageNo, SqliteWalPosition};

use super::frames::CommitFrames;
use super::parts::{CommitEnd, Parts};
use super::{Author, Capture, LARGE_BYTES, Log, Logged};
use crate::EngineError;
use crate::page::{changed_ranges, page_hash};

/// What a delta costs beside the bytes of a range, about; only for choosing.
const RANGE_COST_BYTES: usize = 3;

/// Where the commits that were captured end in the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Captured {
    /// The commit of the session that captured.
    pub(crate) own: Option<Lsn>,
    /// The last commit of anyone else.
    pub(crate) others: Option<Lsn>,
    /// How many commits of foreign programs there were.
    pub(crate) foreign: u64,
}

impl Captured {
    pub(super) fn note(&mut self, end: Lsn, author: Author) {
        match author {
            Author::Session { .. } => self.own = Some(end),
            Author::Engine => self.others = Some(end),
            Author::Foreign => {
                self.others = Some(end);
                self.foreign += 1;
            }
        }
    }

    /// The end of the last commit, whoever made it.
    pub(crate) fn last(&self) -> Option<Lsn> {
        self.own.max(self.others)
    }
}

impl Capture {
    /// Appends the records of one commit and moves the position behind it.
    pub(super) fn log_commit(
        &mut self,
        commit: &CommitFrames,
        author: Author,
        log: &Log<'_>,
    ) -> Result<Lsn, EngineError> {
        let frame_bytes = self.wal().frame_bytes() as u64;
        let large = u64::from(commit.last - commit.first + 1) * frame_bytes > LARGE_BYTES;
        // from here to the commit record no redo point is set and no era begins
        let guard = log.in_flight.enter(large);
        self.cache.enter_era(guard.era());
        self.cache.truncate(commit.pages);
        self.hashes.lock().settle(false);
        self.hashes.lock().hashes.resize(commit.pages);
        let mut entries = std::mem::take(&mut self.entries);
        let mut parts = Parts::new(log.writer, self.database, self.page_size, &mut entries);
        for &(frame, page) in &commit.versions {
            self.add_page(frame, page, commit.last, &mut parts)?;
        }
        let generation = self.position.generation;
        let position = SqliteWalPosition { generation, frame: commit.last, checksum: commit.checksum };
        let foreign = author == Author::Foreign;
        let checksum = self.hashes.lock().hashes.checksum();
        let (end, volume) = parts.close(&CommitEnd { pages: commit.pages, foreign, position, checksum })?;
        self.hashes.lock().settle(true);
        self.entries = entries;
        self.position = position;
        self.sealed = false;
        let mut logged = self.logged.lock();
        let before = logged.volume;
        *logged = Logged { pages: commit.pages, checksum, position, volume: before };
        logged.volume += volume;
        drop(logged);
        drop(guard);
        Ok(end)
    }

    /// Adds one page, as a change if the log has it in this era and the change is
    /// the shorter, in full otherwise.
    fn add_page(
        &mut self,
        frame: u32,
        page: PageNo,
        last: u32,
        parts: &mut Parts<'_>,
    ) -> Result<(), EngineError> {
        let content = self.frames.page(frame, last)?;
        let hash = page_hash(page, content);
        let delta = self.cache.get(page).map(|base| changed_ranges(Some(base), content));
        let delta = delta.filter(|ranges| {
            let cost: usize = ranges.iter().map(|range| range.len() + RANGE_COST_BYTES).sum();
            cost < content.len() / 2
        });
        match delta {
            Some(ranges) => parts.delta(page, hash, content, &ranges)?,
            None => parts.image(page, hash, content)?,
        }
        self.cache.put(page, content);
        self.hashes.lock().hashes.set(page, hash);
        Ok(())
    }
}
