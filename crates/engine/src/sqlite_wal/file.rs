use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use walship_types::{PageSize, SqliteWalGeneration, SqliteWalPosition};

use super::format::{FRAME_HEADER_BYTES, FrameHeader, HEADER_BYTES, WalHeader, frame_offset};
use crate::{EngineError, SqliteWalProblem};

/// `NAME.db-wal` for `NAME.db`.
pub(crate) fn sqlite_wal_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// One database's -wal, open for reading.
#[derive(Debug)]
pub struct SqliteWalFile {
    path: PathBuf,
    file: File,
    page_size: PageSize,
}

impl SqliteWalFile {
    /// Opens the -wal beside the database file at `database`, which SQLite has
    /// open in WAL mode.
    pub fn open(database: &Path, page_size: PageSize) -> Result<SqliteWalFile, EngineError> {
        let path = sqlite_wal_path(database);
        let file = File::open(&path).map_err(|source| EngineError::Io {
            operation: "open",
            path: path.clone(),
            source,
        })?;
        Ok(SqliteWalFile { path, file, page_size })
    }

    /// The generation whose salts the wal-index names.
    pub fn generation(&self, salts: (u32, u32)) -> Result<SqliteWalGeneration, EngineError> {
        let mut bytes = [0; HEADER_BYTES];
        self.read(&mut bytes, 0, 0)?;
        let header = WalHeader::parse(&bytes).map_err(|problem| self.damaged(0, problem))?;
        let expected = self.page_size.bytes() as u32;
        if header.page_bytes != expected {
            let problem = SqliteWalProblem::PageSize { found: header.page_bytes, expected };
            return Err(self.damaged(0, problem));
        }
        let found = (header.generation.salt1, header.generation.salt2);
        if found != salts {
            return Err(self.damaged(0, SqliteWalProblem::Salts { found, expected: salts }));
        }
        Ok(header.generation)
    }

    /// Reads `count` frames from `first` on, headers and pages, into `buffer`,
    /// which becomes as long as they are.
    pub fn read_frames(&self, first: u32, count: usize, buffer: &mut Vec<u8>) -> Result<(), EngineError> {
        buffer.resize(count * self.frame_bytes(), 0);
        self.read(buffer, frame_offset(first, self.page_size.bytes()), first)
    }

    /// The header of one frame of the generation with these salts.
    pub fn frame_header(&self, frame: u32, salts: (u32, u32)) -> Result<FrameHeader, EngineError> {
        let mut bytes = [0; FRAME_HEADER_BYTES];
        self.read(&mut bytes, frame_offset(frame, self.page_size.bytes()), frame)?;
        self.parse_frame(frame, &bytes, salts)
    }

    /// Whether `position` names a frame of this file, with the same checksum.
    pub fn holds(&self, position: &SqliteWalPosition) -> Result<bool, EngineError> {
        let salts = (position.generation.salt1, position.generation.salt2);
        match self.frame_header(position.frame, salts) {
            Ok(header) => Ok(header.checksum == position.checksum),
            Err(EngineError::DamagedSqliteWal { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads a frame's header out of what [`Self::read_frames`] read.
    pub(crate) fn parse_frame(
        &self,
        frame: u32,
        bytes: &[u8],
        salts: (u32, u32),
    ) -> Result<FrameHeader, EngineError> {
        let header = bytes.first_chunk().ok_or(SqliteWalProblem::TooShort);
        let header = header.and_then(|header| FrameHeader::parse(header, salts));
        header.map_err(|problem| self.damaged(frame, problem))
    }

    /// Bytes of a frame with its header.
    pub fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.page_size.bytes()
    }

    /// Makes the frames that are written durable.
    pub fn sync(&self) -> Result<(), EngineError> {
        self.file.sync_data().map_err(|source| self.io("sync", source))
    }

    /// Asks the disk to begin writing these bytes.
    pub fn write_behind(&self, bytes: std::ops::Range<u64>) {
        walship_disk::write_behind(&self.file, bytes);
    }

    /// Size of the file in bytes, which says nothing about where its frames end.
    pub fn size(&self) -> Result<u64, EngineError> {
        Ok(self.file.metadata().map_err(|source| self.io("examine", source))?.len())
    }

    pub(crate) fn damaged(&self, frame: u32, problem: SqliteWalProblem) -> EngineError {
        EngineError::DamagedSqliteWal { path: self.path.clone(), frame, problem }
    }

    fn read(&self, bytes: &mut [u8], offset: u64, frame: u32) -> Result<(), EngineError> {
        self.file.read_exact_at(bytes, offset).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged(frame, SqliteWalProblem::TooShort),
            _ => self.io("read", source),
        })
    }

    fn io(&self, operation: &'static str, source: io::Error) -> EngineError {
        EngineError::Io { operation, path: self.path.clone(), source }
    }
}
