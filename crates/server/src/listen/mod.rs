//! The port: who is let in, and where a connection goes.
//!
//! A [`Listener`] accepts on TCP addresses and Unix sockets, reads what goes before
//! a session ([`StartupParameters`](walship_protocol::wire::StartupParameters)), and hands the connection on: SQL to a thread
//! of its own, `replication=true` to a [`ReplicationHandler`].

mod connection;
mod listener;
mod not_ready;
mod pending;
mod socket;
mod unix;

pub(crate) use connection::SESSION_THREAD;
pub use connection::{ReplicationConnection, ReplicationHandler, Socket};
pub(crate) use listener::PAUSE_AFTER_FAILURE;
pub use listener::{ListenConfig, ListenError, Listener};
pub use not_ready::NotReady;
