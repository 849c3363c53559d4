//! Settings have PostgreSQL's names, units and ways to set them.

use walship_tests::{Lab, wait_until};

#[test]
fn shown_set_and_reset() {
    let lab = Lab::new();
    let mut leader = lab.leader_with(&["-c", "wal_sender_timeout=90s"]);
    let session = leader.connect();
    assert_eq!(session.value("SHOW wal_sender_timeout"), "90s");
    assert_eq!(session.value("SHOW wal_segment_size"), "16MB");
    assert!(session.value("SHOW server_version").starts_with("15."));
    assert!(session.value("SELECT version()").contains("walship"));
    session.run("SET lock_timeout = 1500");
    assert_eq!(session.value("SHOW lock_timeout"), "1500ms");
    session.run("BEGIN; SET LOCAL lock_timeout = '2s'");
    assert_eq!(session.value("SHOW lock_timeout"), "2s");
    session.run("COMMIT");
    assert_eq!(session.value("SHOW lock_timeout"), "1500ms");
    session.run("RESET lock_timeout");
    assert_eq!(session.value("SHOW lock_timeout"), "0");
    assert_eq!(
        session.value("SELECT setting || unit FROM pg_settings WHERE name = 'wal_sender_timeout'"),
        "90000ms"
    );
    assert_eq!(session.error("SET no_such_setting = 1").code, "42704");
    assert_eq!(session.error("SET lock_timeout = 'soon'").code, "22023");
    assert_eq!(session.error("SET max_connections = 5").code, "55P02");

    leader.sql("ALTER SYSTEM SET lock_timeout = '3s'");
    leader.sql("SELECT pg_reload_conf()");
    wait_until("the new value is in force", || leader.sql("SHOW lock_timeout") == "3s");
    leader.restart();
    assert_eq!(leader.sql("SHOW lock_timeout"), "3s");
}

#[test]
fn what_drivers_set_at_connection_is_accepted() {
    let lab = Lab::new();
    let leader = lab.leader();
    let session = leader.connect();
    for statement in [
        "SET extra_float_digits = 3",
        "SET client_encoding = 'UTF8'",
        "SET NAMES 'utf8'",
        "SET datestyle TO 'ISO, MDY'",
        "SET TIME ZONE 'UTC'",
        "SET application_name = 'x'",
        "SET search_path = public",
        "SET client_min_messages = warning",
        "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET statement_timeout TO DEFAULT",
        "DISCARD ALL",
    ] {
        session.run(statement);
    }
}

#[test]
fn a_setting_that_runs_commands_is_not_taken_over_sql() {
    let lab = Lab::new();
    let leader = lab.leader();
    let error = leader.connect().error("ALTER SYSTEM SET archive_command = 'touch /tmp/x'");
    assert!(!error.code.is_empty(), "{error}");
}

#[test]
fn what_needs_a_restart_says_so() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let pending = "SELECT string_agg(name, ',') FROM pg_settings WHERE pending_restart";
    let said = leader.psql("postgres", &["-c", "ALTER SYSTEM SET max_connections = 77"]);
    assert!(
        said.stderr.contains("parameter \"max_connections\" takes effect when the server is restarted"),
        "{said:?}"
    );
    assert_eq!(leader.psql("postgres", &["-c", "ALTER SYSTEM SET lock_timeout = '7s'"]).stderr, "");
    leader.sql("SELECT pg_reload_conf()");
    assert_eq!(leader.sql("SHOW lock_timeout"), "7s");
    assert_ne!(leader.sql("SHOW max_connections"), "77");
    assert_eq!(leader.sql(pending), "max_connections");
    leader.restart();
    assert_eq!(leader.sql("SHOW max_connections"), "77");
    assert_eq!(leader.sql(pending), "");
}
