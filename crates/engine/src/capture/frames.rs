use std::sync::Arc;

use walship_types::{PageNo, SqliteWalPosition};

use crate::sqlite::WalIndexHeader;
use crate::sqlite_wal::{FRAME_HEADER_BYTES, FrameHeader, SqliteWalFile};
use crate::{EngineError, SqliteWalProblem};

/// Frames that are read at once, in bytes; at least one frame.
const WINDOW_BYTES: usize = 256 << 10;

/// The frames of one commit.
#[derive(Debug)]
pub(super) struct CommitFrames {
    /// Its first frame.
    pub(super) first: u32,
    /// Its last frame, which says that it is a commit.
    pub(super) last: u32,
    /// Cumulative checksum of the last frame.
    pub(super) checksum: (u32, u32),
    /// Size of the database after it, in pages.
    pub(super) pages: u32,
    /// The last frame of each of its pages that lies within that size, by frame.
    /// Eight bytes a frame: all of a commit that has to be in memory at once.
    pub(super) versions: Vec<(u32, PageNo)>,
}

/// Reads commits out of a -wal.
#[derive(Debug)]
pub(super) struct FrameReader {
    wal: Arc<SqliteWalFile>,
    /// Frames as they are in the file, from `window_first` on.
    window: Vec<u8>,
    window_first: u32,
}

impl FrameReader {
    pub(super) fn new(wal: SqliteWalFile) -> FrameReader {
        FrameReader { wal: Arc::new(wal), window: Vec::new(), window_first: 0 }
    }

    pub(super) fn wal(&self) -> &Arc<SqliteWalFile> {
        &self.wal
    }

    /// The commit behind `position`; there is one, since the -wal ends at `end`.
    pub(super) fn next_commit(
        &mut self,
        position: &SqliteWalPosition,
        end: &WalIndexHeader,
    ) -> Result<CommitFrames, EngineError> {
        let first = position.frame + 1;
        self.load(first, end.frames)?;
        let mut versions = Vec::new();
        for frame in first..=end.frames {
            let header = self.header(frame, end.salts)?;
            versions.push((frame, header.page));
            if header.commit_pages != 0 {
                return self.commit(first, frame, header, versions, end);
            }
        }
        Err(self.wal.damaged(end.frames, SqliteWalProblem::NoCommit))
    }

    fn commit(
        &self,
        first: u32,
        last: u32,
        header: FrameHeader,
        mut versions: Vec<(u32, PageNo)>,
        end: &WalIndexHeader,
    ) -> Result<CommitFrames, EngineError> {
        let (checksum, pages) = (header.checksum, header.commit_pages);
        if last == end.frames && checksum != end.checksum {
            let problem = SqliteWalProblem::Checksum { found: checksum, expected: end.checksum };
            return Err(self.wal.damaged(last, problem));
        }
        keep_last_versions(&mut versions, pages);
        Ok(CommitFrames { first, last, checksum, pages, versions })
    }

    /// The content of the page in a frame that lies behind or within the window.
    /// `last` is the last frame that may be read.
    pub(super) fn page(&mut self, frame: u32, last: u32) -> Result<&[u8], EngineError> {
        if self.in_window(frame).is_none() {
            self.load(frame, last)?;
        }
        let bytes =
            self.in_window(frame).ok_or_else(|| self.wal.damaged(frame, SqliteWalProblem::TooShort))?;
        Ok(&bytes[FRAME_HEADER_BYTES..])
    }

    fn header(&self, frame: u32, salts: (u32, u32)) -> Result<FrameHeader, EngineError> {
        match self.in_window(frame) {
            Some(bytes) => self.wal.parse_frame(frame, bytes, salts),
            None => self.wal.frame_header(frame, salts),
        }
    }

    fn in_window(&self, frame: u32) -> Option<&[u8]> {
        let start = frame.checked_sub(self.window_first)? as usize * self.wal.frame_bytes();
        self.window.get(start..start + self.wal.frame_bytes())
    }

    fn load(&mut self, first: u32, last: u32) -> Result<(), EngineError> {
        let most = (WINDOW_BYTES / self.wal.frame_bytes()).max(1);
        let count = most.min((last - first) as usize + 1);
        self.window_first = first;
        let read = self.wal.read_frames(first, count, &mut self.window);
        if read.is_err() {
            self.window.clear();
        }
        read
    }
}

/// Keeps the last of each page's frames, and none of pages beyond the commit's
/// size (a transaction may write pages that it then cuts off), ordered by frame
/// so that they are read in the order of the file.
fn keep_last_versions(versions: &mut Vec<(u32, PageNo)>, pages: u32) {
    versions.retain(|(_, page)| page.0 <= pages);
    versions.sort_unstable_by_key(|&(frame, page)| (page, std::cmp::Reverse(frame)));
    versions.dedup_by_key(|(_, page)| *page);
    versions.sort_unstable();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_version_of_each_page_within_the_size_is_kept() {
        let page = PageNo;
        let mut versions =
            vec![(1, page(5)), (2, page(1)), (3, page(9)), (4, page(5)), (5, page(2)), (6, page(1))];
        keep_last_versions(&mut versions, 5);
        assert_eq!(versions, vec![(4, page(5)), (5, page(2)), (6, page(1))]);
    }
}
