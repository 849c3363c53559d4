//! walship server.

pub mod replication;
