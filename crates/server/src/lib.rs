//! A node as a process: what listens, lets in, starts and stops.
//!
//! [`listen`] accepts, [`access`] says who it is, and SQL sessions (`walship_sql`) are told apart from replication
//! connections (`walship_replication`); [`run`] is the node that both ask, and starts and stops it all;
//! [`monitoring`] answers over HTTP how it goes; [`logging`] writes it down; [`check`] looks at a directory before
//! that.

pub mod access;
pub mod check;
pub mod listen;
pub mod logging;
pub mod monitoring;
pub mod run;
