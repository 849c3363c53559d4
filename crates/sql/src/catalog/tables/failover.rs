use super::Column;
use crate::catalog::cell::Cell;
use crate::catalog::table::{Row, Rows, Scope, Table};
use crate::catalog::types::{INT4, INT8, INTERVAL, PG_LSN, TEXT, TIMESTAMPTZ};

pub(super) static TABLES: &[Table] =
    &[Table { name: "walship_stat_failover", columns: FAILOVER, rows: Rows::Live(failover) }];

static FAILOVER: &[Column] = &[
    ("role", &TEXT),
    ("timeline", &INT4),
    ("leader_silent", &INTERVAL),
    ("leader_silent_ms", &INT8),
    ("promoted_time", &TIMESTAMPTZ),
    ("promoted_ms", &INT8),
    ("promoted_lsn", &PG_LSN),
    ("promoted_behind_bytes", &INT8),
    ("old_leader", &TEXT),
    ("old_leader_detail", &TEXT),
    ("fenced_time", &TIMESTAMPTZ),
    ("fenced_by", &TEXT),
    ("fenced_timeline", &INT4),
    ("fenced_lsn", &PG_LSN),
];

fn failover(scope: &Scope) -> Vec<Row> {
    let found = scope.source.failover();
    let millis = |took: std::time::Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let mut row: Row = vec![
        found.role.into(),
        found.timeline.into(),
        found.leader_silent.into(),
        found.leader_silent.map(millis).into(),
    ];
    match found.promotion {
        Some(done) => row.extend([
            done.time.into(),
            millis(done.took).into(),
            done.switch_lsn.into(),
            done.behind.into(),
            done.old_leader.into(),
            done.old_leader_detail.into(),
        ]),
        None => row.extend(std::iter::repeat_n(Cell::Null, 6)),
    }
    match found.fence {
        Some(fence) => {
            row.extend([
                fence.time.into(),
                fence.node.into(),
                fence.timeline.into(),
                fence.switch_lsn.into(),
            ]);
        }
        None => row.extend(std::iter::repeat_n(Cell::Null, 4)),
    }
    vec![row]
}
