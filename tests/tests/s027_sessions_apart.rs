//! What SQLite keeps per connection is the session's own, and never leaks; readers
//! never wait for the writer, and writers queue fairly.

use std::time::{Duration, Instant};

use walship_tests::{Lab, Session};

#[test]
fn rowids_changes_temp_tables_and_pragmas_are_the_sessions_own() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v); CREATE TABLE parent(id INTEGER PRIMARY KEY)");
    leader.sql("CREATE TABLE child(id INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent(id))");
    let (one, two) = (leader.connect(), leader.connect());
    one.run("INSERT INTO t VALUES (100, 'a')");
    two.run("INSERT INTO t VALUES (200, 'b'), (201, 'c')");
    assert_eq!(one.value("SELECT last_insert_rowid()"), "100");
    assert_eq!(two.value("SELECT last_insert_rowid()"), "201");
    assert_eq!(one.value("SELECT changes()"), "1");
    assert_eq!(two.value("SELECT changes()"), "2");

    one.run("CREATE TEMP TABLE scratch(v); INSERT INTO scratch VALUES (1)");
    assert_eq!(one.value("SELECT count(*) FROM scratch"), "1");
    assert_eq!(two.error("SELECT * FROM scratch").code, "42P01");

    one.run("PRAGMA foreign_keys = off");
    one.run("INSERT INTO child VALUES (1, 99)");
    two.run("PRAGMA foreign_keys = on");
    assert_eq!(two.error("INSERT INTO child VALUES (2, 99)").code, "23503");

    // a new connection starts afresh, whatever the last one has left
    drop(one);
    let three = leader.connect();
    assert_eq!(three.value("SELECT last_insert_rowid()"), "0");
    assert_eq!(three.error("SELECT * FROM scratch").code, "42P01");
}

#[test]
fn discard_all_makes_a_connection_as_new() {
    let lab = Lab::new();
    let leader = lab.leader();
    let session = leader.connect();
    session.run("CREATE TEMP TABLE scratch(v)");
    session.run("SET statement_timeout = '5s'");
    session.run("DISCARD ALL");
    assert_eq!(session.error("SELECT * FROM scratch").code, "42P01");
    assert_eq!(session.value("SHOW statement_timeout"), "0");
}

#[test]
fn readers_never_wait_for_the_writer() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(v INTEGER)");
    leader.sql("INSERT INTO t VALUES (1)");
    let writer = leader.connect();
    writer.run("BEGIN; UPDATE t SET v = 2");
    let reader = leader.connect();
    let start = Instant::now();
    assert_eq!(reader.value("SELECT v FROM t"), "1");
    assert!(start.elapsed() < Duration::from_secs(5), "the reader took {:?}", start.elapsed());
    writer.run("COMMIT");
    assert_eq!(reader.value("SELECT v FROM t"), "2");
}

#[test]
fn writers_get_their_turn_in_the_order_in_which_they_came() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, client INTEGER)");
    let holder = leader.connect();
    holder.run("BEGIN; INSERT INTO t(client) VALUES (-1)");
    let port = leader.port();
    let watcher = leader.connect();
    let mut waiting = Vec::new();
    for client in 0..5 {
        waiting.push(std::thread::spawn(move || {
            let session = Session::connect(port, "postgres").unwrap();
            session.run(&format!("INSERT INTO t(client) VALUES ({client})"));
        }));
        walship_tests::wait_until("the next writer waits in the queue", || {
            let waiters = "SELECT waiting_writers FROM walship_stat_database WHERE datname = 'postgres'";
            watcher.value(waiters) == (client + 1).to_string()
        });
    }
    holder.run("COMMIT");
    for writer in waiting {
        writer.join().unwrap();
    }
    assert_eq!(
        leader.sql("SELECT group_concat(client) FROM (SELECT client FROM t ORDER BY id)"),
        "-1,0,1,2,3,4"
    );
}

#[test]
fn a_hundred_sessions_at_once() {
    let lab = Lab::new();
    let leader = lab.leader_with(&["-c", "max_connections=200"]);
    leader.sql("CREATE TABLE t(v INTEGER)");
    let sessions: Vec<_> = (0..100).map(|_| leader.connect()).collect();
    for (i, session) in sessions.iter().enumerate() {
        session.run(&format!("INSERT INTO t VALUES ({i})"));
    }
    for session in &sessions {
        assert_eq!(session.value("SELECT count(*) FROM t"), "100");
    }
}

#[test]
fn what_would_break_capture_is_refused_with_the_reason() {
    let lab = Lab::new();
    let leader = lab.leader();
    let session = leader.connect();
    let mut refusals = String::new();
    for statement in [
        "PRAGMA journal_mode = delete",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA wal_autocheckpoint = 10",
        "PRAGMA locking_mode = exclusive",
        "PRAGMA synchronous = off",
        "PRAGMA writable_schema = on",
        "PRAGMA page_size = 1024",
        "ATTACH DATABASE 'other.db' AS other",
        "DETACH DATABASE main",
        "VACUUM INTO 'copy.db'",
        "SELECT load_extension('x')",
        "UPDATE sqlite_schema SET sql = ''",
        "INSERT INTO sqlite_dbpage VALUES (1, x'00')",
    ] {
        refusals += &format!("{statement}\n{}\n\n", session.error(statement));
    }
    walship_tests::golden("refused_statements", &refusals, lab.path());
    session.run("CREATE TABLE t(v); INSERT INTO t VALUES (1)");
}
