//! The engine on a leader, through its public interface.

mod capture;
mod foreign;
mod large;
mod names;
mod no_space;
mod oracle;
mod restart;
mod sessions;
mod support;
mod wal_size;
