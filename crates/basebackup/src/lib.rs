//! walship basebackup.
