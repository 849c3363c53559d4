//! A leader archives its log: every segment, once, in order, whatever happens to it or to
//! the archive meanwhile; and keeps it until then.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use walship_tests::{Lab, Load, Node, TestArchive, golden, wait_caught_up, wait_until};

/// A directory for the archive, and the setting that names it.
fn archive(lab: &Lab) -> (PathBuf, String) {
    let archive = TestArchive::new(lab);
    (archive.path().to_owned(), archive.setting())
}

fn names(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// The archive is without a gap from the first segment to the one before the log's end.
fn assert_complete(archive: &Path, node: &Node) {
    let last = node.sql("SELECT pg_walfile_name(pg_switch_wal())");
    wait_until("the last segment is archived", || archive.join(&last).exists());
    let number = |name: &str| u64::from_str_radix(&name[16..], 16).unwrap();
    for n in 1..=number(&last) {
        let name = format!("00000001{:08X}{n:08X}", 0);
        assert!(archive.join(&name).exists(), "{name} is not in the archive: {:?}", names(archive));
    }
}

fn archiver(node: &Node, column: &str) -> String {
    node.sql(&format!("SELECT {column} FROM pg_stat_archiver"))
}

#[test]
fn every_segment_is_archived_through_crashes() {
    let lab = Lab::new();
    let (path, setting) = archive(&lab);
    let arguments = [
        "--wal-segment-size",
        "1MB",
        "-c",
        "archive_mode=on",
        "-c",
        &setting,
        "-c",
        "max_wal_size=4MB",
        "-c",
        "min_wal_size=2MB",
    ];
    let mut leader = lab.leader_with(&arguments);
    leader.sql("CREATE TABLE big(v)");
    let load = Load::start(&leader, 2);
    for round in 0..4 {
        load.wait_for(30);
        leader.sql("INSERT INTO big VALUES (randomblob(1500000))");
        if round % 2 == 1 {
            leader.kill();
            leader.start();
        }
    }
    load.finish();
    leader.sql("CHECKPOINT");
    assert_complete(&path, &leader);
    // what the leader still has is what the archive has
    for name in names(&leader.dir().join("pg_wal")) {
        if path.join(&name).is_file() {
            let own = fs::read(leader.dir().join("pg_wal").join(&name)).unwrap();
            assert!(own == fs::read(path.join(&name)).unwrap(), "{name} differs");
        }
    }
    // a clean stop archives what the last segment holds
    leader.sql("INSERT INTO big VALUES (1)");
    let last = leader.sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
    leader.stop();
    assert!(path.join(&last).exists(), "{last}: {:?}", names(&path));
    assert!(!names(&path).iter().any(|name| name.starts_with('.')), "{:?}", names(&path));
}

#[test]
fn nothing_is_removed_before_a_failing_command_succeeds() {
    let lab = Lab::new();
    let (path, _) = archive(&lab);
    let conf = |command: &str| format!("archive_command = '{command}'\n");
    let leader = lab.leader_with(&[
        "--wal-segment-size",
        "1MB",
        "-c",
        "archive_mode=on",
        "-c",
        "max_wal_size=4MB",
        "-c",
        "min_wal_size=2MB",
    ]);
    let write = |command: &str| {
        fs::write(leader.dir().join("postgresql.conf"), conf(command)).unwrap();
        leader.sql("SELECT pg_reload_conf()");
    };
    write(&format!("test -e {0}/mounted && cp %p {0}/%f", path.display()));
    leader.sql("CREATE TABLE t(v)");
    for n in 0..12 {
        // commits go on: nobody waits for an archive
        leader.sql(&format!("INSERT INTO t VALUES ({n}), (randomblob(700000)); CHECKPOINT"));
    }
    wait_until("failures are counted", || archiver(&leader, "failed_count >= 2") == "t");
    assert_eq!(archiver(&leader, "archived_count, last_failed_wal"), "0|000000010000000000000001");
    assert!(leader.dir().join("pg_wal/000000010000000000000001").exists());
    let line = leader.log().lines().find(|line| line.contains("could not archive")).unwrap().to_owned();
    let line = line.split_once("WARNING:").map_or(line.as_str(), |(_, rest)| rest).trim();
    let waiting = regex::Regex::new(r"\d+ files? waits?").unwrap();
    golden("archive_command_fails", &waiting.replace(line, "$$N files wait"), lab.path());
    // and that the log grows is said at each checkpoint
    wait_until("it is told", || leader.log().contains("of log that is not archived"));
    let line =
        leader.log().lines().find(|line| line.contains("of log that is not archived")).unwrap().to_owned();
    let line = line.split_once("WARNING:").map_or(line.as_str(), |(_, rest)| rest).trim();
    let kept = regex::Regex::new(r"keeps \d+ MB").unwrap();
    golden("archive_behind", &kept.replace_all(line, "keeps $$N MB"), lab.path());
    // a reload makes it try again at once, not after the pause
    fs::write(path.join("mounted"), "").unwrap();
    write(&format!("cp %p {}/%f", path.display()));
    assert_complete(&path, &leader);
    leader.sql("CHECKPOINT");
    assert!(!leader.dir().join("pg_wal/000000010000000000000001").exists(), "an archived segment is kept");
    assert!(!leader.dir().join("pg_wal/archive_status/000000010000000000000001.done").exists());
    assert_eq!(archiver(&leader, "failed_count >= 2 AND archived_count >= 8"), "t");
    // over SQL nobody sets a command
    let refused = leader.psql("postgres", &["-c", "ALTER SYSTEM SET archive_command = 'true'"]);
    golden("archive_command_over_sql", &refused.transcript(), lab.path());
}

#[test]
fn an_archive_of_another_cluster_is_never_written_over() {
    let lab = Lab::new();
    let (path, setting) = archive(&lab);
    let name = "000000010000000000000001";
    fs::write(path.join(name), "somebody else's").unwrap();
    let leader = lab.leader_with(&["-c", "archive_mode=on", "-c", &setting]);
    leader.sql("CREATE TABLE t(v)");
    leader.sql("SELECT pg_switch_wal()");
    wait_until("a failure is counted", || archiver(&leader, "last_failed_wal") == name);
    assert_eq!(fs::read(path.join(name)).unwrap(), b"somebody else's");
    let line = leader.log().lines().find(|line| line.contains("could not archive")).unwrap().to_owned();
    let line = line.split_once("WARNING:").map_or(line.as_str(), |(_, rest)| rest).trim();
    golden("archive_of_another_cluster", line, lab.path());
}

#[test]
fn a_slow_command_holds_nothing_up_and_a_time_out_archives_a_quiet_leader() {
    let lab = Lab::new();
    let (path, _) = archive(&lab);
    let mut leader = lab.leader_with(&["-c", "archive_mode=on"]);
    let command =
        format!("archive_command = 'cp %p {}/%f; sleep 600'\narchive_timeout = 1\n", path.display());
    fs::write(leader.dir().join("postgresql.conf"), command).unwrap();
    leader.sql("SELECT pg_reload_conf()");
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES (1)");
    let first = path.join("000000010000000000000001");
    wait_until("the time-out ends the segment", || first.exists());
    leader.sql("INSERT INTO t VALUES (2); CHECKPOINT");
    assert_eq!(archiver(&leader, "archived_count"), "0");
    // the command is ended with the server, and is not taken for a success
    leader.stop();
    assert!(leader.log().contains("the next start goes on with it"), "{}", leader.log());
    let status = names(&leader.dir().join("pg_wal/archive_status"));
    assert!(status.contains("000000010000000000000001.ready"), "{status:?}");
}

#[test]
fn a_promotion_archives_its_history_and_what_the_old_timeline_left() {
    let lab = Lab::new();
    let (path, setting) = archive(&lab);
    let archiving = ["-c", "archive_mode=on", "-c", setting.as_str()];
    let mut leader = lab.leader_with(&archiving);
    let follower = lab.follower_with("follower", leader.port(), &archiving);
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES (1)");
    leader.sql("SELECT pg_switch_wal()");
    leader.sql("INSERT INTO t VALUES (2)");
    wait_caught_up(&leader, &follower);
    wait_until("the first segment is archived", || path.join("000000010000000000000001").exists());
    leader.kill();
    lab.walctl(&["promote", "-D", follower.dir().to_str().unwrap()]).success();
    follower.sql("INSERT INTO t VALUES (3)");
    follower.sql("SELECT pg_switch_wal()");
    let expected: BTreeSet<String> = [
        "000000010000000000000001",
        "000000010000000000000002.partial",
        "00000002.history",
        "000000020000000000000002",
    ]
    .map(str::to_owned)
    .into();
    wait_until("both timelines are archived", || names(&path) == expected);
    assert_eq!(follower.sql("SELECT group_concat(v) FROM t"), "1,2,3");
    assert_eq!(archiver(&follower, "failed_count"), "0");
}

#[test]
fn a_follower_archives_what_it_receives_when_told_to() {
    let lab = Lab::new();
    let (path, setting) = archive(&lab);
    let leader = lab.leader_with(&["--wal-segment-size", "1MB"]);
    let mut follower =
        lab.follower_with("follower", leader.port(), &["-c", "archive_mode=always", "-c", &setting]);
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES (randomblob(2500000))");
    let last = leader.sql("SELECT pg_walfile_name(pg_switch_wal())");
    wait_until("the follower has archived it", || path.join(&last).exists());
    follower.kill();
    leader.sql("INSERT INTO t VALUES (randomblob(2500000))");
    let last = leader.sql("SELECT pg_walfile_name(pg_switch_wal())");
    follower.start();
    wait_until("the follower has archived that too", || path.join(&last).exists());
    for name in names(&path) {
        assert!(
            fs::read(path.join(&name)).unwrap() == fs::read(leader.dir().join("pg_wal").join(&name)).unwrap()
        );
    }
    assert_eq!(archiver(&follower, "failed_count"), "0");
    assert_eq!(names(&path).len(), usize::from_str_radix(&last[16..], 16).unwrap());
}

#[test]
fn a_switchover_leaves_an_archive_without_a_gap() {
    let lab = Lab::new();
    let (path, setting) = archive(&lab);
    let archiving = ["-c", "archive_mode=on", "-c", setting.as_str()];
    let first = lab.leader_with(&[&["--wal-segment-size", "1MB"], archiving.as_slice()].concat());
    let second = lab.follower_with("second", first.port(), &archiving);
    let conninfo = |node: &Node| format!("host=127.0.0.1 port={} user=postgres", node.port());
    first.sql("CREATE TABLE t(v); INSERT INTO t VALUES ('of the first')");
    lab.base_backup(&first, "backup");
    for (from, to) in [(&first, &second), (&second, &first)] {
        wait_caught_up(from, to);
        lab.walctl(&["switchover", "--from", &conninfo(from), "--to", &conninfo(to)]).success();
        to.sql("INSERT INTO t VALUES (randomblob(1500000)), ('of another timeline')");
    }
    let last = first.sql("SELECT pg_walfile_name(pg_switch_wal())");
    wait_until("the third timeline is archived", || path.join(&last).exists());
    assert!(path.join("00000003.history").exists());
    lab.restore("backup", "restored", &[]).success();
    walship_tests::pages::assert_same(
        &first.database("postgres"),
        &lab.path().join("restored/base/postgres.db"),
    );
    for node in [&first, &second] {
        assert_eq!(archiver(node, "failed_count"), "0", "{}", node.log());
    }
}
