//! What walctl restore makes is a cluster: it starts as a leader on a timeline of its own,
//! can be backed up, followed and restored again; and every kind of target ends it where it
//! says.

use std::fs;

use walship_tests::{Lab, Node, Port, Role, TestArchive, assert_identical, wait_until};

const ROWS: &str = "SELECT group_concat(v, ' ') FROM t";

/// Starts what was restored.
fn start(lab: &Lab, name: &str) -> Node {
    let mut node = lab.node(Role::Leader, name, &[]);
    node.start();
    node
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

struct Scene {
    lab: Lab,
    archive: TestArchive,
    leader: Node,
}

fn scene() -> Scene {
    let lab = Lab::new();
    let archive = TestArchive::new(&lab);
    let leader = archive.leader(&lab);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES ('one')");
    lab.base_backup(&leader, "backup");
    Scene { lab, archive, leader }
}

#[test]
fn each_kind_of_target_ends_recovery_where_it_says() {
    let Scene { lab, archive, leader } = scene();
    leader.sql("INSERT INTO t(v) VALUES ('two')");
    let lsn = leader.sql("SELECT pg_current_wal_lsn()");
    leader.sql("INSERT INTO t(v) VALUES ('three')");
    let time = leader.sql("SELECT now()");
    leader.sql("INSERT INTO t(v) VALUES ('four')");
    leader.sql("SELECT pg_create_restore_point('before the mistake')");
    leader.sql("DELETE FROM t");
    archive.complete(&leader);
    let targets: [(&[&str], &str); 7] = [
        (&["--target", "immediate"], "one"),
        (&["--target-lsn", &lsn], "one two"),
        (&["--target-lsn", &lsn, "--inclusive"], "one two"),
        (&["--target-lsn", &lsn, "--exclusive"], "one"),
        (&["--target-time", &time], "one two three"),
        (&["--target-name", "before the mistake"], "one two three four"),
        (&[], ""),
    ];
    for (n, (target, expected)) in targets.into_iter().enumerate() {
        let name = format!("restored{n}");
        lab.restore("backup", &name, target).success();
        let mut restored = start(&lab, &name);
        assert_eq!(restored.sql(ROWS), expected, "{target:?}");
        restored.stop();
    }
}

#[test]
fn a_restored_cluster_is_a_new_one() {
    let Scene { lab, archive, leader } = scene();
    leader.sql("INSERT INTO t(v) VALUES ('two')");
    archive.complete(&leader);
    let system_id = |node: &Node| node.sql("SELECT system_identifier FROM pg_control_system()");
    let told = json(&lab.restore("backup", "clone", &["--json"]).success());
    assert_eq!(told["timeline"], 2, "{told}");
    assert_eq!(told["databases"], serde_json::json!(["postgres"]));
    assert_eq!(told["archiving_turned_off"], false, "{told}");
    let mut clone = start(&lab, "clone");
    assert_eq!(clone.sql(ROWS), "one two");
    assert_eq!(clone.sql("SELECT pg_is_in_recovery()"), "f");
    assert_eq!(system_id(&clone), told["system_id"].as_str().unwrap());
    assert_ne!(system_id(&clone), system_id(&leader));
    assert!(clone.sql("SELECT pg_walfile_name(pg_current_wal_lsn())").starts_with("00000002"));
    // followers, crashes, and backups of their own
    let follower = lab.follower(&clone);
    clone.sql("INSERT INTO t(v) VALUES ('of the clone')");
    clone.kill();
    clone.start();
    clone.sql("INSERT INTO t(v) VALUES ('after a crash')");
    assert_identical(&clone, &follower, "postgres");
    // nothing of the clone can get to the original
    let conninfo = format!("host=127.0.0.1 port={} user=postgres", clone.port());
    let original = lab.path().join("backup");
    fs::write(original.join("standby.signal"), "").unwrap();
    let port = Port::reserve();
    let listen = format!("127.0.0.1:{}", port.number());
    let refused =
        lab.run("walreceiver", &["-D", "backup", "--primary", &conninfo, "--no-retry", "--listen", &listen]);
    let refused = refused.failure();
    assert!(refused.contains("system identifier differs"), "{refused}");
}

#[test]
fn settings_that_archive_are_turned_off_in_a_clone() {
    let Scene { lab, archive, leader } = scene();
    leader.sql("ALTER SYSTEM SET archive_mode = 'on'");
    leader.sql(&format!("ALTER SYSTEM SET archive_directory = '{}'", archive.path().display()));
    lab.base_backup(&leader, "backup2");
    archive.complete(&leader);
    let output = lab.restore("backup2", "clone", &[]);
    assert!(output.stderr.contains("archive_mode is off in the restored cluster"), "{}", output.stderr);
    output.success();
    let clone = start(&lab, "clone");
    assert_eq!(clone.sql("SHOW archive_mode"), "off");
    lab.restore("backup2", "replacement", &["--keep-system-id"]).success();
    let replacement = start(&lab, "replacement");
    assert_eq!(replacement.sql("SHOW archive_mode"), "on");
}

#[test]
fn a_replacement_is_followed_by_the_followers_of_the_lost_leader() {
    let Scene { lab, archive, mut leader } = scene();
    let follower = lab.follower(&leader);
    leader.sql("INSERT INTO t(v) VALUES ('two')");
    archive.complete(&leader);
    walship_tests::wait_caught_up(&leader, &follower);
    // everything that the follower has is archived
    let lsn = leader.sql("SELECT pg_current_wal_lsn()");
    leader.kill();
    let told = json(&lab.restore("backup", "replacement", &["--keep-system-id", "--json"]).success());
    assert_eq!(told["lsn"].as_str().unwrap(), lsn);
    let mut replacement = lab.node(Role::Leader, "replacement", &[]);
    replacement.start();
    replacement.sql("INSERT INTO t(v) VALUES ('of the replacement')");
    let conninfo = format!("host=127.0.0.1 port={} user=postgres", replacement.port());
    follower.sql(&format!("ALTER SYSTEM SET primary_conninfo = '{conninfo}'"));
    follower.sql("SELECT pg_reload_conf()");
    let _ = &mut replacement;
    drop(follower);
    let mut follower = lab.node(Role::Follower, "follower", &["--primary", &conninfo]);
    follower.start();
    assert_identical(&replacement, &follower, "postgres");
    assert_eq!(follower.sql(ROWS), "one two of the replacement");
}

#[test]
fn timelines_are_followed_as_asked() {
    let lab = Lab::new();
    let archive = TestArchive::new(&lab);
    let mut leader = archive.leader(&lab);
    let setting = archive.setting();
    let next = lab.follower_with("next", leader.port(), &["-c", "archive_mode=on", "-c", &setting]);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES ('one')");
    lab.base_backup(&leader, "backup");
    leader.sql("INSERT INTO t(v) VALUES ('two')");
    walship_tests::wait_caught_up(&leader, &next);
    lab.walctl(&["promote", "-D", next.dir().to_str().unwrap()]).success();
    // both go on, and both archive
    lab.walctl(&["unfence", "-h", "127.0.0.1", "-p", &leader.port().to_string()]).success();
    leader.sql("INSERT INTO t(v) VALUES ('lost')");
    archive.complete(&leader);
    leader.stop();
    next.sql("INSERT INTO t(v) VALUES ('three')");
    archive.complete(&next);
    let restored = |name: &str, timeline: &[&str]| {
        let told = json(&lab.restore("backup", name, &[timeline, &["--json"]].concat()).success());
        let node = start(&lab, name);
        (node.sql(ROWS), told["from_timeline"].as_i64().unwrap(), told["timeline"].as_i64().unwrap())
    };
    assert_eq!(restored("latest", &[]), ("one two three".to_owned(), 2, 3));
    assert_eq!(restored("current", &["--timeline", "current"]), ("one two lost".to_owned(), 1, 3));
    assert_eq!(restored("second", &["--timeline", "2"]), ("one two three".to_owned(), 2, 3));
    wait_until("the new leader still answers", || next.sql(ROWS) == "one two three");
}
