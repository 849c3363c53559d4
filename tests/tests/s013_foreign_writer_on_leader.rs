//! What an unmodified program writes into a leader's file is captured too, in order
//! and at the latest within a second.

use walship_tests::{Lab, Load, Reader, assert_identical, sqlite3, wait_caught_up, wait_until};

#[test]
fn a_stock_sqlite3_writes_into_the_leaders_file() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(v TEXT)");
    sqlite3(&leader.database("postgres"), "INSERT INTO t VALUES ('foreign')").success();
    wait_until("the foreign commit arrives", || follower.sql("SELECT count(*) FROM t") == "1");
    leader.sql("INSERT INTO t VALUES ('own')");
    wait_caught_up(&leader, &follower);
    assert_eq!(follower.sql("SELECT group_concat(v) FROM t"), "foreign,own");
    assert_identical(&leader, &follower, "postgres");
}

#[test]
fn foreign_and_own_writers_at_the_same_time() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    leader.sql("CREATE TABLE foreign_rows(i INTEGER)");
    let mut foreign = Reader::open(&leader.database("postgres"));
    let load = Load::start(&leader, 4);
    for i in 0..200 {
        foreign.ask(&format!("INSERT INTO foreign_rows VALUES ({i});"));
    }
    let record = load.finish();
    // the foreign program checkpoints and closes as it likes
    foreign.ask("PRAGMA wal_checkpoint(TRUNCATE);");
    drop(foreign);
    wait_until("the foreign commits arrive", || follower.sql("SELECT count(*) FROM foreign_rows") == "200");
    assert_identical(&leader, &follower, "postgres");
    record.verify(&follower);
}

#[test]
fn a_foreign_commit_just_before_a_crash_is_not_lost() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(v TEXT)");
    for i in 0..5 {
        sqlite3(&leader.database("postgres"), &format!("INSERT INTO t VALUES ('foreign {i}')")).success();
        leader.kill();
        leader.start();
    }
    assert_eq!(leader.sql("SELECT count(*) FROM t"), "5");
    assert_identical(&leader, &follower, "postgres");
}
