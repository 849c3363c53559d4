//! Cut, silent and slow networks: noticed within the timeouts, reconnected with
//! backoff, and a slow follower never slows an asynchronous leader.

use std::time::{Duration, Instant};

use walship_tests::{Lab, Load, Proxy, Weather, assert_identical, wait_until};

#[test]
fn a_cut_connection_is_made_again() {
    let lab = Lab::new();
    let leader = lab.leader();
    let proxy = Proxy::to(leader.port());
    let follower = lab.follower_with("follower", proxy.port(), &["-c", "wal_retrieve_retry_interval=200ms"]);
    let load = Load::start(&leader, 8);
    for _ in 0..5 {
        load.wait_for(200);
        proxy.set(Weather::Cut);
        load.wait_for(200);
        proxy.set(Weather::Fair);
    }
    let record = load.finish();
    assert_identical(&leader, &follower, "postgres");
    record.verify(&follower);
}

#[test]
fn a_half_open_connection_is_noticed_on_both_sides() {
    let lab = Lab::new();
    let leader = lab.leader_with(&["-c", "wal_sender_timeout=2s", "-c", "wal_receiver_status_interval=1s"]);
    let proxy = Proxy::to(leader.port());
    let follower = lab.follower_with(
        "follower",
        proxy.port(),
        &[
            "-c",
            "wal_receiver_timeout=2s",
            "-c",
            "wal_sender_timeout=2s",
            "-c",
            "wal_receiver_status_interval=1s",
            "-c",
            "wal_retrieve_retry_interval=200ms",
        ],
    );
    leader.sql("CREATE TABLE t(v)");
    walship_tests::wait_caught_up(&leader, &follower);
    proxy.set(Weather::Silent);
    let start = Instant::now();
    let session = leader.connect();
    wait_until("the leader gives the silent follower up", || {
        session.value("SELECT count(*) FROM pg_stat_replication") == "0"
    });
    let reader = follower.connect();
    wait_until("the follower gives the silent leader up", || {
        reader.value("SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'") == "0"
    });
    assert!(start.elapsed() < Duration::from_secs(30), "it took {:?}", start.elapsed());
    leader.sql("INSERT INTO t VALUES (1)");
    proxy.set(Weather::Fair);
    assert_identical(&leader, &follower, "postgres");
}

#[test]
fn a_slow_follower_does_not_slow_the_leader() {
    let lab = Lab::new();
    let leader = lab.leader();
    let proxy = Proxy::to(leader.port());
    let follower = lab.follower_with("follower", proxy.port(), &[]);
    leader.sql("CREATE TABLE blobs(v BLOB)");
    walship_tests::wait_caught_up(&leader, &follower);
    proxy.set(Weather::Slow);
    let session = leader.connect();
    let start = Instant::now();
    for _ in 0..20 {
        session.run(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) \
             INSERT INTO blobs SELECT randomblob(1000) FROM n",
        );
    }
    // 20 MB at 256 KiB/s would be 80 seconds
    assert!(start.elapsed() < Duration::from_secs(40), "the leader took {:?}", start.elapsed());
    proxy.set(Weather::Fair);
    assert_identical(&leader, &follower, "postgres");
}
