//! kill -9 of the follower at any moment: it recovers by itself, and readers never
//! see an older state than one that was seen before.

use walship_tests::{Lab, Load, assert_identical};

#[test]
fn a_killed_follower_recovers_and_ends_identical() {
    let lab = Lab::new();
    let leader = lab.leader();
    let mut follower = lab.follower(&leader);
    let load = Load::start(&leader, 8);
    let mut seen = 0;
    for _ in 0..5 {
        load.wait_for(300);
        let rows: u64 = follower.sql("SELECT count(*) FROM ledger").parse().unwrap();
        assert!(rows >= seen, "{rows} rows after {seen} were seen");
        seen = rows;
        follower.kill();
        load.wait_for(100);
        follower.start();
        let rows: u64 = follower.sql("SELECT count(*) FROM ledger").parse().unwrap();
        assert!(rows >= seen, "{rows} rows after a crash, {seen} were seen before it");
        seen = rows;
    }
    let record = load.finish();
    assert_identical(&leader, &follower, "postgres");
    record.verify(&follower);
}
