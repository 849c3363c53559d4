use super::{Column, roles};
use crate::catalog::cell::Cell;
use crate::catalog::table::{Row, Rows, Scope, Table};
use crate::catalog::types::{BOOL, INET, INT4, INT8, INTERVAL, NAME, OID, PG_LSN, TEXT, TIMESTAMPTZ, XID};
use crate::catalog::{BaseBackupRow, ReceiverRow, ReplicationRow, SlotRow};

pub(super) static TABLES: &[Table] = &[
    Table { name: "pg_stat_replication", columns: REPLICATION, rows: Rows::Live(replication) },
    Table { name: "pg_stat_wal_receiver", columns: RECEIVER, rows: Rows::Live(receiver) },
    Table { name: "pg_replication_slots", columns: SLOTS, rows: Rows::Live(slots) },
    Table { name: "pg_stat_progress_basebackup", columns: BASE_BACKUP, rows: Rows::Live(base_backups) },
];

static REPLICATION: &[Column] = &[
    ("pid", &INT4),
    ("usesysid", &OID),
    ("usename", &NAME),
    ("application_name", &TEXT),
    ("client_addr", &INET),
    ("client_hostname", &TEXT),
    ("client_port", &INT4),
    ("backend_start", &TIMESTAMPTZ),
    ("backend_xmin", &XID),
    ("state", &TEXT),
    ("sent_lsn", &PG_LSN),
    ("write_lsn", &PG_LSN),
    ("flush_lsn", &PG_LSN),
    ("replay_lsn", &PG_LSN),
    ("write_lag", &INTERVAL),
    ("flush_lag", &INTERVAL),
    ("replay_lag", &INTERVAL),
    ("sync_priority", &INT4),
    ("sync_state", &TEXT),
    ("reply_time", &TIMESTAMPTZ),
];

fn replication(scope: &Scope) -> Vec<Row> {
    let row = |sender: ReplicationRow| {
        vec![
            sender.pid.into(),
            roles::oid_of(scope, &sender.user).into(),
            sender.user.into(),
            sender.application_name.into(),
            sender.client.address.into(),
            Cell::Null,
            sender.client.port.into(),
            sender.started_at.into(),
            Cell::Null,
            sender.state.into(),
            sender.sent.into(),
            sender.write.into(),
            sender.flush.into(),
            sender.replay.into(),
            sender.write_lag.into(),
            sender.flush_lag.into(),
            sender.replay_lag.into(),
            sender.sync_priority.into(),
            sender.sync_state.into(),
            sender.reply_time.into(),
        ]
    };
    scope.source.replication().into_iter().map(row).collect()
}

static RECEIVER: &[Column] = &[
    ("pid", &INT4),
    ("status", &TEXT),
    ("receive_start_lsn", &PG_LSN),
    ("receive_start_tli", &INT4),
    ("written_lsn", &PG_LSN),
    ("flushed_lsn", &PG_LSN),
    ("received_tli", &INT4),
    ("last_msg_send_time", &TIMESTAMPTZ),
    ("last_msg_receipt_time", &TIMESTAMPTZ),
    ("latest_end_lsn", &PG_LSN),
    ("latest_end_time", &TIMESTAMPTZ),
    ("slot_name", &TEXT),
    ("sender_host", &TEXT),
    ("sender_port", &INT4),
    ("conninfo", &TEXT),
];

fn receiver(scope: &Scope) -> Vec<Row> {
    let row = |receiver: ReceiverRow| {
        vec![
            receiver.pid.into(),
            receiver.status.into(),
            receiver.receive_start.into(),
            receiver.receive_start_timeline.0.into(),
            receiver.written.into(),
            receiver.flushed.into(),
            receiver.received_timeline.0.into(),
            receiver.last_message_sent_at.into(),
            receiver.last_message_received_at.into(),
            receiver.latest_end.into(),
            receiver.latest_end_at.into(),
            receiver.slot_name.into(),
            receiver.sender_host.into(),
            receiver.sender_port.into(),
            receiver.conninfo.into(),
        ]
    };
    scope.source.receiver().into_iter().map(row).collect()
}

static SLOTS: &[Column] = &[
    ("slot_name", &NAME),
    ("plugin", &NAME),
    ("slot_type", &TEXT),
    ("datoid", &OID),
    ("database", &NAME),
    ("temporary", &BOOL),
    ("active", &BOOL),
    ("active_pid", &INT4),
    ("xmin", &XID),
    ("catalog_xmin", &XID),
    ("restart_lsn", &PG_LSN),
    ("confirmed_flush_lsn", &PG_LSN),
    ("wal_status", &TEXT),
    ("safe_wal_size", &INT8),
    ("two_phase", &BOOL),
];

fn slots(scope: &Scope) -> Vec<Row> {
    let row = |slot: SlotRow| {
        vec![
            slot.name.into(),
            Cell::Null,
            "physical".into(),
            Cell::Null,
            Cell::Null,
            slot.temporary.into(),
            slot.active_pid.is_some().into(),
            slot.active_pid.into(),
            Cell::Null,
            Cell::Null,
            slot.restart.into(),
            Cell::Null,
            slot.wal_status.into(),
            slot.safe_wal_size.into(),
            false.into(),
        ]
    };
    scope.source.slots().into_iter().map(row).collect()
}

static BASE_BACKUP: &[Column] = &[
    ("pid", &INT4),
    ("phase", &TEXT),
    ("backup_total", &INT8),
    ("backup_streamed", &INT8),
    ("tablespaces_total", &INT8),
    ("tablespaces_streamed", &INT8),
];

fn base_backups(scope: &Scope) -> Vec<Row> {
    let row = |backup: BaseBackupRow| {
        vec![
            backup.pid.into(),
            backup.phase.into(),
            backup.total.into(),
            backup.streamed.into(),
            1_i64.into(),
            0_i64.into(),
        ]
    };
    scope.source.base_backups().into_iter().map(row).collect()
}
