use std::time::Instant;

use crate::table::Table;
use crate::{Effort, Systems};

/// A new follower: from `walreceiver --init` until it accepts connections.
pub(crate) fn measure(systems: &Systems<'_>, effort: Effort) -> Table {
    systems.leader.sql("CREATE TABLE bulk(id INTEGER PRIMARY KEY, v BLOB)");
    systems.leader.sql(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) \
         INSERT INTO bulk SELECT i, randomblob(950) FROM n",
        effort.snapshot_rows
    ));
    let bytes: f64 = systems
        .leader
        .sql("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        .parse()
        .expect("a size is a number");
    let start = Instant::now();
    let _fresh = systems.lab.follower_with("fresh", systems.leader.port(), &[]);
    let seconds = start.elapsed().as_secs_f64();
    let mut table = Table::new(&["database MB", "seconds", "MB/s"]);
    table.row(vec![
        format!("{:.0}", bytes / 1e6),
        format!("{seconds:.1}"),
        format!("{:.0}", bytes / 1e6 / seconds),
    ]);
    table
}
