//! A statement can be cancelled, and ends by itself at its limits; nothing of it stays.

use std::time::{Duration, Instant};

use walship_tests::{Lab, Session, signal_process, wait_until};

/// Runs for minutes unless somebody ends it.
const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

#[test]
fn ctrl_c_in_psql_cancels_the_statement() {
    let lab = Lab::new();
    let leader = lab.leader();
    let mut psql = leader.psql_command("postgres");
    psql.args(["-c", ENDLESS]).stderr(std::process::Stdio::piped());
    let child = psql.spawn().unwrap();
    let session = leader.connect();
    wait_until("the statement runs", || {
        session
            .value("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'WITH REC%'")
            == "1"
    });
    signal_process(child.id(), libc::SIGINT);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("canceling statement due to user request"), "{said}");
}

#[test]
fn a_cancel_request_ends_a_write_and_undoes_it() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(i INTEGER)");
    let session = leader.connect();
    let token = session.client().cancel_token();
    let other = leader.connect();
    let canceller = std::thread::spawn(move || {
        wait_until("the statement runs", || {
            other.value(
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'INSERT%' AND state = 'active'",
            ) == "1"
        });
        other.wait("cancel", token.cancel_query(tokio_postgres::NoTls)).unwrap();
    });
    let error = session.error(
        "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
    );
    canceller.join().unwrap();
    assert_eq!(error.code, "57014", "{error}");
    assert_eq!(session.value("SELECT count(*) FROM t"), "0");
    session.run("INSERT INTO t VALUES (1)");
}

#[test]
fn statement_timeout() {
    let lab = Lab::new();
    let leader = lab.leader();
    let session = leader.connect();
    session.run("SET statement_timeout = '200ms'");
    let start = Instant::now();
    let error = session.error(ENDLESS);
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("57014", "canceling statement due to statement timeout")
    );
    assert!(start.elapsed() < Duration::from_secs(20));
    session.run("RESET statement_timeout");
    session.run("SELECT 1");
}

#[test]
fn lock_timeout_while_another_session_writes() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(i INTEGER)");
    let (holder, waiter) = (leader.connect(), leader.connect());
    holder.run("BEGIN; INSERT INTO t VALUES (1)");
    waiter.run("SET lock_timeout = '100ms'");
    let error = waiter.error("INSERT INTO t VALUES (2)");
    assert_eq!(error.code, "55P03", "{error}");
    assert_eq!(waiter.value("SELECT count(*) FROM t"), "0", "readers never wait for the writer");
    holder.run("COMMIT");
    waiter.run("INSERT INTO t VALUES (2)");
    assert_eq!(waiter.value("SELECT count(*) FROM t"), "2");
}

#[test]
fn a_writer_that_idles_in_its_transaction_is_ended_and_frees_the_turn() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(i INTEGER)");
    let idle = leader.connect();
    idle.run("SET idle_in_write_transaction_timeout = '300ms'");
    idle.run("BEGIN; INSERT INTO t VALUES (1)");
    // waits in the queue for the writer, and gets its turn
    leader.sql("INSERT INTO t VALUES (2)");
    let error = idle.error("SELECT 1");
    assert!(error.code == "25P03" || error.code.is_empty(), "{error}");
    assert_eq!(leader.sql("SELECT group_concat(i) FROM t"), "2");
}

#[test]
fn a_reader_that_idles_in_its_transaction_is_left_alone() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(i INTEGER)");
    let reader = leader.connect();
    reader.run("SET idle_in_write_transaction_timeout = '50ms'");
    reader.run("BEGIN");
    assert_eq!(reader.value("SELECT count(*) FROM t"), "0");
    let writer = leader.connect();
    for i in 0..50 {
        writer.run(&format!("INSERT INTO t VALUES ({i})"));
    }
    std::thread::sleep(Duration::from_millis(100)); // longer than the limit it is not subject to
    assert_eq!(reader.value("SELECT count(*) FROM t"), "0");
    reader.run("COMMIT");
}

#[test]
fn a_session_that_dies_frees_what_it_held() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(i INTEGER)");
    let dying = Session::connect(leader.port(), "postgres").unwrap();
    dying.run("BEGIN; INSERT INTO t VALUES (1)");
    drop(dying);
    leader.sql("INSERT INTO t VALUES (2)");
    assert_eq!(leader.sql("SELECT group_concat(i) FROM t"), "2");
}

#[test]
fn pg_cancel_backend_and_pg_terminate_backend() {
    let lab = Lab::new();
    let leader = lab.leader();
    let victim = leader.connect();
    let pid = victim.value("SELECT pg_backend_pid()");
    let other = leader.connect();
    let killer = std::thread::spawn(move || {
        wait_until("the statement runs", || {
            other.value(
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'WITH REC%'",
            ) == "1"
        });
        assert_eq!(other.value(&format!("SELECT pg_cancel_backend({pid})")), "t");
        (other, pid)
    });
    assert_eq!(victim.error(ENDLESS).code, "57014");
    let (other, pid) = killer.join().unwrap();
    assert_eq!(other.value(&format!("SELECT pg_terminate_backend({pid})")), "t");
    wait_until("the session is gone", || victim.query("SELECT 1").is_err());
}
