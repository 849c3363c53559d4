//! From SQLite's -wal to our log: what a commit left in its pages becomes records.

mod cache;
mod commit;
mod frames;
mod parts;

pub(crate) use commit::Captured;
pub(crate) use parts::{CommitEnd, Parts, Volume};

use std::sync::Arc;

use parking_lot::Mutex;

use walship_types::{DatabaseId, PageSize, SqliteWalGeneration, SqliteWalPosition};
use walship_wal::WalWriter;

use crate::EngineError;
use crate::in_flight::InFlight;
use crate::page::{PageHashes, TrackedHashes};
use crate::sqlite::WalIndexHeader;
use crate::sqlite_wal::SqliteWalFile;
use cache::PageCache;
use frames::FrameReader;

/// Payload of one part of a commit, in bytes, from which on it is appended:
/// memory stays bounded however large the commit is.
const PART_BYTES: usize = 256 << 10;

/// A commit with more frames than this many bytes is a large one, see [`InFlight`].
const LARGE_BYTES: u64 = 1 << 20;

/// Where one database's log stands: what of its -wal is in the log, and what the
/// log says that its pages are.
#[derive(Debug)]
pub(crate) struct Capture {
    database: DatabaseId,
    page_size: PageSize,
    frames: FrameReader,
    /// Every frame up to here is in the log.
    position: SqliteWalPosition,
    /// The -wal up to `position` may restart: it is in the log, sealed and durable.
    sealed: bool,
    hashes: Arc<TrackedHashes>,
    logged: Arc<Mutex<Logged>>,
    cache: PageCache,
    /// Memory for the entries of a commit.
    entries: Vec<u8>,
}

/// What the log says of a database after its last commit. Changes only while that
/// commit is in flight, so a redo point finds what is true there, without waiting for
/// the capture, which may itself be waiting for the redo point to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) pages: u32,
    pub(crate) checksum: u64,
    pub(crate) position: SqliteWalPosition,
    /// What the commits took since the process began to write.
    pub(crate) volume: Volume,
}

/// Where the log goes, and the guard that keeps redo points out of commits.
pub(crate) struct Log<'a> {
    pub(crate) writer: &'a WalWriter,
    pub(crate) in_flight: &'a InFlight,
}

/// Whose commits are being captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Author {
    /// The session that holds the turn. SQLite told at which frame its commit
    /// ends, unless it committed without saying so: then the last one is its own.
    Session { ends_at: Option<u32> },
    /// Nobody of ours.
    Foreign,
    /// The engine itself, or the time before a restart: not told apart.
    Engine,
}

impl Capture {
    /// Starts from a database whose log says `hashes` and holds its -wal up to
    /// `position`.
    pub(crate) fn new(
        database: DatabaseId,
        wal: SqliteWalFile,
        position: SqliteWalPosition,
        hashes: PageHashes,
        cache_bytes: usize,
    ) -> Capture {
        let page_size = hashes.page_size();
        let volume = Volume::default();
        let logged = Logged { pages: hashes.pages(), checksum: hashes.checksum(), position, volume };
        let hashes = Arc::new(TrackedHashes::new(hashes));
        Capture {
            database,
            page_size,
            frames: FrameReader::new(wal),
            position,
            sealed: false,
            hashes,
            logged: Arc::new(Mutex::new(logged)),
            cache: PageCache::new(page_size, cache_bytes),
            entries: Vec::new(),
        }
    }

    /// How far the -wal is in the log.
    pub(crate) fn position(&self) -> SqliteWalPosition {
        self.position
    }

    /// What the log says of the pages.
    pub(crate) fn hashes(&self) -> &Arc<TrackedHashes> {
        &self.hashes
    }

    /// What the log says, for whoever sets a redo point.
    pub(crate) fn logged(&self) -> &Arc<Mutex<Logged>> {
        &self.logged
    }

    /// The -wal that is captured.
    pub(crate) fn wal(&self) -> &Arc<SqliteWalFile> {
        self.frames.wal()
    }

    /// Whether there is nothing beyond what is in the log.
    pub(crate) fn is_level_with(&self, header: &WalIndexHeader) -> bool {
        let generation = &self.position.generation;
        header.frames == 0
            || header.salts == (generation.salt1, generation.salt2) && header.frames == self.position.frame
    }

    /// Says that everything up to the position is in the log, durable and sealed:
    /// the -wal may restart.
    pub(crate) fn seal(&mut self) {
        self.sealed = true;
    }

    /// Takes back what [`Self::seal`] said, when the -wal did not restart.
    pub(crate) fn unseal(&mut self) {
        self.sealed = false;
    }

    /// Makes records of all commits up to `header`, in order. The caller has the
    /// turn. After an error it may be called again: a commit is in the log whole
    /// or not at all, and is made again from its first frame.
    pub(crate) fn catch_up(
        &mut self,
        header: &WalIndexHeader,
        author: Author,
        log: &Log<'_>,
    ) -> Result<Captured, EngineError> {
        let mut captured = Captured::default();
        if self.is_level_with(header) {
            return Ok(captured);
        }
        self.follow_restart(header)?;
        while self.position.frame < header.frames {
            let commit = self.frames.next_commit(&self.position, header)?;
            let author = author.of_commit(commit.last, header.frames);
            let logged = self.log_commit(&commit, author, log);
            if logged.is_err() {
                // part of it may be in the log, void; deltas against it would be too
                self.cache.clear();
            }
            captured.note(logged?, author);
        }
        Ok(captured)
    }

    /// If the -wal restarted, goes to the start of its new life.
    fn follow_restart(&mut self, header: &WalIndexHeader) -> Result<(), EngineError> {
        let known = &self.position.generation;
        if header.salts == (known.salt1, known.salt2) && header.frames >= self.position.frame {
            return Ok(());
        }
        let generation = self.frames.wal().generation(header.salts)?;
        if !self.sealed && self.position.frame != 0 {
            let found = SqliteWalPosition { generation, frame: header.frames, checksum: header.checksum };
            return Err(EngineError::MissedRestart {
                database: self.database,
                captured: Box::new(self.position),
                found: Box::new(found),
            });
        }
        self.start_generation(generation);
        Ok(())
    }

    fn start_generation(&mut self, generation: SqliteWalGeneration) {
        self.position = SqliteWalPosition { generation, frame: 0, checksum: (0, 0) };
        self.logged.lock().position = self.position;
        self.sealed = false;
    }
}

impl Author {
    /// Who made the commit that ends at `frame`, when the last one ends at `last`.
    fn of_commit(self, frame: u32, last: u32) -> Author {
        match self {
            Author::Session { ends_at } if ends_at.unwrap_or(last) != frame => Author::Foreign,
            author => author,
        }
    }
}
