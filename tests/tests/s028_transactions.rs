//! Transactions in SQLite's and in PostgreSQL's spelling, with the status that a client
//! sees, from psql as a person uses it.

use std::io::Write;
use std::process::Stdio;

use walship_tests::{Lab, Node};

/// psql reading statements from its input, without ON_ERROR_STOP: what a person sees.
fn typed(leader: &Node, statements: &str) -> String {
    let mut psql = std::process::Command::new(walship_tests::postgres_program("psql"));
    psql.args([
        "-X",
        "-h",
        "127.0.0.1",
        "-U",
        "postgres",
        "-d",
        "postgres",
        "-p",
        &leader.port().to_string(),
    ]);
    // everything in the order in which it happened
    psql.args(["-v", "PROMPT1=%x", "-o", "/dev/stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = psql.spawn().unwrap();
    child.stdin.take().unwrap().write_all(statements.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    format!("{}----\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_tour_of_transactions() {
    let lab = Lab::new();
    let leader = lab.leader();
    let said = typed(
        &leader,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);
BEGIN;
INSERT INTO t VALUES (1, 'one');
SAVEPOINT s;
INSERT INTO t VALUES (2, 'two');
ROLLBACK TO s;
RELEASE s;
COMMIT;
START TRANSACTION ISOLATION LEVEL SERIALIZABLE;
INSERT INTO t VALUES (3, 'three') RETURNING id, v;
INSERT INTO t VALUES (1, 'again');
SELECT 1;
COMMIT;
BEGIN TRANSACTION READ ONLY;
INSERT INTO t VALUES (4, 'four');
ROLLBACK;
BEGIN IMMEDIATE;
UPDATE t SET v = upper(v);
END;
COMMIT;
ROLLBACK;
BEGIN;
BEGIN;
ABORT;
SELECT * FROM t ORDER BY id;
SELECT 1 AS a; SELECT 2 AS b;
SELECT nosuch FROM t;
DELETE FROM t;
",
    );
    walship_tests::golden("transactions", &said, lab.path());
}

#[test]
fn several_statements_in_one_string_are_one_transaction() {
    let lab = Lab::new();
    let leader = lab.leader();
    let session = leader.connect();
    session.run("CREATE TABLE t(id INTEGER PRIMARY KEY)");
    session.error("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); INSERT INTO t VALUES (1)");
    assert_eq!(session.value("SELECT count(*) FROM t"), "0");
    session.error("INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (2); SELECT nosuch");
    assert_eq!(session.value("SELECT group_concat(id) FROM t"), "1");
    session.run("INSERT INTO t VALUES (5); BEGIN; INSERT INTO t VALUES (6); COMMIT");
    assert_eq!(session.value("SELECT group_concat(id) FROM t"), "1,5,6");
}

#[test]
fn a_lost_upgrade_from_reading_to_writing_is_40001() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(v INTEGER)");
    leader.sql("INSERT INTO t VALUES (1)");
    let (one, two) = (leader.connect(), leader.connect());
    one.run("BEGIN");
    assert_eq!(one.value("SELECT v FROM t"), "1");
    two.run("UPDATE t SET v = 2");
    assert_eq!(one.error("UPDATE t SET v = v + 1").code, "40001");
    one.run("ROLLBACK");
    one.run("UPDATE t SET v = v + 1");
    assert_eq!(one.value("SELECT v FROM t"), "3");
}

#[test]
fn returning_that_is_read_only_in_part_still_commits_and_travels() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY)");
    let session = leader.connect();
    // a portal that is closed after its first row
    session
        .wait("returning", async {
            let statement =
                session.client().prepare("INSERT INTO t VALUES (1), (2), (3) RETURNING id").await?;
            session.client().query_one(&statement, &[]).await.map(|_| ()).or(Ok(()))
        })
        .unwrap();
    session.run("INSERT INTO t VALUES (10)");
    walship_tests::assert_identical(&leader, &follower, "postgres");
    assert_eq!(follower.sql("SELECT count(*) FROM t"), "4");
}
