//! psycopg 3: values in and out in text and binary, errors, savepoints, COPY, pipelines.

use walship_tests::{Lab, assert_identical, python_driver};

#[test]
fn psycopg_works_unchanged() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    assert_eq!(python_driver("with_psycopg.py", leader.port()).success(), "ok");
    assert_identical(&leader, &follower, "postgres");
}
