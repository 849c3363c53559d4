//! node-postgres with its pool, in text and binary.

use walship_tests::{Lab, assert_identical, node_driver};

#[test]
fn node_postgres_works_unchanged() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    assert_eq!(node_driver("with_node_postgres.js", leader.port()).success(), "ok");
    assert_identical(&leader, &follower, "postgres");
}
