//! The stock `pg_receivewal` goes through a promotion: its archive has the segments of
//! both timelines, byte for byte.

use std::path::Path;
use std::process::Command;

use walship_tests::{Lab, Node, Process, Role, output_of, postgres_program, wait_caught_up, wait_until};

fn receivewal(node: &Node, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(postgres_program("pg_receivewal"));
    command.args(["-h", "127.0.0.1", "-U", "postgres", "-p"]).arg(node.port().to_string());
    command.arg("-D").arg(directory).args(arguments);
    command
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Each complete segment in the archive is the node's own, as long as the node has it.
fn assert_archive(archive: &Path, node: &Node) {
    for name in names(archive).iter().filter(|name| name.len() == 24) {
        if let Ok(own) = std::fs::read(node.dir().join("pg_wal").join(name)) {
            assert!(std::fs::read(archive.join(name)).unwrap() == own, "{name} differs");
        }
    }
}

fn pair(lab: &Lab) -> (Node, Node) {
    let mut leader = lab.node(Role::Leader, "leader", &["--wal-segment-size", "1MB"]);
    leader.start();
    let follower = lab.follower_with("next", leader.port(), &["-c", "wal_keep_size=64MB"]);
    leader.sql("CREATE TABLE t(v)");
    leader.sql("INSERT INTO t VALUES(randomblob(1500000))");
    wait_caught_up(&leader, &follower);
    (leader, follower)
}

#[test]
fn it_streams_over_a_promotion_and_one_that_comes_later_does_too() {
    let lab = Lab::new();
    let (mut leader, next) = pair(&lab);
    let archive = lab.path().join("archive");
    std::fs::create_dir(&archive).unwrap();
    let log = lab.path().join("receivewal.log");
    let late = lab.path().join("late");
    std::fs::create_dir(&late).unwrap();
    let receive =
        receivewal(&next, &archive, &["-n", "-v", "--slot", "archive", "--create-slot", "--if-not-exists"]);
    assert_eq!(output_of(&mut { receive }).status, Some(0));
    let mut running = Process::spawn(
        "pg_receivewal",
        receivewal(&next, &archive, &["-n", "-v", "--slot", "archive"]),
        &log,
    );
    wait_until("it streams", || names(&archive).iter().any(|name| name.ends_with(".partial")));
    for name in names(&next.dir().join("pg_wal")).iter().filter(|name| name.len() == 24).take(1) {
        // one that has the first segment, and comes back when the timeline was left long ago
        std::fs::copy(next.dir().join("pg_wal").join(name), late.join(name)).unwrap();
    }
    leader.kill();
    lab.walctl(&["promote", "-D", next.dir().to_str().unwrap()]).success();
    next.sql("INSERT INTO t VALUES(randomblob(2500000))");
    wait_until("it has segments of the new timeline", || {
        names(&archive).iter().any(|name| name.starts_with("00000002") && name.len() == 24)
    });
    assert!(names(&archive).contains(&"00000002.history".to_owned()));
    let end = next.sql("SELECT pg_current_wal_flush_lsn()");
    // it ends only when it has more than that
    next.sql("INSERT INTO t VALUES(1)");
    running.signal(libc::SIGINT);
    assert!(
        running.wait_exit(walship_tests::DEADLINE).success(),
        "{}",
        std::fs::read_to_string(&log).unwrap()
    );
    assert_archive(&archive, &next);
    let output = output_of(&mut receivewal(&next, &late, &["-n", "-v", "--endpos", &end]));
    assert_eq!(output.status, Some(0), "{}", output.stderr);
    assert_archive(&late, &next);
    assert!(
        names(&late).iter().any(|name| name.starts_with("00000002") && name.len() == 24),
        "{:?}",
        names(&late)
    );
}

#[test]
fn it_starts_exactly_where_a_timeline_was_left() {
    let lab = Lab::new();
    let (mut leader, next) = pair(&lab);
    // ends the log with a segment, so that the switch is where the next one starts
    leader.sql("SELECT pg_switch_wal()");
    wait_until("the rest of the segment is flushed", || {
        leader.sql("SELECT pg_current_wal_flush_lsn()").ends_with("00000")
    });
    wait_caught_up(&leader, &next);
    leader.kill();
    lab.walctl(&["promote", "-D", next.dir().to_str().unwrap()]).success();
    next.sql("INSERT INTO t VALUES(randomblob(1500000))");
    let history = std::fs::read_to_string(next.dir().join("pg_wal/00000002.history")).unwrap();
    let archive = lab.path().join("archive");
    std::fs::create_dir(&archive).unwrap();
    for name in names(&next.dir().join("pg_wal"))
        .iter()
        .filter(|name| name.len() == 24 && name.starts_with("00000001"))
    {
        std::fs::copy(next.dir().join("pg_wal").join(name), archive.join(name)).unwrap();
    }
    assert!(history.contains("00000\t"), "the switch is at a segment's start: {history}");
    let end = next.sql("SELECT pg_current_wal_flush_lsn()");
    // it ends only when it has more than that
    next.sql("INSERT INTO t VALUES(1)");
    let output = output_of(&mut receivewal(&next, &archive, &["-n", "-v", "--endpos", &end]));
    assert_eq!(output.status, Some(0), "{}", output.stderr);
    assert_archive(&archive, &next);
    assert!(names(&archive).iter().any(|name| name.starts_with("00000002") && name.len() == 24));
}
