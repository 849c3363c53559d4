//! A cluster holds any number of databases that share one log; creating and dropping
//! them travels like any commit.

use walship_tests::{Lab, assert_identical, wait_caught_up};

#[test]
fn databases_are_created_written_and_dropped() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let mut follower = lab.follower(&leader);
    for name in ["north", "south", "under_score-dash"] {
        leader.sql(&format!("CREATE DATABASE \"{name}\""));
        let session = leader.connect_to(name);
        session.run("CREATE TABLE t(v TEXT)");
        session.run(&format!("INSERT INTO t VALUES ('{name}')"));
    }
    wait_caught_up(&leader, &follower);
    for name in ["north", "south", "under_score-dash"] {
        assert_eq!(follower.connect_to(name).value("SELECT v FROM t"), name);
        assert_identical(&leader, &follower, name);
    }
    leader.sql("DROP DATABASE south");
    wait_caught_up(&leader, &follower);
    assert!(!follower.database("south").exists(), "a dropped database stays on the follower");
    assert_eq!(
        follower.sql("SELECT datname FROM pg_database ORDER BY 1"),
        "north\npostgres\nunder_score-dash"
    );

    // a new database of an old name is another one
    leader.sql("CREATE DATABASE south");
    leader.connect_to("south").run("CREATE TABLE other(v)");
    follower.kill();
    leader.kill();
    leader.start();
    follower.start();
    assert_identical(&leader, &follower, "south");
    assert_identical(&leader, &follower, "north");
}

#[test]
fn a_missing_database_is_3d000_with_a_list() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE DATABASE north");
    let said = leader.psql("nowhere", &["-c", "SELECT 1"]).failure();
    walship_tests::golden("missing_database", &said, lab.path());
    for (statement, code) in [
        ("CREATE DATABASE north", "42P04"),
        ("DROP DATABASE nowhere", "3D000"),
        ("CREATE DATABASE \"Upper\"", "42602"),
        ("DROP DATABASE postgres", "55006"),
    ] {
        assert_eq!(leader.connect().error(statement).code, code, "{statement}");
    }
    leader.sql("DROP DATABASE IF EXISTS nowhere");
}

#[test]
fn transactions_of_several_databases_at_once() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    let names = ["a", "b", "c"];
    for name in names {
        leader.sql(&format!("CREATE DATABASE {name}"));
        leader.connect_to(name).run("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)");
    }
    let port = leader.port();
    let writers: Vec<_> = names
        .into_iter()
        .map(|name| {
            std::thread::spawn(move || {
                let session = walship_tests::Session::connect(port, name).unwrap();
                for _ in 0..100 {
                    session.run(
                        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50) \
                         INSERT INTO t SELECT NULL, randomblob(600) FROM n",
                    );
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    for name in names {
        assert_identical(&leader, &follower, name);
        assert_eq!(follower.connect_to(name).value("SELECT count(*) FROM t"), "5000");
    }
}
