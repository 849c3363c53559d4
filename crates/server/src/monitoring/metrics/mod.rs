//! The metrics, one file for each thing that they measure. Names, units and labels are part of what users build upon:
//! docs/monitoring.md lists them, and a test holds that list to what is served.

mod databases;
mod log;
mod node;
mod process;
mod replication;

use super::MonitoringSource;
use super::exposition::Exposition;
use super::machine::Machine;
use super::reading::Reading;
use crate::logging::EventLog;

/// All of them, in Prometheus' text format.
pub(super) fn text(source: &dyn MonitoringSource, events: &EventLog) -> String {
    let reading = Reading::take(source);
    let identity = source.identity();
    let machine = Machine::read(&identity.data_directory);
    let mut out = Exposition::default();
    node::put(&mut out, &reading, &identity);
    log::put(&mut out, &reading, source, &machine);
    replication::put(&mut out, &reading);
    databases::put(&mut out, &reading);
    process::put(&mut out, &identity, &machine, events);
    out.into_text()
}
