//! A database that shrinks and grows again is the same on both sides after each step:
//! truncated pages are forgotten, and come back in full.

use walship_tests::{Lab, Node, assert_identical};

fn fill(leader: &Node, rows: u32) {
    leader.sql(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
         INSERT INTO t SELECT NULL, randomblob(700) FROM n"
    ));
}

fn shrink_and_regrow(leader: &Node, follower: &Node) {
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)");
    for round in 1..=3 {
        fill(leader, 2000 * round);
        assert_identical(leader, follower, "postgres");
        leader.sql("DELETE FROM t WHERE id % 50 <> 0");
        leader.sql("VACUUM");
        assert_identical(leader, follower, "postgres");
        fill(leader, 500);
        leader.sql("UPDATE t SET v = randomblob(300) WHERE id % 7 = 0");
        assert_identical(leader, follower, "postgres");
    }
}

#[test]
fn vacuum_and_growth_again() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    shrink_and_regrow(&leader, &follower);
}

#[test]
fn vacuum_and_growth_again_while_the_follower_is_away() {
    let lab = Lab::new();
    let leader = lab.leader();
    let mut follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)");
    fill(&leader, 4000);
    assert_identical(&leader, &follower, "postgres");
    follower.stop();
    leader.sql("DELETE FROM t WHERE id > 10");
    leader.sql("VACUUM");
    fill(&leader, 6000);
    leader.sql("DELETE FROM t WHERE id > 3000");
    leader.sql("VACUUM");
    fill(&leader, 100);
    follower.start();
    assert_identical(&leader, &follower, "postgres");
}

#[test]
fn incremental_auto_vacuum_truncates_and_moves_pages() {
    let lab = Lab::new();
    let leader = lab.leader();
    let source = lab.path().join("auto.db");
    walship_tests::sqlite3(
        &source,
        "PRAGMA auto_vacuum = full; CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB);",
    )
    .success();
    lab.import(&leader, &source, "auto");
    let follower = lab.follower(&leader);
    let session = leader.connect_to("auto");
    for _ in 0..3 {
        session.run(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) \
             INSERT INTO t SELECT NULL, randomblob(900) FROM n",
        );
        session.run("DELETE FROM t WHERE id % 3 <> 0");
        assert_identical(&leader, &follower, "auto");
    }
}
