use walship_types::{DatabaseId, Lsn, PageNo, PageSize, SqliteWalPosition, Timestamp};
use walship_wal::payload::{Base, Commit, CommitFlags, PagesPart, encode_entry, encode_image};
use walship_wal::{RecordKind, WalWriter};

use super::PART_BYTES;
use crate::EngineError;

/// The records of one commit, made page by page: a small commit becomes one
/// record, a larger one parts and the record that closes them.
pub(crate) struct Parts<'a> {
    writer: &'a WalWriter,
    database: DatabaseId,
    page_size: PageSize,
    /// Entries that are not appended yet.
    entries: &'a mut Vec<u8>,
    appended: u64,
    volume: Volume,
}

/// How much log commits took, for views.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Volume {
    /// Bytes of log, segment headers among them.
    pub(crate) bytes: u64,
    /// Pages that were logged in full.
    pub(crate) full_pages: u64,
}

impl std::ops::AddAssign for Volume {
    fn add_assign(&mut self, more: Volume) {
        self.bytes += more.bytes;
        self.full_pages += more.full_pages;
    }
}

/// What the closing record says.
pub(crate) struct CommitEnd {
    pub(crate) pages: u32,
    pub(crate) foreign: bool,
    pub(crate) position: SqliteWalPosition,
    pub(crate) checksum: u64,
}

impl<'a> Parts<'a> {
    /// `entries` lends its memory.
    pub(crate) fn new(
        writer: &'a WalWriter,
        database: DatabaseId,
        page_size: PageSize,
        entries: &'a mut Vec<u8>,
    ) -> Parts<'a> {
        entries.clear();
        Parts { writer, database, page_size, entries, appended: 0, volume: Volume::default() }
    }

    /// Adds a page in full.
    pub(crate) fn image(&mut self, page: PageNo, hash: u64, content: &[u8]) -> Result<(), EngineError> {
        encode_image(self.entries, page, hash, content);
        self.volume.full_pages += 1;
        self.append_if_full()
    }

    /// Adds what changed in a page since the log last had it.
    pub(crate) fn delta(
        &mut self,
        page: PageNo,
        hash: u64,
        content: &[u8],
        ranges: &[std::ops::Range<usize>],
    ) -> Result<(), EngineError> {
        encode_entry(self.entries, page, hash, Base::Previous, content, ranges);
        self.append_if_full()
    }

    /// Appends the record without which the parts do not exist; returns its end, and what all of it took.
    pub(crate) fn close(mut self, end: &CommitEnd) -> Result<(Lsn, Volume), EngineError> {
        let flags =
            CommitFlags { foreign: end.foreign, single: self.appended == 0, ..CommitFlags::default() };
        let commit = Commit::new(
            self.database,
            end.pages,
            flags,
            self.page_size,
            end.position,
            Timestamp::now(),
            end.checksum,
        )?;
        let mut header = Vec::new();
        commit.encode_header(&mut header);
        let span = self.writer.append(RecordKind::Commit, &[&header, self.entries])?;
        self.volume.bytes += span.end.saturating_distance_from(span.start);
        Ok((span.end, self.volume))
    }

    fn append_if_full(&mut self) -> Result<(), EngineError> {
        if self.entries.len() >= PART_BYTES {
            let mut header = Vec::new();
            PagesPart::encode_header(&mut header, self.database, self.appended == 0, self.page_size);
            let span = self.writer.append(RecordKind::Pages, &[&header, self.entries])?;
            self.volume.bytes += span.end.saturating_distance_from(span.start);
            self.entries.clear();
            self.appended += 1;
        }
        Ok(())
    }
}
