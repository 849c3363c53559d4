//! kill -9 of the leader at any moment: nothing acknowledged is lost, the follower
//! reconnects by itself and ends identical.

use walship_tests::{Lab, Load, assert_identical};

#[test]
fn a_killed_leader_loses_nothing_acknowledged() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let follower = lab.follower(&leader);
    let load = Load::start(&leader, 8);
    for _ in 0..5 {
        load.wait_for(300);
        leader.kill();
        leader.start();
    }
    load.wait_for(100);
    let record = load.finish();
    record.verify(&leader);
    assert_identical(&leader, &follower, "postgres");
}

#[test]
fn a_leader_killed_between_checkpoints_replays_its_log() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let load = Load::start(&leader, 4);
    load.wait_for(200);
    leader.sql("CHECKPOINT");
    load.wait_for(200);
    leader.kill();
    leader.start();
    leader.sql("CHECKPOINT");
    leader.kill();
    leader.start();
    load.wait_for(50);
    load.finish().verify(&leader);
}
