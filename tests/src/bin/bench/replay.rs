use std::time::Instant;

use walship_tests::wait_caught_up;

use crate::rate::run;
use crate::table::Table;
use crate::{Effort, Systems};

/// The follower is stopped, 64 clients write as fast as one leader can, the follower
/// starts again: how fast does it take in what it missed, against how fast it was made.
pub(crate) fn measure(systems: &mut Systems<'_>, effort: Effort) -> Table {
    let script = systems.lab.path().join("insert.sql");
    wait_caught_up(&systems.leader, &systems.follower);
    systems.follower.stop();
    let before = systems.leader.sql("SELECT pg_current_wal_flush_lsn()");
    let Effort { run: time, rounds, .. } = effort;
    let written = run(systems.leader.port(), &script, 64, Effort { run: time * 2, rounds, ..effort });
    let bytes: f64 = systems
        .leader
        .sql(&format!("SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '{before}')"))
        .parse()
        .expect("a difference of positions is a number");
    let start = Instant::now();
    systems.follower.start();
    wait_caught_up(&systems.leader, &systems.follower);
    let seconds = start.elapsed().as_secs_f64();
    let mut table = Table::new(&["", "commits/s", "log MB/s", "of the writing rate"]);
    let writing_seconds = written.transactions / written.rate;
    table.row(vec![
        "written by 64 clients".to_owned(),
        format!("{:.0}", written.rate),
        format!("{:.1}", bytes / 1e6 / writing_seconds),
        String::new(),
    ]);
    table.row(vec![
        "streamed and replayed, start included".to_owned(),
        format!("{:.0}", written.transactions / seconds),
        format!("{:.1}", bytes / 1e6 / seconds),
        format!("{:.1}", written.transactions / seconds / written.rate),
    ]);
    table
}
