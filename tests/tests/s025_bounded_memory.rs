//! Memory does not grow with the work: each process stays below 150 MB at its peak.
//!
//! `make test` runs these at a tenth of the size, `make test-heavy` at full size: a COPY
//! of five million rows, a VACUUM of 3 GB, and a follower that is stopped under load.

use std::io::Write;
use std::process::Stdio;

use walship_tests::{Lab, Load, Node, assert_identical, peak_resident_kib, sqlite3, wait_caught_up};

const LIMIT_KIB: u64 = 150 * 1024;

/// `full` with `WALSHIP_TEST_HEAVY` set, a tenth of it otherwise.
fn sized(full: u64) -> u64 {
    if std::env::var_os("WALSHIP_TEST_HEAVY").is_some() { full } else { full / 10 }
}

fn assert_small(nodes: &mut [&mut Node]) {
    for node in nodes {
        let peak = peak_resident_kib(node.process().pid());
        println!("{}: {} MiB at its peak", node.name(), peak / 1024);
        assert!(peak < LIMIT_KIB, "{} took {peak} KiB", node.name());
    }
}

#[test]
fn copy_of_millions_of_rows() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let mut follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)");
    let rows = sized(5_000_000);
    let mut psql = leader.psql_command("postgres");
    let mut child = psql.args(["-c", "COPY t FROM STDIN"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = std::io::BufWriter::new(child.stdin.take().unwrap());
    for id in 0..rows {
        writeln!(input, "{id}\trow number {id} of many").unwrap();
    }
    input.into_inner().unwrap();
    assert!(child.wait().unwrap().success());
    wait_caught_up_in_time(&leader, &follower);
    assert_eq!(follower.sql("SELECT count(*) FROM t"), rows.to_string());
    // and out again, to a client that reads slowly at first
    let mut psql = follower.psql_command("postgres");
    let out = walship_tests::output_of(psql.args(["-c", "\\copy t TO '/dev/null'"]));
    out.success();
    assert_small(&mut [&mut leader, &mut follower]);
    assert_identical(&leader, &follower, "postgres");
}

#[test]
fn vacuum_of_a_large_database() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let source = lab.path().join("large.db");
    let rows = sized(3_000_000);
    sqlite3(
        &source,
        &format!(
            "PRAGMA journal_mode = off; PRAGMA synchronous = off; CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB); \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
             INSERT INTO t SELECT i, randomblob(950) FROM n; PRAGMA journal_mode = wal;"
        ),
    )
    .success();
    lab.import(&leader, &source, "large");
    std::fs::remove_file(&source).unwrap();
    let mut follower = lab.follower(&leader);
    let session = leader.connect_to("large");
    session.run("DELETE FROM t WHERE id % 10 = 0");
    leader.psql("large", &["-c", "VACUUM"]).success();
    wait_caught_up_in_time(&leader, &follower);
    assert_small(&mut [&mut leader, &mut follower]);
    assert_identical(&leader, &follower, "large");
}

#[test]
fn a_follower_that_is_stopped_under_load() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let mut follower = lab.follower(&leader);
    leader.sql("CREATE TABLE blobs(id INTEGER PRIMARY KEY, v BLOB)");
    let load = Load::start(&leader, 8);
    load.wait_for(100);
    follower.pause();
    let session = leader.connect();
    // far more than any socket buffer
    for _ in 0..sized(100).max(20) {
        session.run(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) \
             INSERT INTO blobs SELECT NULL, randomblob(500) FROM n",
        );
    }
    load.wait_for(sized(50_000));
    follower.resume();
    load.wait_for(100);
    let record = load.finish();
    wait_caught_up_in_time(&leader, &follower);
    assert_small(&mut [&mut leader, &mut follower]);
    assert_identical(&leader, &follower, "postgres");
    record.verify(&follower);
}

/// At full size the follower may need minutes.
fn wait_caught_up_in_time(leader: &Node, follower: &Node) {
    let lag = |text: String| text.parse::<f64>().unwrap_or(f64::MAX);
    let session = leader.connect();
    walship_tests::wait_until_within(
        std::time::Duration::from_secs(1200),
        "the follower has nearly caught up",
        || {
            let behind = session.value(
                "SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), replay_lsn) FROM pg_stat_replication",
            );
            lag(behind) < 1e6
        },
    );
    wait_caught_up(leader, follower);
}
