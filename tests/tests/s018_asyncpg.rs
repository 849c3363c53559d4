//! asyncpg with its pool and the reset between two users of a connection.

use walship_tests::{Lab, assert_identical, python_driver};

#[test]
fn asyncpg_works_unchanged() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    assert_eq!(python_driver("with_asyncpg.py", leader.port()).success(), "ok");
    assert_identical(&leader, &follower, "postgres");
}
