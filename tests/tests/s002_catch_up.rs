//! A follower that was stopped resumes where it was and catches up.

use walship_tests::{Lab, Load, assert_identical, wait_until};

#[test]
fn a_stopped_follower_catches_up() {
    let lab = Lab::new();
    let leader = lab.leader();
    let mut follower = lab.follower(&leader);
    let load = Load::start(&leader, 8);
    load.wait_for(200);
    follower.stop();
    load.wait_for(2000);
    follower.start();
    load.wait_for(200);
    let record = load.finish();
    assert_identical(&leader, &follower, "postgres");
    record.verify(&follower);
}

#[test]
fn neither_minds_the_other_stopping_in_any_order() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let mut follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(v INTEGER)");
    for round in 0..3 {
        leader.sql(&format!("INSERT INTO t VALUES ({round})"));
        leader.stop();
        // everything up to the shutdown checkpoint was shipped before the leader ended: the
        // follower has it durably, and replays it without anybody's help
        wait_until("what was shipped is replayed", || {
            follower.sql("SELECT count(*) FROM t") == (round + 1).to_string()
        });
        follower.restart();
        leader.start();
        // only to those who are there can anything be shipped before the next stop
        wait_until("the follower streams again", || {
            leader.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1"
        });
    }
    assert_identical(&leader, &follower, "postgres");
}
