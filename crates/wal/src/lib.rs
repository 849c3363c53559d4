//! walship wal.
