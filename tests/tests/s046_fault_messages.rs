//! What a person reads when a session is refused, limited, cancelled or ended: SQLSTATE, the whole message with its
//! values, the hint.

use walship_tests::{Lab, Session, SqlError, golden, wait_until};

const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

struct Transcript(String);

impl Transcript {
    fn note(&mut self, fault: &str, error: &SqlError) {
        self.0 += &format!("# {fault}\n{error}\n");
    }

    fn refused(&mut self, session: &Session, sql: &str) {
        self.note(sql, &session.error(sql));
    }
}

#[test]
fn faults_of_sessions() {
    let lab = Lab::new();
    let leader = lab.leader_with(&["-c", "max_connections=6"]);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'one')");
    let session = leader.connect();
    let mut text = Transcript(String::new());

    text.note("no such database", &Session::connect(leader.port(), "nowhere").err().expect("it connected"));
    for sql in [
        "DROP DATABASE postgres",
        "DROP DATABASE nowhere",
        "CREATE DATABASE postgres",
        "CREATE DATABASE \"Not A Name\"",
        "SELECT pg_drop_replication_slot('nobody')",
        "SELECT pg_create_physical_replication_slot('Not-A-Slot')",
        "SELECT pg_promote()",
        "SELECT pg_wal_replay_pause()",
        "ALTER SYSTEM SET archive_command = 'true'",
        "SET max_connections = 5",
        "COMMIT; VACUUM; BEGIN; VACUUM",
        "ROLLBACK; SAVEPOINT s",
        "LISTEN channel",
    ] {
        text.refused(&session, sql);
    }
    session.query("ROLLBACK").ok();

    session.run("SET statement_timeout = '150ms'");
    text.refused(&session, ENDLESS);
    session.run("RESET statement_timeout");
    let holder = leader.connect();
    holder.run("BEGIN; UPDATE t SET v = 'held'");
    session.run("SET lock_timeout = '150ms'");
    text.refused(&session, "UPDATE t SET v = 'wanted'");
    session.run("RESET lock_timeout");
    session.run("BEGIN; SELECT * FROM t");
    holder.run("COMMIT");
    text.refused(&session, "UPDATE t SET v = 'too late'");
    session.run("ROLLBACK");

    let pid = holder.value("SELECT pg_backend_pid()");
    let canceller = leader.connect();
    let cancelled = std::thread::spawn(move || (holder.error(ENDLESS), holder));
    let running = format!("SELECT state FROM pg_stat_activity WHERE pid = {pid}");
    wait_until("the statement runs", || canceller.value(&running) == "active");
    canceller.run(&format!("SELECT pg_cancel_backend({pid})"));
    let (error, holder) = cancelled.join().unwrap();
    text.note("pg_cancel_backend", &error);
    let ended = std::thread::spawn(move || holder.error(ENDLESS));
    wait_until("the statement runs again", || canceller.value(&running) == "active");
    canceller.run(&format!("SELECT pg_terminate_backend({pid})"));
    text.note("pg_terminate_backend", &ended.join().unwrap());

    let mut others = Vec::new();
    let full = loop {
        match Session::connect(leader.port(), "postgres") {
            Ok(other) => others.push(other),
            Err(error) => break error,
        }
        assert!(others.len() < 10, "more sessions than max_connections");
    };
    text.note("one too many", &full);
    golden("session_faults", &text.0, lab.path());
}
