//! A client that vanishes in the middle of a COPY or a transaction leaves nothing
//! behind and nothing locked.

use std::io::Write;
use std::process::Stdio;

use walship_tests::{Lab, assert_identical, wait_until};

#[test]
fn a_client_vanishes_in_the_middle_of_copy() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)");
    for rows in [10, 100_000] {
        let mut psql = leader.psql_command("postgres");
        let mut child = psql.args(["-c", "COPY t(v) FROM STDIN"]).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        for id in 0..rows {
            writeln!(input, "some text for row {id}").unwrap();
        }
        input.flush().unwrap();
        wait_until("the copy has begun", || {
            leader.sql(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY t(v)%' AND state = 'active'",
            ) == "1"
        });
        child.kill().unwrap();
        child.wait().unwrap();
        // the next writer gets its turn
        leader.sql("INSERT INTO t(v) VALUES ('after')");
        assert_eq!(leader.sql("SELECT count(*) FROM t WHERE v <> 'after'"), "0");
    }
    assert_identical(&leader, &follower, "postgres");
}

#[test]
fn a_client_is_killed_inside_a_transaction() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(v TEXT)");
    let mut psql = leader.psql_command("postgres");
    let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "BEGIN; INSERT INTO t VALUES ('lost');").unwrap();
    wait_until("the transaction is open", || {
        leader.sql("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'") == "1"
    });
    child.kill().unwrap();
    child.wait().unwrap();
    leader.sql("INSERT INTO t VALUES ('kept')");
    assert_eq!(leader.sql("SELECT group_concat(v) FROM t"), "kept");
}
