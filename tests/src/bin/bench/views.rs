use std::time::{Duration, Instant};

use walship_tests::{Lab, Node, Session, wait_until_within};

use crate::Effort;
use crate::table::Table;

/// Followers of the leader while its views are asked.
const FOLLOWERS: usize = 20;
/// How long all of them may take to be there.
const START_LIMIT: Duration = Duration::from_secs(300);

const VIEWS: [&str; 9] = [
    "pg_stat_replication",
    "pg_replication_slots",
    "pg_stat_activity",
    "pg_stat_database",
    "pg_stat_wal",
    "pg_settings",
    "pg_database",
    "pg_locks",
    "walship_stat_database",
];
/// What a monitoring system asks most.
const LAG: &str = "SELECT application_name, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) AS lag, \
                   extract(epoch FROM replay_lag) FROM pg_stat_replication ORDER BY lag DESC";

/// How long the views take to answer on a leader with twenty followers.
pub(crate) fn measure(effort: Effort) -> Table {
    let lab = Lab::new();
    let leader = lab.leader_with(&["-c", "max_wal_senders=40", "-c", "max_replication_slots=40"]);
    let _followers: Vec<Node> = (0..FOLLOWERS)
        .map(|number| lab.follower_with(&format!("follower{number}"), leader.port(), &[]))
        .collect();
    let session = leader.connect();
    session.run("CREATE TABLE t(v); INSERT INTO t VALUES (1)");
    wait_until_within(START_LIMIT, "all followers stream", || {
        session.value("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
            == FOLLOWERS.to_string()
    });
    let mut table = Table::new(&["question", "p50", "p99"]);
    let all = VIEWS.iter().map(|view| format!("SELECT * FROM {view}")).chain([LAG.to_owned()]);
    for sql in all {
        let times = times(&session, &sql, effort.run);
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
        let shown = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1000.0);
        let question =
            if sql == LAG { "lag in bytes and seconds" } else { sql.trim_start_matches("SELECT * FROM ") };
        table.row(vec![question.to_owned(), shown(at(50)), shown(at(99))]);
    }
    table
}

/// How long a query takes, in ascending order.
fn times(session: &Session, sql: &str, run: Duration) -> Vec<Duration> {
    let until = Instant::now() + run.min(Duration::from_secs(2));
    let mut times = Vec::new();
    while times.len() < 20 || Instant::now() < until {
        let begun = Instant::now();
        session.run(sql);
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    times
}
