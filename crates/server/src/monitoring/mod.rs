//! How the node is, over HTTP: metrics for Prometheus, answers for load balancers, a page for people.
//!
//! * [`MonitoringSource`] is where it comes from: what the catalog's views show, and a little that they have no column
//!   for. Nothing is counted here a second time.
//! * [`Board`] is what there is to see, from before recovery to the end; [`Monitor`] has the sockets.
//!
//! docs/operating.md has the paths, and docs/monitoring.md the metrics.

mod board;
mod exposition;
mod health;
mod history;
mod machine;
mod metrics;
mod page;
mod query;
mod reading;
mod route;
mod serve;
mod source;
mod status;

pub use board::Board;
pub use serve::{Monitor, MonitorAddress};
pub use source::{Monitored, MonitoringSource};
