//! A follower feeds followers, through crashes of the one in the middle.

use walship_tests::{Lab, Load, assert_identical, wait_caught_up};

#[test]
fn a_follower_of_a_follower_is_identical() {
    let lab = Lab::new();
    let leader = lab.leader();
    let mut middle = lab.follower_with("middle", leader.port(), &[]);
    leader.sql("CREATE TABLE before(v)");
    wait_caught_up(&leader, &middle);
    let mut last = lab.follower_with("last", middle.port(), &[]);
    let load = Load::start(&leader, 8);
    load.wait_for(300);
    middle.kill();
    load.wait_for(300);
    middle.start();
    last.stop();
    load.wait_for(300);
    last.start();
    load.wait_for(100);
    let record = load.finish();
    wait_caught_up(&leader, &middle);
    assert_identical(&leader, &middle, "postgres");
    assert_identical(&middle, &last, "postgres");
    record.verify(&last);
    assert_eq!(last.sql("SELECT pg_is_in_recovery()"), "t");
    assert_eq!(
        middle.sql("SELECT application_name FROM pg_stat_replication"),
        "last",
        "the one in the middle shows whom it feeds"
    );
}

#[test]
fn several_followers_of_one_leader() {
    let lab = Lab::new();
    let leader = lab.leader();
    let followers: Vec<_> =
        ["one", "two", "three"].into_iter().map(|name| lab.follower_with(name, leader.port(), &[])).collect();
    let load = Load::start(&leader, 8);
    load.wait_for(1000);
    let record = load.finish();
    for follower in &followers {
        assert_identical(&leader, follower, "postgres");
        record.verify(follower);
    }
    assert_eq!(
        leader.sql(
            "SELECT group_concat(slot_name, ' ') FROM (SELECT slot_name FROM pg_replication_slots ORDER BY 1)"
        ),
        "one three two"
    );
}
