//! The node as its SQL sessions, replication connections and catalog see it.

mod activity;
mod backup;
mod catalog;
mod databases;
mod door;
mod failover;
mod monitoring;
mod pages;
mod replication;
mod slots;
mod sql;

pub(crate) use door::ReplicationDoor;
