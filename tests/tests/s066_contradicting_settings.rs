//! Settings that contradict each other are refused at start, with their values and the numbers that would do, and a
//! reload that brings such settings changes nothing.

use walship_tests::{Lab, golden, wait_until};

#[test]
fn a_start_is_refused_with_the_numbers_that_would_do() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    leader.stop();
    for (name, settings) in [
        ("receiver_timeout", &["wal_receiver_timeout=20s"][..]),
        ("status_interval", &["wal_receiver_status_interval=90s"]),
        ("synchronous_names", &["synchronous_standby_names=ANY 0 (a)"]),
        ("synchronous_names_text", &["synchronous_standby_names=2 (a b)"]),
    ] {
        let mut command = leader.command();
        for setting in settings {
            command.args(["-c", setting]);
        }
        let output = walship_tests::output_of(&mut command);
        assert_ne!(output.status, Some(0), "{name}: {}", output.transcript());
        golden(&format!("contradiction_{name}"), &output.without_log().transcript(), lab.path());
    }
}

#[test]
fn a_reload_that_contradicts_itself_changes_nothing() {
    let lab = Lab::new();
    let leader = lab.leader();
    let session = leader.connect();
    session.run("ALTER SYSTEM SET wal_receiver_timeout = '20s'");
    session.run("ALTER SYSTEM SET lock_timeout = '7s'");
    assert_eq!(session.error("SELECT pg_reload_conf()").code, "F0000");
    assert_eq!(session.value("SHOW wal_receiver_timeout"), "1min");
    assert!(leader.log().contains("Set wal_receiver_timeout above 30000 ms"), "{}", leader.log());
    session.run("ALTER SYSTEM SET wal_sender_timeout = '30s'");
    session.run("SELECT pg_reload_conf()");
    wait_until("both are in force", || session.value("SHOW wal_receiver_timeout") == "20s");
    assert_eq!(session.value("SHOW wal_sender_timeout"), "30s");
}
