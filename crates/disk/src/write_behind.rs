use std::fs::File;
use std::ops::Range;

/// Asks the disk to begin writing these bytes of a file, and does not wait for it. A hint:
/// where the system does not take it, the sync at the end has more to do.
#[cfg(target_os = "linux")]
pub fn write_behind(file: &File, bytes: Range<u64>) {
    use std::os::fd::AsRawFd;

    let offset = i64::try_from(bytes.start).unwrap_or(i64::MAX);
    let length = i64::try_from(bytes.end.saturating_sub(bytes.start)).unwrap_or(0);
    // SAFETY: the descriptor is open for the borrow; no memory is passed.
    let _ = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, length, libc::SYNC_FILE_RANGE_WRITE) };
}

/// Not asked elsewhere.
#[cfg(not(target_os = "linux"))]
pub fn write_behind(_file: &File, _bytes: Range<u64>) {}
