//! Who is connected, what the node's own workers do, and what each waits for, as the views show it.

use walship_node::{BackendInfo, BackendKind, BackendState, ReceiverStatus, WORKER_PID_MAX};
use walship_sql::catalog::{BackendRow, ClientAddress};

use crate::run::Node;
use crate::run::log::NodeLog;

const CHECKPOINTER_PID: i32 = 1;
const WAL_WRITER_PID: i32 = 2;
const STARTUP_PID: i32 = 3;
/// The number of the receiver, which `pg_stat_wal_receiver` shows too.
pub(super) const RECEIVER_PID: i32 = 4;
const SCRUBBER_PID: i32 = 5;
const _: () = assert!(SCRUBBER_PID <= WORKER_PID_MAX);

/// Class and name of what a session waits for that waits for its client.
const CLIENT_WAIT: (&str, &str) = ("Client", "ClientRead");
/// The same of a sender that has sent everything.
const SENDER_WAIT: (&str, &str) = ("Activity", "WalSenderMain");

/// Sessions, then workers, with PostgreSQL's names for what these are and wait for.
pub(super) fn rows(node: &Node) -> Vec<BackendRow> {
    let workers = workers(node).into_iter().map(|(pid, kind, wait)| worker_row(node, pid, kind, wait));
    workers.chain(node.backends.list().into_iter().map(backend_row)).collect()
}

fn workers(node: &Node) -> Vec<(i32, &'static str, &'static str)> {
    let mut workers = vec![(CHECKPOINTER_PID, "checkpointer", "CheckpointerMain")];
    match node.log() {
        NodeLog::Leader(_) => workers.push((WAL_WRITER_PID, "walwriter", "WalWriterMain")),
        NodeLog::Follower(log) => {
            if log.replay.is_some() {
                workers.push((STARTUP_PID, "startup", "RecoveryWalStream"));
            }
            if node.receiver.get().status != ReceiverStatus::Stopped {
                workers.push((RECEIVER_PID, "walreceiver", "WalReceiverMain"));
            }
        }
    }
    workers.push((SCRUBBER_PID, "scrubber", "ScrubberMain"));
    workers
}

fn worker_row(node: &Node, pid: i32, kind: &'static str, wait: &'static str) -> BackendRow {
    BackendRow {
        pid,
        database: None,
        user: None,
        application_name: String::new(),
        client: ClientAddress::default(),
        started_at: node.started,
        transaction_started_at: None,
        statement_started_at: None,
        state_changed_at: None,
        wait: Some(("Activity", wait)),
        state: None,
        query: String::new(),
        kind,
        tls: None,
    }
}

pub(super) fn client_address(backend: &BackendInfo) -> ClientAddress {
    match backend.client_address {
        Some(address) => ClientAddress { address: Some(address.ip()), port: Some(i32::from(address.port())) },
        None => ClientAddress { address: None, port: Some(-1) },
    }
}

fn backend_row(backend: BackendInfo) -> BackendRow {
    let streams = backend.kind == BackendKind::WalSender;
    let idle_wait = match backend.state {
        _ if streams => Some(SENDER_WAIT),
        BackendState::Active => None,
        BackendState::Idle | BackendState::IdleInTransaction | BackendState::IdleInTransactionAborted => {
            Some(CLIENT_WAIT)
        }
    };
    BackendRow {
        pid: backend.pid,
        client: client_address(&backend),
        database: backend.database,
        user: Some(backend.user),
        application_name: backend.application_name,
        started_at: backend.started,
        transaction_started_at: backend.transaction_started,
        statement_started_at: backend.query_started,
        state_changed_at: Some(backend.state_changed),
        wait: backend.wait.or(idle_wait),
        // a replication connection is busy as long as it lives
        state: Some(if streams { BackendState::Active } else { backend.state }),
        query: backend.query,
        kind: match backend.kind {
            BackendKind::Client => "client backend",
            BackendKind::WalSender => "walsender",
        },
        tls: backend.tls,
    }
}
