//! `make bench`: walship and PostgreSQL doing the same work on the same machine in the
//! same run, each with one asynchronous follower, both with every commit durable
//! before it is answered (`fsync = on`, `synchronous_commit = on`).
//!
//! `--quick` takes short looks instead of measuring; it is for trying the program out.
//! Other arguments are names of parts (`synchronous`, `rewind`, ...): only these are measured.

mod access;
mod base_backup;
mod failover;
mod log_bytes;
mod memory;
mod rate;
mod replay;
mod rewind;
mod snapshot;
mod synchronous;
mod table;
mod views;
mod visible;

use std::time::Duration;

use walship_tests::{Lab, Node, Oracle};

/// How much is done for each number.
#[derive(Debug, Clone, Copy)]
struct Effort {
    /// One run of pgbench.
    run: Duration,
    /// Runs of each kind, taken in turn; the median counts.
    rounds: usize,
    /// Rows of the database whose snapshot is taken, about 1 kB each.
    snapshot_rows: u32,
    /// Rows of the database of a node that is rewound, about 1 kB each.
    rewind_rows: u32,
    /// Rows of the cluster that is backed up, about 1 kB each.
    backup_rows: u32,
}

/// The two systems under test, each a leader with one follower.
struct Systems<'a> {
    lab: &'a Lab,
    leader: Node,
    follower: Node,
    postgres: Oracle,
    standby: Oracle,
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let effort = if quick {
        Effort {
            run: Duration::from_secs(1),
            rounds: 1,
            snapshot_rows: 20_000,
            rewind_rows: 20_000,
            backup_rows: 20_000,
        }
    } else {
        Effort {
            run: Duration::from_secs(5),
            rounds: 3,
            snapshot_rows: 400_000,
            rewind_rows: 1_000_000,
            backup_rows: 1_000_000,
        }
    };
    let parts: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|name| name == part);
    if PAIRED_PARTS.iter().any(|part| wanted(part)) {
        measure_pairs(effort, wanted);
    }
    if wanted("failover") {
        failover::measure(effort).print("change of roles: how long writers wait");
    }
    if wanted("access") {
        access::measure(effort).print("what TLS and SCRAM cost");
    }
    if wanted("views") {
        views::measure(effort).print("views of a leader with 20 followers");
    }
    if wanted("base_backup") {
        base_backup::measure(effort);
    }
    if wanted("rewind") {
        rewind::measure(effort).print("an old leader comes back");
    }
}

/// The parts that two leaders with a follower each are measured in, one after the other.
const PAIRED_PARTS: [&str; 7] =
    ["rate", "synchronous", "visible", "log_bytes", "replay", "snapshot", "memory"];

fn measure_pairs(effort: Effort, wanted: impl Fn(&str) -> bool) {
    let lab = Lab::new();
    let postgres = Oracle::start(lab.path(), &["max_connections=200", "fsync=on", "synchronous_commit=on"]);
    let standby = postgres.standby(lab.path(), &["max_connections=200"]);
    let leader = lab.leader_with(&["-c", "max_connections=200"]);
    let follower = lab.follower(&leader);
    let mut systems = Systems { lab: &lab, leader, follower, postgres, standby };

    rate::create(&systems);
    if wanted("rate") || wanted("replay") {
        rate::measure(&systems, effort).print("commits per second: single-row inserts, pgbench -M prepared");
    }
    if wanted("synchronous") {
        synchronous::measure(&systems, effort)
            .print("commits at each level of synchronous_commit, one synchronous follower each");
    }
    if wanted("visible") {
        visible::measure(&systems, effort)
            .print("from the leader's acknowledgement to readers of an asynchronous follower");
    }
    if wanted("log_bytes") {
        log_bytes::measure(&systems, effort).print("log bytes per transaction");
    }
    if wanted("replay") {
        replay::measure(&mut systems, effort).print("replay: a follower that was away catches up");
    }
    if wanted("snapshot") {
        snapshot::measure(&systems, effort).print("snapshot: a new follower's base backup");
    }
    if wanted("memory") {
        memory::measure(&mut systems).print("peak memory of the whole run");
    }
}
