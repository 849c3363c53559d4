use walship_sql::catalog::CatalogSource;
use walship_types::{Lsn, Timestamp};

use crate::monitoring::exposition::{Exposition, Kind};
use crate::monitoring::machine::Machine;
use crate::monitoring::reading::Reading;

/// The log, its checkpoints and its archive.
pub(super) fn put(
    out: &mut Exposition,
    reading: &Reading,
    source: &(impl CatalogSource + ?Sized),
    machine: &Machine,
) {
    positions(out, reading);
    written(out, reading);
    let files = machine.log_files;
    out.gauge_if("walship_wal_segments", "Segment files in pg_wal.", files.map(|files| files.count));
    out.gauge_if(
        "walship_wal_directory_bytes",
        "Bytes of the segment files in pg_wal.",
        files.map(|files| files.bytes),
    );
    checkpoints(out, reading, source);
    archive(out, source);
    out.gauge("walship_base_backups", "Base backups that are being sent.", source.base_backups().len());
}

fn positions(out: &mut Exposition, reading: &Reading) {
    let positions = &reading.positions;
    let mut family = out.family(
        "walship_wal_position_bytes",
        Kind::Gauge,
        "Positions in the log (LSNs, as bytes since 0/0): insert, write, flush on a leader; receive, replay on a follower.",
    );
    let leads = positions.receive.is_none();
    for (name, lsn) in [
        ("insert", leads.then_some(positions.insert)),
        ("write", leads.then_some(positions.write)),
        ("flush", leads.then_some(positions.flush)),
        ("receive", positions.receive),
        ("replay", positions.replay),
    ] {
        family.sample_if(&[("position", name)], lsn.map(|lsn: Lsn| lsn.0));
    }
}

fn written(out: &mut Exposition, reading: &Reading) {
    let wal = &reading.wal;
    out.counter("walship_wal_records_total", "Log records written by this leader.", wal.records);
    out.counter("walship_wal_bytes_total", "Log bytes written by this leader.", wal.bytes);
    out.counter("walship_wal_full_pages_total", "Pages logged in full.", wal.full_pages);
    out.counter(
        "walship_wal_buffers_full_total",
        "Times that an append waited for memory.",
        wal.buffers_full,
    );
    out.counter("walship_wal_writes_total", "Writes to segment files.", wal.writes);
    out.counter(
        "walship_wal_write_seconds_total",
        "Time in writes to segment files.",
        wal.write_time.as_secs_f64(),
    );
    out.histogram("walship_wal_flush_seconds", "How long each sync of the log took.", &[(&[], &wal.syncs)]);
    out.gauge(
        "walship_wal_stalled",
        "1 while the disk is full and the log waits for room.",
        u8::from(wal.stalled),
    );
}

fn checkpoints(out: &mut Exposition, reading: &Reading, source: &(impl CatalogSource + ?Sized)) {
    let counted = source.checkpoint_statistics();
    let mut family =
        out.family("walship_checkpoints_total", Kind::Counter, "Checkpoints, by what began them.");
    family.sample(&[("reason", "timed")], counted.timed);
    family.sample(&[("reason", "requested")], counted.requested);
    out.counter("walship_checkpoint_seconds_total", "Time in checkpoints.", counted.write_time.as_secs_f64());
    out.gauge(
        "walship_checkpoint_timestamp_seconds",
        "When the last checkpoint or restartpoint was made.",
        unix_seconds(reading.control.time),
    );
    out.gauge(
        "walship_redo_bytes",
        "Log from the redo point to its end: what recovery would replay after a crash.",
        reading.end_of_log().saturating_distance_from(reading.control.redo),
    );
}

fn archive(out: &mut Exposition, source: &(impl CatalogSource + ?Sized)) {
    let counted = source.archiver_statistics();
    out.counter("walship_archived_segments_total", "Files of the log that were archived.", counted.archived);
    out.counter(
        "walship_archive_failures_total",
        "Failed attempts to archive a file of the log.",
        counted.failed,
    );
    let when = |last: &Option<(String, Timestamp)>| last.as_ref().map(|(_, at)| unix_seconds(*at));
    out.gauge_if(
        "walship_archive_success_timestamp_seconds",
        "When a file was last archived.",
        when(&counted.last_archived),
    );
    out.gauge_if(
        "walship_archive_failure_timestamp_seconds",
        "When archiving last failed.",
        when(&counted.last_failed),
    );
}

/// As Prometheus counts time.
pub(super) fn unix_seconds(at: Timestamp) -> f64 {
    at.unix_micros() as f64 / 1e6
}
