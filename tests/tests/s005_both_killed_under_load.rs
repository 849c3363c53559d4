//! Thousands of transactions from sixteen clients while leader and follower are
//! killed again and again: nothing acknowledged is lost, and the two end identical.

use rand::Rng;
use walship_tests::{Lab, Load, assert_identical};

const CLIENTS: usize = 16;
const KILLS: usize = 12;

#[test]
fn sixteen_clients_survive_repeated_crashes_of_both() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let mut follower = lab.follower(&leader);
    let load = Load::start(&leader, CLIENTS);
    let mut random = rand::rng();
    for _ in 0..KILLS {
        load.wait_for(random.random_range(50..500));
        match random.random_range(0..3) {
            0 => leader.kill(),
            1 => follower.kill(),
            _ => {
                leader.kill();
                follower.kill();
            }
        }
        leader.start_if_down();
        follower.start_if_down();
    }
    load.wait_for(1000);
    let record = load.finish();
    assert!(record.len() >= 2000, "only {} commits were acknowledged", record.len());
    assert_identical(&leader, &follower, "postgres");
    record.verify(&leader);
    record.verify(&follower);
}
