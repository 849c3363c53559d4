//! What somebody needs of the log stays, and what nobody needs goes: a leader under steady
//! load keeps a bounded directory.

use std::path::Path;
use std::time::{Duration, Instant};

use walship_tests::{
    Lab, Load, Node, Role, assert_identical, pg_verifybackup, spawn_stock, wait_caught_up, wait_until,
};

const SMALL: [&str; 6] = ["--wal-segment-size", "1MB", "-c", "max_wal_size=4MB", "-c", "min_wal_size=2MB"];

/// Segments in a log directory.
fn segments(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| name.len() == 24);
    names.sort();
    names
}

fn position(node: &Node) -> u64 {
    node.sql("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')").parse::<f64>().unwrap() as u64
}

/// Sixteen megabytes of log go through a leader that keeps four, and its follower.
#[test]
fn the_directory_is_bounded_under_steady_load() {
    let lab = Lab::new();
    let leader = lab.leader_with(&SMALL);
    let follower =
        lab.follower_with("follower", leader.port(), &["-c", "max_wal_size=4MB", "-c", "min_wal_size=2MB"]);
    let load = Load::start(&leader, 4);
    leader.sql("CREATE TABLE churn(v BLOB)");
    let start = position(&leader);
    let (mut most_on_leader, mut most_on_follower) = (0, 0);
    let begun = Instant::now();
    while position(&leader) < start + (16 << 20) {
        assert!(begun.elapsed() < Duration::from_secs(120), "the load does not get on");
        leader.sql("INSERT INTO churn VALUES (randomblob(300000)); DELETE FROM churn");
        most_on_leader = most_on_leader.max(segments(&leader.dir().join("pg_wal")).len());
        most_on_follower = most_on_follower.max(segments(&follower.dir().join("pg_wal")).len());
    }
    load.finish();
    // max_wal_size, what is written until a checkpoint is complete, and what is prepared ahead
    assert!(most_on_leader <= 16, "the leader kept {most_on_leader} segments");
    assert!(most_on_follower <= 20, "the follower kept {most_on_follower} segments");
    wait_caught_up(&leader, &follower);
    assert_identical(&leader, &follower, "postgres");
    let checkpoints: u64 =
        leader.sql("SELECT checkpoints_timed + checkpoints_req FROM pg_stat_bgwriter").parse().unwrap();
    assert!(checkpoints >= 3, "only {checkpoints} checkpoints in 16 MB of log");
}

#[test]
fn a_running_backup_a_slot_and_a_follower_hold_what_they_need() {
    let lab = Lab::new();
    let leader = lab.leader_with(&SMALL);
    leader.sql("CREATE TABLE t(v BLOB); INSERT INTO t VALUES (randomblob(3000000))");
    // a follower without a slot that does not read is held by its connection alone
    let mut frozen = lab.follower_with("frozen", leader.port(), &["--no-slot"]);
    assert_identical(&leader, &frozen, "postgres");
    // a slow backup: its log is fetched at its end
    let arguments = ["-D", "slow", "-X", "fetch", "-c", "fast", "-r", "300k", "-R"];
    let mut backup = spawn_stock(&lab, "pg_basebackup", &leader, &arguments);
    let running = "SELECT count(*) FROM pg_stat_progress_basebackup WHERE phase = 'streaming database files'";
    wait_until("the backup is under way", || leader.sql(running) == "1");
    leader.sql("SELECT pg_create_physical_replication_slot('held', true)");
    let held =
        leader.sql("SELECT pg_walfile_name(restart_lsn) FROM pg_replication_slots WHERE slot_name = 'held'");
    frozen.pause();
    leader.sql("CREATE TABLE churn(v BLOB)");
    for _ in 0..8 {
        leader.sql("INSERT INTO churn VALUES (randomblob(1000000)); DELETE FROM churn");
    }
    leader.sql("CHECKPOINT");
    assert!(segments(&leader.dir().join("pg_wal")).contains(&held), "the slot's segment is gone");
    assert_eq!(leader.sql(running), "1", "the backup ended too early to show anything");
    assert!(backup.wait_exit(Duration::from_secs(120)).success(), "{}", backup.output());
    frozen.resume();
    assert_identical(&leader, &frozen, "postgres");
    pg_verifybackup(&lab.path().join("slow")).success();
    lab.walctl(&["verifybackup", "--deep", "slow"]).success();
    // nobody needs it any more
    leader.sql("SELECT pg_drop_replication_slot('held')");
    frozen.stop();
    wait_until("the log of the slot goes", || {
        leader.sql("CHECKPOINT");
        segments(&leader.dir().join("pg_wal")).first().is_some_and(|first| *first > held)
    });
    let mut follower = lab.node(Role::Follower, "slow", &["--name", "slow"]);
    follower.start();
    assert_identical(&leader, &follower, "postgres");
}

#[test]
fn wal_keep_size_keeps_for_whoever_comes_back() {
    let lab = Lab::new();
    let leader = lab.leader_with(&[&SMALL[..], &["-c", "wal_keep_size=64MB"]].concat());
    let mut follower = lab.follower_with("follower", leader.port(), &["--no-slot"]);
    leader.sql("CREATE TABLE churn(v BLOB)");
    assert_identical(&leader, &follower, "postgres");
    follower.stop();
    for _ in 0..12 {
        leader.sql("INSERT INTO churn VALUES (randomblob(1000000)); DELETE FROM churn");
    }
    leader.sql("CHECKPOINT");
    follower.start();
    assert_identical(&leader, &follower, "postgres");
}
