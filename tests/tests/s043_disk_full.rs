//! A full disk: the leader refuses writes before anything changed, reads and ships on, and takes writes again by itself
//! once there is room; a follower pauses and resumes.

use walship_tests::{Lab, Node, Role, SmallDisk, assert_identical, wait_caught_up, wait_until};

const INSERT: &str = "INSERT INTO t(v) VALUES (randomblob(100000))";

fn rows(node: &Node) -> u64 {
    node.sql("SELECT count(*) FROM t").parse().unwrap()
}

#[test]
fn the_leader_refuses_writes_and_takes_them_again() {
    let lab = Lab::new();
    let disk = SmallDisk::mount(&lab.path().join("leader"));
    let leader = lab.leader_with(&["--wal-segment-size=1MB"]);
    let follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)");
    let session = leader.connect();
    session.run(INSERT);

    disk.fill();
    // segments that were made ahead take a few more
    let mut acknowledged = 1;
    let refused = loop {
        match session.query(INSERT) {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 1000, "the disk does not get full");
    };
    assert_eq!(refused.code, "53100", "{refused}");
    // the same again, inside a transaction and as DDL; the session lives
    session.run("BEGIN");
    let again = (0..1000).find_map(|_| session.query(INSERT).err()).or_else(|| session.query("COMMIT").err());
    assert_eq!(again.expect("a transaction went through").code, "53100");
    session.run("ROLLBACK");

    // nothing changed, reads go on, and what was acknowledged is shipped
    assert_eq!(rows(&leader), acknowledged);
    assert_eq!(session.value("PRAGMA integrity_check"), "ok");
    wait_caught_up(&leader, &follower);
    assert_eq!(rows(&follower), acknowledged);

    // no restart, no command: room is enough
    disk.make_room();
    wait_until("the leader takes writes again", || session.query(INSERT).is_ok());
    assert_eq!(rows(&leader), acknowledged + 1);
    assert_identical(&leader, &follower, "postgres");
}

#[test]
fn the_leader_recovers_on_a_full_disk() {
    let lab = Lab::new();
    let disk = SmallDisk::mount(&lab.path().join("leader"));
    let mut leader = lab.leader_with(&["--wal-segment-size=1MB"]);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)");
    let session = leader.connect();
    disk.fill();
    let mut acknowledged = 0;
    while session.query(INSERT).is_ok() {
        acknowledged += 1;
    }
    leader.kill();
    disk.make_room();
    leader.start();
    assert_eq!(rows(&leader), acknowledged);
    leader.sql(INSERT);
}

#[test]
fn a_follower_pauses_and_resumes() {
    let lab = Lab::new();
    let leader = lab.leader_with(&["--wal-segment-size=1MB"]);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)");
    let disk = SmallDisk::mount(&lab.path().join("follower"));
    let conninfo = format!("host=127.0.0.1 port={} user=postgres", leader.port());
    let mut follower = lab.node(Role::Follower, "follower", &["--primary", &conninfo, "--name", "follower"]);
    follower.start();
    let session = leader.connect();
    session.run(INSERT);
    wait_caught_up(&leader, &follower);

    disk.fill();
    let before = rows(&follower);
    for _ in 0..60 {
        session.run(INSERT);
    }
    wait_until("the follower says that it waits for room", || follower.log().contains("no room"));
    assert!(follower.process().exited().is_none());
    assert!(rows(&follower) >= before, "reads go on");
    let shown = leader.sql("SELECT count(*) FROM pg_stat_replication WHERE application_name = 'follower'");
    assert_eq!(shown, "1", "the connection stays");
    wait_until("what it has room for is durable", || {
        let level = "SELECT flush_lsn = write_lsn AND write_lsn < sent_lsn FROM pg_stat_replication";
        leader.sql(level) == "t"
    });

    disk.make_room();
    assert_identical(&leader, &follower, "postgres");
    assert_eq!(rows(&follower), 61);
}
