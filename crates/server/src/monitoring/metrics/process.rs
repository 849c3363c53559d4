use walship_sql::catalog::NodeIdentity;

use super::log::unix_seconds;
use crate::logging::EventLog;
use crate::monitoring::exposition::{Exposition, Kind};
use crate::monitoring::machine::Machine;

/// The process and its machine, under the names that every exporter uses, and what the process had to say.
pub(super) fn put(out: &mut Exposition, identity: &NodeIdentity, machine: &Machine, events: &EventLog) {
    let space = machine.space;
    out.gauge_if(
        "walship_filesystem_free_bytes",
        "Room left for the data directory.",
        space.map(|space| space.free),
    );
    out.gauge_if(
        "walship_filesystem_size_bytes",
        "Size of the file system of the data directory.",
        space.map(|space| space.size),
    );
    let (errors, warnings) = events.complaints();
    let mut lines = out.family("walship_log_messages_total", Kind::Counter, "Log lines that complain.");
    lines.sample(&[("level", "error")], errors);
    lines.sample(&[("level", "warning")], warnings);
    let mut family =
        out.family("walship_events_total", Kind::Counter, "Log lines with an event field, by event.");
    for (kind, count) in events.counts() {
        family.sample(&[("event", &kind)], count);
    }
    let started = unix_seconds(identity.started_at);
    out.gauge("process_start_time_seconds", "When the process started.", started);
    out.family("process_cpu_seconds_total", Kind::Counter, "User and system time of the process.")
        .sample_if(&[], machine.cpu_seconds);
    out.gauge_if("process_resident_memory_bytes", "Memory of the process.", machine.resident_bytes);
    out.gauge_if("process_open_fds", "Open files of the process.", machine.open_files);
    out.gauge_if("process_max_fds", "The most that it may open.", machine.open_files_max);
}
