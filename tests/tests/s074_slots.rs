//! Slots keep the log for who is away: made over SQL, by replication commands and by
//! walctl, kept across crashes, shown with PostgreSQL's columns, bounded.

use walship_tests::{Lab, Node, Output, Role, Session, assert_identical, golden, stock, wait_until};

fn walctl(lab: &Lab, node: &Node, arguments: &[&str]) -> Output {
    let port = node.port().to_string();
    lab.walctl(&[arguments, &["-h", "127.0.0.1", "-U", "postgres", "-p", &port]].concat())
}

fn fill(session: &Session, megabytes: u32) {
    for _ in 0..megabytes {
        session.run("INSERT INTO fill VALUES (randomblob(1000000))");
        session.run("DELETE FROM fill");
    }
}

#[test]
fn the_three_ways_are_one() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    leader.sql("SELECT pg_create_physical_replication_slot('by_sql', true)");
    leader.sql("SELECT pg_create_physical_replication_slot('unreserved')");
    walctl(&lab, &leader, &["slot", "create", "by_walctl"]).success();
    stock(&lab, "pg_receivewal", &leader, &["--create-slot", "--slot", "by_command"]).success();
    let query = "SELECT slot_name, slot_type, temporary, active, restart_lsn IS NULL, wal_status, \
                 safe_wal_size > 0, two_phase FROM pg_replication_slots ORDER BY 1";
    let shown = leader.sql(query);
    let expected = "by_command|physical|f|f|t|||f\nby_sql|physical|f|f|f|reserved|t|f\n\
                    by_walctl|physical|f|f|f|reserved|t|f\nunreserved|physical|f|f|t|||f";
    assert_eq!(shown, expected);
    leader.kill();
    leader.start();
    assert_eq!(leader.sql(query), expected, "after a crash");
    let listed = walctl(&lab, &leader, &["slot", "list", "--json"]).success();
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["slots"].as_array().unwrap().len(), 4, "{listed:#}");
    leader.sql("SELECT pg_drop_replication_slot('by_command')");
    walctl(&lab, &leader, &["slot", "drop", "by_sql"]).success();
    stock(&lab, "pg_receivewal", &leader, &["--drop-slot", "--slot", "by_walctl"]).success();
    // a temporary one belongs to its session
    let session = leader.connect();
    session.run("SELECT pg_create_physical_replication_slot('mine', true, true)");
    assert_eq!(
        leader.sql("SELECT temporary, active FROM pg_replication_slots WHERE slot_name = 'mine'"),
        "t|t"
    );
    drop(session);
    let count = "SELECT count(*) FROM pg_replication_slots";
    wait_until("the temporary slot goes with its session", || leader.sql(count) == "1");
    let mut all = String::new();
    for arguments in
        [&["slot", "create", "unreserved"][..], &["slot", "create", "Bad-Name"], &["slot", "drop", "nobody"]]
    {
        let output = walctl(&lab, &leader, arguments);
        all += &format!("$ walctl {}\n{}", arguments.join(" "), output.transcript());
    }
    for sql in [
        "SELECT pg_create_physical_replication_slot('unreserved')",
        "SELECT pg_drop_replication_slot('nobody')",
        "SELECT pg_create_logical_replication_slot('logical', 'test_decoding')",
    ] {
        all += &format!("$ psql -c \"{sql}\"\n{}", leader.psql("postgres", &["-c", sql]).transcript());
    }
    golden("slots_refused", &all, lab.path());
}

#[test]
fn there_are_as_many_as_the_settings_say() {
    let lab = Lab::new();
    let settings = ["-c", "max_replication_slots=1", "-c", "max_wal_senders=1", "--wal-segment-size", "1MB"];
    let leader = lab.leader_with(&settings);
    leader.sql("SELECT pg_create_physical_replication_slot('one')");
    let output = leader.psql("postgres", &["-c", "SELECT pg_create_physical_replication_slot('two')"]);
    golden("slots_all_in_use", &output.transcript(), lab.path());
    leader.sql("SELECT pg_drop_replication_slot('one')");
    let _follower = lab.follower(&leader);
    wait_until("the follower streams", || leader.sql("SELECT count(*) FROM pg_stat_replication") == "1");
    let output = stock(&lab, "pg_receivewal", &leader, &["-D", ".", "-n"]);
    // libpq says this before or after that the connection was closed
    let said = "FATAL:  number of requested standby connections exceeds max_wal_senders (currently 1)";
    assert!(output.status == Some(1) && output.stderr.contains(said), "{}", output.transcript());
}

