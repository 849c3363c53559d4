use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use walship_client::{Connection, Purpose};
use walship_protocol::Conninfo;
use walship_tests::{Authority, Lab, Node, Role};

use crate::Effort;
use crate::table::Table;

/// Bytes of one answer, of which many are fetched to see what a megabyte costs.
const ANSWER_BYTES: usize = 16 << 20;

/// What TLS and SCRAM cost for each connection, and for each megabyte of an answer.
pub(crate) fn measure(effort: Effort) -> Table {
    let lab = Lab::new();
    let authority = Authority::new(lab.path(), "authority");
    let settings = authority.server("server", &["127.0.0.1"]).settings();
    let mut arguments = Vec::new();
    for setting in &settings {
        arguments.extend(["-c", setting.as_str()]);
    }
    let mut leader = lab.node(Role::Leader, "leader", &arguments);
    leader.start();
    leader.sql("CREATE ROLE free LOGIN IN ROLE pg_read_all_data");
    leader.sql("CREATE ROLE ann LOGIN PASSWORD 'secret' IN ROLE pg_read_all_data");
    leader.set_access_rules("host all free all trust\nhost all ann all scram-sha-256");
    let mut table = Table::new(&["connection", "p50", "p99", "MB/s"]);
    for (name, user, mode) in [
        ("clear, trust", "free", "disable"),
        ("clear, SCRAM", "ann", "disable"),
        ("TLS 1.3, trust", "free", "require"),
        ("TLS 1.3, SCRAM bound to it", "ann", "require"),
    ] {
        let (times, rate) = one(&leader, user, mode, effort.run);
        let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
        let shown = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1000.0);
        table.row(vec![name.to_owned(), shown(at(50)), shown(at(99)), format!("{rate:.0}")]);
    }
    table
}

/// Times from the first byte to the first answer, ascending, and megabytes of answers a second.
fn one(leader: &Node, user: &str, mode: &str, run: Duration) -> (Vec<Duration>, f64) {
    let host = Ipv4Addr::LOCALHOST;
    let port = leader.port();
    let conninfo =
        format!("host={host} port={port} user={user} password=secret dbname=postgres sslmode={mode}");
    let target = conninfo.parse::<Conninfo>().expect("a connection string").target(|_| None);
    let target = target.expect("a target");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let connect = || Connection::connect(&target, Purpose::Sql, "bench");
        let until = Instant::now() + run.min(Duration::from_secs(3));
        let mut times = Vec::new();
        while times.len() < 20 || Instant::now() < until {
            let begun = Instant::now();
            let mut connection = connect().await.expect("connect");
            connection.query("SELECT 1").await.expect("an answer");
            times.push(begun.elapsed());
            connection.close().await;
        }
        times.sort_unstable();
        let mut connection = connect().await.expect("connect");
        let query = format!("SELECT hex(zeroblob({}))", ANSWER_BYTES / 2);
        let (begun, mut fetched) = (Instant::now(), 0);
        while fetched < 4 || begun.elapsed() < run.min(Duration::from_secs(3)) {
            connection.query(&query).await.expect("an answer");
            fetched += 1;
        }
        let megabytes = (fetched * ANSWER_BYTES) as f64 / 1e6;
        (times, megabytes / begun.elapsed().as_secs_f64())
    })
}
