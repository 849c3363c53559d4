//! What PostgreSQL lists and what does not exist here: the tables are there, so that tools find none of it.

use super::Column;
use crate::catalog::table::{Rows, Table};
use crate::catalog::types::{
    BOOL, CHAR, FLOAT4, INT4, INT8, NAME, OID, OID_ARRAY, PG_LSN, PG_NODE_TREE, REGPROC, TEXT, TEXT_ARRAY,
    TIMESTAMPTZ, XID,
};

const fn none(name: &'static str, columns: &'static [Column]) -> Table {
    Table { name, columns, rows: Rows::Empty }
}

pub(super) static TABLES: &[Table] = &[
    none(
        "pg_inherits",
        &[("inhrelid", &OID), ("inhparent", &OID), ("inhseqno", &INT4), ("inhdetachpending", &BOOL)],
    ),
    none(
        "pg_description",
        &[("objoid", &OID), ("classoid", &OID), ("objsubid", &INT4), ("description", &TEXT)],
    ),
    none("pg_enum", &[("oid", &OID), ("enumtypid", &OID), ("enumsortorder", &FLOAT4), ("enumlabel", &NAME)]),
    none(
        "pg_range",
        &[
            ("rngtypid", &OID),
            ("rngsubtype", &OID),
            ("rngmultitypid", &OID),
            ("rngcollation", &OID),
            ("rngsubopc", &OID),
            ("rngcanonical", &REGPROC),
            ("rngsubdiff", &REGPROC),
        ],
    ),
    none(
        "pg_auth_members",
        &[("roleid", &OID), ("member", &OID), ("grantor", &OID), ("admin_option", &BOOL)],
    ),
    none(
        "pg_extension",
        &[
            ("oid", &OID),
            ("extname", &NAME),
            ("extowner", &OID),
            ("extnamespace", &OID),
            ("extrelocatable", &BOOL),
            ("extversion", &TEXT),
            ("extconfig", &OID_ARRAY),
            ("extcondition", &TEXT_ARRAY),
        ],
    ),
    none(
        "pg_policy",
        &[
            ("oid", &OID),
            ("polname", &NAME),
            ("polrelid", &OID),
            ("polcmd", &CHAR),
            ("polpermissive", &BOOL),
            ("polroles", &OID_ARRAY),
            ("polqual", &PG_NODE_TREE),
            ("polwithcheck", &PG_NODE_TREE),
        ],
    ),
    none(
        "pg_collation",
        &[
            ("oid", &OID),
            ("collname", &NAME),
            ("collnamespace", &OID),
            ("collowner", &OID),
            ("collprovider", &CHAR),
            ("collisdeterministic", &BOOL),
            ("collencoding", &INT4),
            ("collcollate", &TEXT),
            ("collctype", &TEXT),
            ("colliculocale", &TEXT),
            ("collversion", &TEXT),
        ],
    ),
    none(
        "pg_prepared_xacts",
        &[
            ("transaction", &XID),
            ("gid", &TEXT),
            ("prepared", &TIMESTAMPTZ),
            ("owner", &NAME),
            ("database", &NAME),
        ],
    ),
    none(
        "pg_stat_subscription",
        &[
            ("subid", &OID),
            ("subname", &NAME),
            ("pid", &INT4),
            ("relid", &OID),
            ("received_lsn", &PG_LSN),
            ("last_msg_send_time", &TIMESTAMPTZ),
            ("last_msg_receipt_time", &TIMESTAMPTZ),
            ("latest_end_lsn", &PG_LSN),
            ("latest_end_time", &TIMESTAMPTZ),
        ],
    ),
    none(
        "pg_stat_replication_slots",
        &[
            ("slot_name", &TEXT),
            ("spill_txns", &INT8),
            ("spill_count", &INT8),
            ("spill_bytes", &INT8),
            ("stream_txns", &INT8),
            ("stream_count", &INT8),
            ("stream_bytes", &INT8),
            ("total_txns", &INT8),
            ("total_bytes", &INT8),
            ("stats_reset", &TIMESTAMPTZ),
        ],
    ),
    none(
        "pg_matviews",
        &[
            ("schemaname", &NAME),
            ("matviewname", &NAME),
            ("matviewowner", &NAME),
            ("tablespace", &NAME),
            ("hasindexes", &BOOL),
            ("ispopulated", &BOOL),
            ("definition", &TEXT),
        ],
    ),
];