#[test]
fn a_slot_that_blocks_retention_goes_through_every_status_and_is_lost_loudly() {
    let lab = Lab::new();
    let mut leader = lab.leader_with(&[
        "--wal-segment-size",
        "1MB",
        "-c",
        "max_wal_size=4MB",
        "-c",
        "min_wal_size=2MB",
        "-c",
        "max_slot_wal_keep_size=12MB",
    ]);
    let mut follower = lab.follower(&leader);
    let session = leader.connect();
    session.run("CREATE TABLE fill(v BLOB)");
    assert_identical(&leader, &follower, "postgres");
    follower.stop();
    let status = || leader.sql("SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'follower'");
    assert_eq!(status(), "reserved");
    fill(&session, 8);
    session.run("CHECKPOINT");
    assert_eq!(status(), "extended");
    assert_eq!(leader.sql("SELECT safe_wal_size > 0 FROM pg_replication_slots"), "t");
    fill(&session, 12);
    wait_until("the slot is lost", || {
        session.run("CHECKPOINT");
        status() == "lost"
    });
    let row = "SELECT restart_lsn IS NULL, safe_wal_size IS NULL, active FROM pg_replication_slots";
    assert_eq!(leader.sql(row), "t|t|f");
    let log = leader.log();
    let line = log.lines().find(|line| line.contains("slot_lost") || line.contains("lost the log"));
    assert!(line.is_some_and(|line| line.contains("follower")), "no log line names the slot:\n{log}");
    // what the slot held is gone, and a restart does not forget that it is lost
    drop(session);
    leader.restart();
    assert_eq!(leader.sql("SELECT wal_status FROM pg_replication_slots"), "lost");
    let files = std::fs::read_dir(leader.dir().join("pg_wal")).unwrap().count();
    assert!(files < 20, "{files} files are left");
    // the follower says why it cannot go on, and how it could
    let mut follower = lab.node(Role::Follower, "follower", &["--no-retry"]);
    follower.spawn();
    let ended = follower.process().wait_exit(walship_tests::DEADLINE);
    assert!(!ended.success(), "a follower without its log goes on");
    let said: Vec<String> = follower
        .log()
        .lines()
        .filter(|line| line.contains("has lost") || line.contains("base backup"))
        .map(|line| line.split("]").last().unwrap_or(line).trim().to_owned())
        .collect();
    assert!(said.iter().any(|line| line.contains("slot")), "{}", follower.log());
}

#[test]
fn who_was_away_longer_than_the_log_was_kept_is_told_the_segment() {
    let lab = Lab::new();
    let leader =
        lab.leader_with(&["--wal-segment-size", "1MB", "-c", "max_wal_size=4MB", "-c", "min_wal_size=2MB"]);
    let mut follower = lab.follower_with("follower", leader.port(), &["--no-slot"]);
    let session = leader.connect();
    session.run("CREATE TABLE fill(v BLOB)");
    assert_identical(&leader, &follower, "postgres");
    follower.stop();
    fill(&session, 12);
    session.run("CHECKPOINT");
    follower.add_arguments(&["--no-retry"]);
    follower.spawn();
    let ended = follower.process().wait_exit(walship_tests::DEADLINE);
    assert!(!ended.success(), "it goes on without its log: {}", follower.log());
    assert!(follower.log().contains("has already been removed"), "{}", follower.log());
    let receive = stock(&lab, "pg_receivewal", &leader, &["-D", ".", "-n", "--endpos", "0/1"]);
    drop(receive);
    // the stock program is told the same
    std::fs::create_dir(lab.path().join("old")).unwrap();
    std::fs::write(lab.path().join("old/000000010000000000000001"), vec![0; 1 << 20]).unwrap();
    let output = stock(&lab, "pg_receivewal", &leader, &["-D", "old", "-n"]);
    golden("segment_removed", &output.transcript(), lab.path());
}
