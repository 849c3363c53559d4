//! walship disk.
