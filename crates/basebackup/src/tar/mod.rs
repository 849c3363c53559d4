//! The little of tar that base backups need: ustar headers of files and directories,
//! names of up to 99 bytes, written and read as a stream.

mod header;
mod reader;

pub use header::{MEMBER_NAME_BYTES_MAX, Member, MemberKind, TarError};
pub use reader::{TarEvent, TarReader};

/// Everything in an archive comes in blocks of this many bytes.
pub const BLOCK_BYTES: usize = 512;

/// The two empty blocks that end an archive.
pub const END_OF_ARCHIVE: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];

/// Bytes that a file of `size` bytes takes in an archive; a directory has none.
pub fn member_bytes(size: u64) -> u64 {
    BLOCK_BYTES as u64 + size + padding(size) as u64
}

/// Zero bytes behind a file of `size` bytes, up to the next block.
pub fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK_BYTES as u64).unwrap_or(0);
    if over == 0 { 0 } else { BLOCK_BYTES - over }
}
