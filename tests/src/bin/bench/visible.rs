use std::time::{Duration, Instant};

use walship_tests::Session;

use crate::table::Table;
use crate::{Effort, Systems};

/// How long after its acknowledgement by the leader a commit is visible on an asynchronous follower, asked for by one
/// query after the other: one round trip is the least that this can see.
pub(crate) fn measure(systems: &Systems<'_>, effort: Effort) -> Table {
    let commits = usize::try_from(effort.run.as_millis() / 5).unwrap_or(1000) * effort.rounds;
    let mut table = Table::new(&["", "p50 ms", "p99 ms", "one query ms"]);
    let ours = (systems.leader.port(), systems.follower.port());
    let theirs = (systems.postgres.port(), systems.standby.port());
    for (name, (leader, follower)) in [("walship", ours), ("PostgreSQL", theirs)] {
        let mut delays = delays(leader, follower, commits);
        delays.sort_unstable();
        let at = |percent: usize| {
            let delay = delays.get(delays.len() * percent / 100).copied().unwrap_or_default();
            format!("{:.2}", delay.as_secs_f64() * 1000.0)
        };
        let reader = Session::connect(follower, "postgres").expect("connect to the follower");
        let start = Instant::now();
        for _ in 0..200 {
            reader.value("SELECT max(id) FROM seen");
        }
        let query = format!("{:.2}", start.elapsed().as_secs_f64() * 1000.0 / 200.0);
        table.row(vec![name.to_owned(), at(50), at(99), query]);
    }
    table
}

fn delays(leader: u16, follower: u16, commits: usize) -> Vec<Duration> {
    let writer = Session::connect(leader, "postgres").expect("connect to the leader");
    let reader = Session::connect(follower, "postgres").expect("connect to the follower");
    writer.run("CREATE TABLE seen(id INTEGER PRIMARY KEY)");
    let mut delays = Vec::with_capacity(commits);
    for id in 0..commits {
        let id = id.to_string();
        writer.run(&format!("INSERT INTO seen VALUES ({id})"));
        let acknowledged = Instant::now();
        // the table itself may not be there yet
        while !reader.query("SELECT max(id) FROM seen").is_ok_and(|rows| {
            rows.first().and_then(|row| row.first()).and_then(Option::as_deref) == Some(id.as_str())
        }) {}
        delays.push(acknowledged.elapsed());
    }
    delays
}
