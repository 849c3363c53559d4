//! A foreign program cannot write into a follower's file; if it managed to while the
//! follower was down, that is taken back.

use walship_tests::{Lab, assert_identical, sqlite3, wait_caught_up};

const IMPATIENT: &str = "PRAGMA busy_timeout = 100; INSERT INTO t VALUES ('foreign')";

#[test]
fn a_stock_sqlite3_is_locked_out_of_a_followers_file() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(v TEXT)");
    wait_caught_up(&leader, &follower);
    for _ in 0..10 {
        let said = sqlite3(&follower.database("postgres"), IMPATIENT).failure();
        assert!(said.contains("locked"), "{said}");
        leader.sql("INSERT INTO t VALUES ('own')");
    }
    assert_identical(&leader, &follower, "postgres");
    assert_eq!(follower.sql("SELECT count(*) FROM t WHERE v = 'foreign'"), "0");
}

#[test]
fn a_write_while_the_follower_was_down_is_taken_back() {
    let lab = Lab::new();
    let leader = lab.leader();
    let mut follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(v TEXT)");
    leader.sql("INSERT INTO t VALUES ('own')");
    wait_caught_up(&leader, &follower);
    follower.stop();
    sqlite3(&follower.database("postgres"), "INSERT INTO t VALUES ('foreign'); CREATE TABLE u(v)").success();
    follower.start();
    leader.sql("INSERT INTO t VALUES ('more')");
    assert_identical(&leader, &follower, "postgres");
}

#[test]
fn a_reader_that_opened_and_closed_the_file_while_the_follower_was_down_does_no_harm() {
    let lab = Lab::new();
    let leader = lab.leader();
    let mut follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(v TEXT)");
    for _ in 0..3 {
        leader.sql("INSERT INTO t VALUES ('own')");
        wait_caught_up(&leader, &follower);
        follower.kill();
        // the last close of a stock program moves the -wal into the file and deletes it
        sqlite3(&follower.database("postgres"), "SELECT count(*) FROM t").success();
        follower.start();
    }
    assert_identical(&leader, &follower, "postgres");
}
