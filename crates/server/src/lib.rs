//! The part of walship that has sockets: SQL sessions and replication connections.
//!
//! [`listen`] accepts, [`access`] says who it is, and the two are told apart; [`sql`] runs a session over any
//! blocking stream; [`catalog`] has PostgreSQL's functions and views for it;
//! [`replication`] serves followers and is one; [`monitoring`] answers over HTTP how it all goes;
//! [`logging`] writes it down; [`run`] starts and stops it all; [`check`] looks at a directory before that.

pub mod access;
pub mod catalog;
pub mod check;
pub mod listen;
pub mod logging;
pub mod monitoring;
mod pg_type;
pub mod replication;
pub mod run;
pub mod sql;
