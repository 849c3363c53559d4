//! Followers that lie, share a name, or stop reading, and names that match nobody: each is said, and the leader and
//! its other followers go on.

use walship_tests::{
    Lab, RawReceiver, assert_identical, golden, peak_resident_kib, wait_caught_up, wait_until,
};
use walship_types::Lsn;

/// The lines of a log that have `word`, without time and process.
fn lines_with(log: &str, word: &str) -> String {
    let lines = log.lines().filter(|line| line.contains(word));
    lines.filter_map(|line| line.split_once("] ")).map(|(_, text)| text.to_owned() + "\n").collect()
}

#[test]
fn a_follower_that_claims_what_it_was_not_sent_is_refused() {
    let lab = Lab::new();
    let leader = lab.leader_with(&["-c", "synchronous_standby_names=liar"]);
    leader.sql("SET synchronous_commit = local; CREATE TABLE t(v)");
    let mut liar = RawReceiver::start(leader.port(), "liar");
    liar.report(Lsn(u64::MAX / 2));
    golden("follower_claims_too_much", &liar.error(), lab.path());
    liar.drain();
    wait_until("its row is gone", || leader.sql("SELECT count(*) FROM pg_stat_replication") == "0");
    golden("follower_claims_too_much_log", &lines_with(&leader.log(), "lost"), lab.path());
    // and no commit was released by it
    let session = leader.connect();
    session.run("SET statement_timeout = 0");
    std::thread::scope(|scope| {
        let insert = scope.spawn(|| leader.psql("postgres", &["-c", "INSERT INTO t VALUES (1)"]));
        let waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        wait_until("the commit waits", || !session.value(waiting).is_empty());
        session.run(&format!("SELECT pg_cancel_backend({})", session.value(waiting)));
        assert!(insert.join().unwrap().stderr.contains("canceling wait for synchronous replication"));
    });
}

#[test]
fn two_followers_with_one_name_are_told_and_the_first_goes_on() {
    let lab = Lab::new();
    let leader = lab.leader_with(&["-c", "synchronous_standby_names=twin"]);
    let first = lab.follower_with("twin", leader.port(), &[]);
    let conninfo = format!("host=127.0.0.1 port={} user=postgres", leader.port());
    let second = lab.path().join("second").display().to_string();
    let port = walship_tests::Port::reserve();
    let listen = format!("127.0.0.1:{}", port.number());
    let sockets = format!("unix_socket_directories={}", lab.path().display());
    let output = lab.run(
        "walreceiver",
        &[
            "-D",
            &second,
            "--init",
            "--primary",
            &conninfo,
            "--name",
            "twin",
            "--listen",
            &listen,
            "-c",
            &sockets,
            "--no-retry",
        ],
    );
    golden("two_followers_with_one_name", &output.without_log().transcript(), lab.path());
    leader.sql("CREATE TABLE t(v)");
    assert_identical(&leader, &first, "postgres");
    assert_eq!(leader.sql("SELECT count(*) FROM pg_stat_replication"), "1");
}

#[test]
fn a_follower_that_stops_reading_costs_bounded_memory_and_nobody_notices() {
    let lab = Lab::new();
    let mut leader =
        lab.leader_with(&["-c", "wal_sender_timeout=3s", "-c", "wal_receiver_status_interval=1s"]);
    let follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(v BLOB)");
    wait_caught_up(&leader, &follower);
    let mut deaf = RawReceiver::start(leader.port(), "deaf");
    let before = peak_resident_kib(leader.process().pid());
    let session = leader.connect();
    // far more than the sockets' buffers
    for _ in 0..200 {
        session.run("INSERT INTO t VALUES (randomblob(300000))");
    }
    wait_caught_up(&leader, &follower);
    let grown = peak_resident_kib(leader.process().pid()).saturating_sub(before);
    assert!(grown < 48 * 1024, "the leader took {grown} KiB more");
    let count = "SELECT count(*) FROM pg_stat_replication WHERE application_name = 'deaf'";
    wait_until("the leader gives it up", || session.value(count) == "0");
    golden("follower_stops_reading_log", &lines_with(&leader.log(), "\"deaf\" lost"), lab.path());
    deaf.drain();
    assert_identical(&leader, &follower, "postgres");
}

#[test]
fn a_name_that_matches_nobody_is_visible_as_such() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    wait_caught_up(&leader, &follower);
    let session = leader.connect();
    let error = session.error("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 2 (a, , b)'");
    golden("synchronous_names_syntax_error", &error.to_string(), lab.path());
    session.run("ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (follower, folower, \"*x\")'");
    session.run("SELECT pg_reload_conf()");
    let names = "SELECT method || ' ' || wanted || ' ' || place || ' ' || name || ' ' || followers || ' ' || state \
                 FROM walship_stat_synchronous ORDER BY place";
    wait_until("the follower is synchronous", || session.value(names) == "FIRST 1 1 follower 1 sync");
    let rows = session.query(names).unwrap();
    let rows: Vec<&str> = rows.iter().filter_map(|row| row[0].as_deref()).collect();
    assert_eq!(rows, ["FIRST 1 1 follower 1 sync", "FIRST 1 2 folower 0 missing", "FIRST 1 3 *x 0 missing"]);
    golden(
        "synchronous_name_unmatched_log",
        &lines_with(&leader.log(), "synchronous_standby_names"),
        lab.path(),
    );
}
