//! The engine on a leader, through its public interface.

mod capture;
mod foreign;
mod oracle;
mod sessions;
mod support;
mod wal_size;
