//! walship server.

pub mod catalog;
pub mod replication;
