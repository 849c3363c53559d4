//! The part of walship that has sockets: SQL sessions and replication connections.
//!
//! [`listen`] accepts and tells the two apart; [`sql`] runs a session over any
//! blocking stream, with the functions and views of [`catalog`]; [`replication`]
//! serves followers and is one.

pub mod catalog;
pub mod listen;
pub mod replication;
pub mod sql;
