//! walctl tells what a node, a directory and a log are, for people and for scripts.

use walship_tests::{Lab, assert_identical, golden, wait_caught_up};

#[test]
fn status_of_a_pair() {
    let lab = Lab::new();
    let leader = lab.leader();
    let mut follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES (1)");
    assert_identical(&leader, &follower, "postgres");
    let (one, two) = (format!("127.0.0.1:{}", leader.port()), format!("127.0.0.1:{}", follower.port()));
    let text = lab.walctl(&["status", &one, &two]).success();
    for word in ["leader", "follower", "postgres"] {
        assert!(text.contains(word), "no {word} in:\n{text}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&lab.walctl(&["status", "--json", &one, &two]).success()).unwrap();
    assert_eq!(json["nodes"][0]["role"], "leader", "{json:#}");
    assert_eq!(json["nodes"][1]["role"], "follower", "{json:#}");
    assert_eq!(json["nodes"][0]["system_identifier"], json["nodes"][1]["system_identifier"]);

    follower.stop();
    let output = lab.walctl(&["status", &one, &two]);
    assert_eq!(output.status, Some(1), "a node that is down is wrong: {}", output.transcript());
}

#[test]
fn waldump_shows_every_record() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(v TEXT)");
    for i in 0..20 {
        leader.sql(&format!("INSERT INTO t VALUES ('row {i}')"));
    }
    leader.sql("CREATE DATABASE second");
    leader.sql("CHECKPOINT");
    let dir = leader.dir().to_string_lossy().into_owned();
    let text = lab.walctl(&["waldump", &dir]).success();
    let commits = text.lines().filter(|line| line.to_lowercase().contains("commit")).count();
    assert!(commits >= 21, "{commits} commits in:\n{text}");
    for line in text.lines() {
        assert!(line.contains("lsn: "), "not a record: {line}");
    }
    let stats = lab.walctl(&["waldump", "--stats", &dir]).success();
    assert!(stats.to_lowercase().contains("commit"), "{stats}");
}

#[test]
fn waldump_says_where_the_damage_is() {
    use std::os::unix::fs::FileExt;
    let lab = Lab::new();
    let mut leader = lab.leader();
    let session = leader.connect();
    session.run("CREATE TABLE t(v TEXT)");
    for i in 0..50 {
        session.run(&format!("INSERT INTO t VALUES ('row {i}')"));
    }
    drop(session);
    leader.stop();
    let segment = leader.dir().join("pg_wal/000000010000000000000001");
    let file = std::fs::File::options().read(true).write(true).open(&segment).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 3000).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], 3000).unwrap();
    let output = lab.walctl(&["waldump", &leader.dir().to_string_lossy()]);
    assert_eq!(output.status, Some(1), "{}", output.transcript());
    assert!(output.stderr.contains("000000010000000000000001"), "the file is not named: {}", output.stderr);
}

#[test]
fn controldata_of_a_cluster_that_was_stopped() {
    let lab = Lab::new();
    let mut leader = lab.leader_with(&["--wal-segment-size", "1MB", "--page-size", "8192"]);
    leader.stop();
    let text = lab.walctl(&["controldata", "-D", &leader.dir().to_string_lossy()]).success();
    golden("controldata", &text, lab.path());
}

#[test]
fn a_log_of_small_segments_crosses_many_of_them() {
    let lab = Lab::new();
    let leader = lab.leader_with(&["--wal-segment-size", "1MB"]);
    let follower = lab.follower(&leader);
    assert_eq!(leader.sql("SHOW wal_segment_size"), "1MB");
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB)");
    leader.sql(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000) \
         INSERT INTO t SELECT i, randomblob(1000) FROM n",
    );
    wait_caught_up(&leader, &follower);
    assert_identical(&leader, &follower, "postgres");
    // the same bytes under the same names
    let mut compared = 0;
    for entry in std::fs::read_dir(follower.dir().join("pg_wal")).unwrap().flatten() {
        let name = entry.file_name();
        let ours = std::fs::read(entry.path());
        let theirs = std::fs::read(leader.dir().join("pg_wal").join(&name));
        let last = leader.sql("SELECT pg_walfile_name(pg_current_wal_flush_lsn())");
        if let (Ok(ours), Ok(theirs)) = (ours, theirs)
            && name.to_string_lossy().len() == 24
            && *name.to_string_lossy() < *last
        {
            compared += 1;
            assert!(ours == theirs, "segment {} differs", name.to_string_lossy());
        }
    }
    assert!(compared > 3, "only {compared} segments were compared");
}

#[test]
fn a_cluster_is_created_once_and_then_started() {
    let lab = Lab::new();
    let arguments = ["init", "-D", "leader", "--wal-segment-size", "1MB", "--page-size", "8192"];
    let created = lab.walctl(&arguments).success();
    assert!(created.contains("created cluster"), "{created}");
    golden("walctl_init_over_existing", &lab.walctl(&arguments).transcript(), lab.path());
    let leader = lab.leader();
    assert_eq!(leader.sql("SHOW wal_segment_size"), "1MB");
    assert_eq!(leader.sql("PRAGMA page_size"), "8192");
}
