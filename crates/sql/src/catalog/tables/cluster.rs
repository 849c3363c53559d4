use super::{Column, ENCODING_UTF8, OWNER, TABLESPACE};
use crate::catalog::DatabaseRow;
use crate::catalog::cell::Cell;
use crate::catalog::table::{Row, Rows, Scope, Table};
use crate::catalog::types::{
    ACLITEM_ARRAY, BOOL, CHAR, INT4, INT8, NAME, OID, PG_LSN, TEXT, TEXT_ARRAY, TIMESTAMPTZ, XID,
};

pub(super) static TABLES: &[Table] = &[
    Table { name: "pg_database", columns: DATABASE, rows: Rows::Live(databases) },
    Table { name: "pg_tablespace", columns: TABLESPACES, rows: Rows::Live(tablespaces) },
    Table { name: "pg_control_system", columns: CONTROL_SYSTEM, rows: Rows::Live(control_system) },
    Table {
        name: "pg_control_checkpoint",
        columns: CONTROL_CHECKPOINT,
        rows: Rows::Live(control_checkpoint),
    },
    Table { name: "pg_control_recovery", columns: CONTROL_RECOVERY, rows: Rows::Live(control_recovery) },
];

static DATABASE: &[Column] = &[
    ("oid", &OID),
    ("datname", &NAME),
    ("datdba", &OID),
    ("encoding", &INT4),
    ("datlocprovider", &CHAR),
    ("datistemplate", &BOOL),
    ("datallowconn", &BOOL),
    ("datconnlimit", &INT4),
    ("datfrozenxid", &XID),
    ("datminmxid", &XID),
    ("dattablespace", &OID),
    ("datcollate", &TEXT),
    ("datctype", &TEXT),
    ("daticulocale", &TEXT),
    ("datcollversion", &TEXT),
    ("datacl", &ACLITEM_ARRAY),
];

fn databases(scope: &Scope) -> Vec<Row> {
    let row = |database: DatabaseRow| {
        vec![
            database.id.into(),
            database.name.into(),
            OWNER.into(),
            ENCODING_UTF8.into(),
            "c".into(),
            false.into(),
            true.into(),
            (-1_i64).into(),
            0_i64.into(),
            0_i64.into(),
            TABLESPACE.into(),
            "C".into(),
            "C".into(),
            Cell::Null,
            Cell::Null,
            Cell::Null,
        ]
    };
    scope.source.databases().into_iter().filter(|database| !database.is_shared_catalog()).map(row).collect()
}

static TABLESPACES: &[Column] = &[
    ("oid", &OID),
    ("spcname", &NAME),
    ("spcowner", &OID),
    ("spcacl", &ACLITEM_ARRAY),
    ("spcoptions", &TEXT_ARRAY),
];

fn tablespaces(_: &Scope) -> Vec<Row> {
    vec![vec![TABLESPACE.into(), "pg_default".into(), OWNER.into(), Cell::Null, Cell::Null]]
}

static CONTROL_SYSTEM: &[Column] = &[
    ("pg_control_version", &INT4),
    ("catalog_version_no", &INT4),
    ("system_identifier", &INT8),
    ("pg_control_last_modified", &TIMESTAMPTZ),
];

/// PostgreSQL 15's control file version and catalog version: what its tools compare.
const CONTROL_VERSION: i64 = 1300;
const CATALOG_VERSION: i64 = 202_209_061;

fn control_system(scope: &Scope) -> Vec<Row> {
    // the column is a signed number, as PostgreSQL's is
    let system = scope.source.identity().system_id.0.cast_signed();
    vec![vec![
        CONTROL_VERSION.into(),
        CATALOG_VERSION.into(),
        system.into(),
        scope.source.control().modified_at.into(),
    ]]
}

static CONTROL_CHECKPOINT: &[Column] = &[
    ("checkpoint_lsn", &PG_LSN),
    ("redo_lsn", &PG_LSN),
    ("redo_wal_file", &TEXT),
    ("timeline_id", &INT4),
    ("prev_timeline_id", &INT4),
    ("full_page_writes", &BOOL),
    ("next_xid", &TEXT),
    ("next_oid", &OID),
    ("next_multixact_id", &XID),
    ("next_multi_offset", &XID),
    ("oldest_xid", &XID),
    ("oldest_xid_dbid", &OID),
    ("oldest_active_xid", &XID),
    ("oldest_multi_xid", &XID),
    ("oldest_multi_dbid", &OID),
    ("oldest_commit_ts_xid", &XID),
    ("newest_commit_ts_xid", &XID),
    ("checkpoint_time", &TIMESTAMPTZ),
];

fn control_checkpoint(scope: &Scope) -> Vec<Row> {
    let (control, size) = (scope.source.control(), scope.source.identity().segment_size);
    let file = walship_types::segment_file_name(control.timeline, size.segment_of(control.redo), size);
    let mut row: Row = vec![
        control.checkpoint.into(),
        control.redo.into(),
        file.into(),
        control.timeline.0.into(),
        control.previous_timeline.0.into(),
        true.into(),
    ];
    // transaction ids and what else is counted there do not exist here
    row.resize(CONTROL_CHECKPOINT.len() - 1, Cell::Null);
    row.push(control.time.into());
    vec![row]
}

static CONTROL_RECOVERY: &[Column] = &[
    ("min_recovery_end_lsn", &PG_LSN),
    ("min_recovery_end_timeline", &INT4),
    ("backup_start_lsn", &PG_LSN),
    ("backup_end_lsn", &PG_LSN),
    ("end_of_backup_record_required", &BOOL),
];

fn control_recovery(scope: &Scope) -> Vec<Row> {
    let control = scope.source.control();
    let none = || Cell::Text("0/0".to_owned());
    let minimum = Cell::Text(control.minimum_recovery.to_string());
    let timeline = if control.minimum_recovery.is_valid() { control.timeline.0 } else { 0 };
    vec![vec![minimum, timeline.into(), none(), none(), false.into()]]
}
