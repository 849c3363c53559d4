//! A commit on the leader is read on the follower, through SQL and by a stock
//! sqlite3, and the two files are the same page for page.

use walship_tests::{Lab, assert_identical, sqlite3, wait_caught_up};

#[test]
fn a_commit_travels_from_psql_to_sqlite3() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);

    leader.sql("CREATE TABLE greeting(id INTEGER PRIMARY KEY, words TEXT)");
    leader.sql("INSERT INTO greeting(words) VALUES ('hello'), ('from the leader')");

    wait_caught_up(&leader, &follower);
    assert_eq!(follower.sql("SELECT words FROM greeting ORDER BY id"), "hello\nfrom the leader");
    let seen =
        sqlite3(&follower.database("postgres"), "SELECT group_concat(words, ' ') FROM greeting").success();
    assert_eq!(seen, "hello from the leader");
    assert_identical(&leader, &follower, "postgres");
}

#[test]
fn what_was_there_before_the_follower_comes_with_the_base_backup() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)");
    leader.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
         INSERT INTO t SELECT i, randomblob(100) FROM n",
    );
    let follower = lab.follower(&leader);
    assert_eq!(follower.sql("SELECT count(*) FROM t"), "20000");
    leader.sql("DELETE FROM t WHERE id % 3 = 0");
    assert_identical(&leader, &follower, "postgres");
}

#[test]
fn a_base_backup_taken_under_writes_is_consistent() {
    let lab = Lab::new();
    let leader = lab.leader();
    let load = walship_tests::Load::start(&leader, 8);
    load.wait_for(500);
    let follower = lab.follower(&leader);
    load.wait_for(200);
    let record = load.finish();
    assert_identical(&leader, &follower, "postgres");
    record.verify(&follower);
}
