use super::Column;
use crate::catalog::SynchronousRow;
use crate::catalog::table::{Row, Rows, Scope, Table};
use crate::catalog::types::{INT4, TEXT};

pub(super) static TABLES: &[Table] =
    &[Table { name: "walship_stat_synchronous", columns: NAMES, rows: Rows::Live(names) }];

static NAMES: &[Column] = &[
    ("method", &TEXT),
    ("wanted", &INT4),
    ("place", &INT4),
    ("name", &TEXT),
    ("followers", &INT4),
    ("state", &TEXT),
];

/// A name that matches nobody is a row as well: that is what PostgreSQL has no view for.
fn names(scope: &Scope) -> Vec<Row> {
    let row = |name: SynchronousRow| {
        vec![
            name.method.into(),
            name.wanted.into(),
            name.place.into(),
            name.name.into(),
            name.followers.into(),
            name.state.into(),
        ]
    };
    scope.source.synchronous().into_iter().map(row).collect()
}
