//! A rewind that is killed at any of its steps can be run again, and a node is not open
//! before one has come to its end.

use walship_tests::{assert_identical, output_of, program};

use super::s100_rewind::Split;

/// In the order in which they come.
const STEPS: [&str; 11] = [
    "recovered",
    "listed",
    "marked",
    "kept",
    "begun",
    "cut",
    "fetching",
    "fetched",
    "received",
    "replaying",
    "replayed",
];

const BEFORE: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 3000)
    INSERT INTO t SELECT i, hex(randomblob(100)) FROM n";

/// Runs `walctl rewind`, which kills itself at `step`.
fn killed_at(split: &Split, step: &str, kept: &str) {
    let mut command = std::process::Command::new(program("walctl"));
    command.args(["rewind", "-D", split.old.dir().to_str().unwrap(), "--source", &split.source()]);
    command.args(["--name", "old", "--keep-lost", kept]).env("WALSHIP_REWIND_KILL_AT", step);
    let output = output_of(&mut command);
    assert_eq!(output.status, None, "{step}: {}{}", output.stdout, output.stderr);
}

#[test]
fn a_rewind_killed_at_every_step_in_turn_is_completed_by_the_next() {
    let lost = ["UPDATE t SET v = 'lost' WHERE id % 700 = 0", "DELETE FROM t WHERE id > 2000", "VACUUM"];
    let mut split = Split::make(BEFORE, &lost, "UPDATE t SET v = 'new' WHERE id % 900 = 0");
    let kept = split.lab.path().join("kept");
    let kept = kept.to_str().unwrap();
    for step in STEPS {
        // each attempt finds what the one before has left
        killed_at(&split, step, kept);
        split.new.sql("UPDATE t SET v = v || '.' WHERE id = 42");
        if ["marked", "cut", "fetched", "replayed"].contains(&step) {
            let refused = split.lab.run("walreceiver", &["-D", split.old.dir().to_str().unwrap()]);
            assert_eq!(refused.status, Some(1));
            assert!(refused.stderr.contains("was interrupted"), "{}", refused.stderr);
        }
    }
    let text = split.rewind(&["--keep-lost", kept]).success();
    assert_eq!(text.lines().filter(|line| line.starts_with("lost: ")).count(), lost.len(), "{text}");
    assert_eq!(
        walship_tests::sqlite3(&split.lab.path().join("kept/postgres.db"), "SELECT max(id) FROM t").success(),
        "2000"
    );
    let follower = split.follower();
    assert_identical(&split.new, &follower, "postgres");
}

#[test]
fn a_rewind_that_was_interrupted_while_it_replayed_may_go_to_another_source() {
    let mut split = Split::make(BEFORE, &["UPDATE t SET v = 'lost' WHERE id % 700 = 0"], "SELECT 1");
    let other = split.lab.follower_with("other", split.new.port(), &[]);
    walship_tests::wait_caught_up(&split.new, &other);
    // the first source goes on alone, and is rewound against; then the other is promoted
    let mut frozen = other;
    frozen.kill();
    split.new.sql("UPDATE t SET v = 'of no account' WHERE id < 500");
    killed_at(&split, "replayed", split.lab.path().join("kept").to_str().unwrap());
    split.new.kill();
    frozen.start();
    split.lab.walctl(&["promote", "-D", frozen.dir().to_str().unwrap()]).success();
    frozen.sql("UPDATE t SET v = 'in the end' WHERE id > 2900");
    split.new = frozen;
    split.rewind(&[]).success();
    let follower = split.follower();
    assert_identical(&split.new, &follower, "postgres");
    assert_eq!(follower.sql("SELECT count(*) FROM t WHERE v = 'of no account'"), "0");
}
