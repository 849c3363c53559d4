use std::collections::BTreeMap;
use std::time::Duration;

use walship_sql::catalog::{ReplayPause, ReplicationRow};
use walship_types::Lsn;

use crate::monitoring::exposition::{Exposition, Kind};
use crate::monitoring::reading::Reading;

/// Followers, slots, and on a follower its own replication.
pub(super) fn put(out: &mut Exposition, reading: &Reading) {
    followers(out, reading);
    slots(out, reading);
    own(out, reading);
}

/// Connections by name: two of one name are one series, of which the worst counts, because a label that changed with
/// every connection would make new series without end.
fn followers(out: &mut Exposition, reading: &Reading) {
    let mut named: BTreeMap<&str, Vec<&ReplicationRow>> = BTreeMap::new();
    for row in &reading.replication {
        named.entry(&row.application_name).or_default().push(row);
    }
    let mut states = out.family(
        "walship_follower_connections",
        Kind::Gauge,
        "Replication connections by name, state (as pg_stat_replication has it) and synchronous state.",
    );
    for (name, rows) in &named {
        let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        for row in rows {
            *counts.entry((row.state, row.sync_state)).or_default() += 1;
        }
        for ((state, sync), count) in counts {
            states.sample(&[("name", name), ("state", state), ("sync_state", sync)], count);
        }
    }
    let end = reading.end_of_log();
    let bytes = |at: Option<Lsn>| at.map(|at| end.saturating_distance_from(at));
    let mut lag = out.family(
        "walship_follower_lag_bytes",
        Kind::Gauge,
        "How much of this node's log a follower has not been sent, not written, not flushed, not replayed.",
    );
    for (name, rows) in &named {
        let worst =
            |of: fn(&ReplicationRow) -> Option<Lsn>| rows.iter().filter_map(|row| bytes(of(row))).max();
        lag.sample_if(&[("name", name), ("stage", "sent")], worst(|row| row.sent));
        lag.sample_if(&[("name", name), ("stage", "write")], worst(|row| row.write));
        lag.sample_if(&[("name", name), ("stage", "flush")], worst(|row| row.flush));
        lag.sample_if(&[("name", name), ("stage", "replay")], worst(|row| row.replay));
    }
    let mut lag = out.family(
        "walship_follower_lag_seconds",
        Kind::Gauge,
        "Time from the flush of the last measured position here to its write, flush and replay there; 0 when level and idle.",
    );
    for (name, rows) in &named {
        let worst = |of: fn(&ReplicationRow) -> Option<Duration>| {
            let streams = rows.iter().any(|row| row.write.is_some());
            streams.then(|| rows.iter().filter_map(|row| of(row)).max().unwrap_or_default().as_secs_f64())
        };
        lag.sample_if(&[("name", name), ("stage", "write")], worst(|row| row.write_lag));
        lag.sample_if(&[("name", name), ("stage", "flush")], worst(|row| row.flush_lag));
        lag.sample_if(&[("name", name), ("stage", "replay")], worst(|row| row.replay_lag));
    }
}

fn slots(out: &mut Exposition, reading: &Reading) {
    out.gauge("walship_slots_max", "max_replication_slots.", reading.monitored.slots_max);
    let mut family = out.family("walship_slot_active", Kind::Gauge, "1 while the slot is in use.");
    for slot in &reading.slots {
        family.sample(&[("slot", &slot.name)], u8::from(slot.active_pid.is_some()));
    }
    let mut family =
        out.family("walship_slot_retained_bytes", Kind::Gauge, "Log that the slot keeps from being removed.");
    for slot in &reading.slots {
        family.sample_if(&[("slot", &slot.name)], reading.retained_bytes(slot));
    }
    let mut family = out.family(
        "walship_slot_safe_bytes",
        Kind::Gauge,
        "Log that can be written before the slot may lose what it needs (max_slot_wal_keep_size).",
    );
    for slot in &reading.slots {
        family.sample_if(&[("slot", &slot.name)], slot.safe_wal_size);
    }
    let mut family = out.family(
        "walship_slot_status",
        Kind::Gauge,
        "1 for the slot's wal_status: reserved, extended, unreserved or lost.",
    );
    for slot in &reading.slots {
        if let Some(status) = slot.wal_status {
            family.sample(&[("slot", &slot.name), ("wal_status", status)], 1);
        }
    }
}

fn own(out: &mut Exposition, reading: &Reading) {
    let follows = reading.in_recovery;
    out.gauge_if(
        "walship_receiver_streaming",
        "1 while a follower gets its leader's log.",
        follows.then(|| u8::from(reading.is_streaming())),
    );
    let silent = reading.monitored.leader_silent.filter(|_| follows);
    out.gauge_if(
        "walship_leader_silent_seconds",
        "How long a follower has not heard of its leader.",
        silent.map(|silent| silent.as_secs_f64()),
    );
    out.gauge_if(
        "walship_replay_lag_bytes",
        "Log that a follower knows of and does not show yet.",
        follows.then(|| reading.replay_lag_bytes()),
    );
    let seconds = reading.replay_lag_seconds().filter(|_| follows);
    out.gauge_if("walship_replay_lag_seconds", "How old what a follower shows may be; while it is not connected, the time since it last heard of its leader.", seconds);
    out.gauge_if(
        "walship_replay_paused",
        "1 while replay is paused or about to be.",
        follows.then(|| u8::from(reading.pause != ReplayPause::NotPaused)),
    );
}
