//! A node from start to stop: what both programs do, in whichever role the
//! directory has.
//!
//! [`run`] reads the settings, recovers, opens the databases, listens, and stops in
//! order. [`Node`] is what the rest of the server is given.

mod archiver;
mod base_backup;
mod checkpointer;
mod configuration;
mod create;
mod failover;
mod faults;
mod fence;
mod follower;
mod heartbeat;
mod host;
mod leader;
mod listening;
mod log;
mod node;
mod old_leader;
mod options;
mod panic;
mod peers;
mod promote;
mod promotion;
mod receiving;
mod recovery_command;
mod replica_catalog;
mod report;
pub mod rewind;
mod role;
mod scrubber;
mod service_manager;
mod signals;
mod stop;
mod supervise;
mod switchover;
mod synchronous;

pub(crate) use configuration::load_settings;
pub(crate) use listening::check_listening;
pub use node::Node;
pub use options::{Init, Program, StartOptions};
pub use report::Failure;
pub use supervise::run;
