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

use std::ops::Deref;
use std::sync::Arc;

use super::node::Node;

pub(crate) use door::{ReplicationDoor, SENDER_THREAD};

/// The node behind the traits by which sessions, senders and receivers know it.
#[derive(Clone)]
pub(crate) struct Host(pub(crate) Arc<Node>);

impl Deref for Host {
    type Target = Arc<Node>;

    fn deref(&self) -> &Arc<Node> {
        &self.0
    }
}
