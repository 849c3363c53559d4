//! A follower takes no writes, and says who does.

use walship_tests::Lab;

#[test]
fn writes_are_25006_with_a_hint_that_names_the_leader() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(v)");
    let follower = lab.follower(&leader);
    walship_tests::wait_caught_up(&leader, &follower);
    let session = follower.connect();
    let mut all = String::new();
    for statement in [
        "INSERT INTO t VALUES (1)",
        "UPDATE t SET v = 2",
        "DELETE FROM t",
        "CREATE TABLE u(v)",
        "DROP TABLE t",
        "VACUUM",
        "CREATE DATABASE other",
        "COPY t FROM STDIN",
        "BEGIN; INSERT INTO t VALUES (1)",
    ] {
        let error = session.error(statement);
        all += &format!("=> {statement}\n{error}\n\n");
        let _ = session.query("ROLLBACK");
        assert!(["25006", "0A000"].contains(&error.code.as_str()), "{statement}: {error}");
    }
    assert!(all.contains(&leader.port().to_string()), "no hint names the leader:\n{all}");
    walship_tests::golden("writes_on_a_follower", &all, lab.path());
    assert_eq!(session.value("SELECT count(*) FROM t"), "0");
}

#[test]
fn libpq_finds_the_leader_among_several_hosts() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    let ask = |wanted: &str| {
        let hosts = format!(
            "host=127.0.0.1,127.0.0.1 port={},{} user=postgres dbname=postgres target_session_attrs={wanted}",
            follower.port(),
            leader.port()
        );
        let mut psql = std::process::Command::new(walship_tests::postgres_program("psql"));
        walship_tests::output_of(psql.args(["-XAtc", "SELECT pg_is_in_recovery()", "-d", &hosts])).success()
    };
    assert_eq!(ask("read-write"), "f");
    assert_eq!(ask("primary"), "f");
    assert_eq!(ask("read-only"), "t");
    assert_eq!(ask("standby"), "t");
    assert_eq!(ask("prefer-standby"), "t");
    assert_eq!(ask("any"), "t");
}
