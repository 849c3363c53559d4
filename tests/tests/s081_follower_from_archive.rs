//! A follower takes from an archive what the leader no longer has, and goes back to the
//! stream; or lives on the archive alone.

use std::fs;

use walship_tests::{Lab, Node, Role, TestArchive, assert_identical, golden, pages, wait_until};

const SMALL: [&str; 2] = ["--wal-segment-size", "1MB"];

struct Scene {
    lab: Lab,
    archive: TestArchive,
    leader: Node,
}

/// A leader of small segments that archives, and keeps as little log as it can.
fn scene(more: &[&str]) -> Scene {
    let lab = Lab::new();
    let archive = TestArchive::new(&lab);
    let setting = archive.setting();
    let mut arguments =
        vec!["-c", "archive_mode=on", "-c", &setting, "-c", "max_wal_size=4MB", "-c", "min_wal_size=2MB"];
    arguments.extend(SMALL);
    arguments.extend(more);
    let leader = lab.leader_with(&arguments);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    Scene { lab, archive, leader }
}

impl Scene {
    /// So many megabytes of log, archived and gone from the leader.
    fn write(&self, megabytes: u32) {
        for _ in 0..megabytes {
            self.leader
                .sql("INSERT INTO t(v) VALUES (randomblob(1000000)); UPDATE t SET v = 'x' WHERE id % 3 = 1");
        }
        self.archive.complete(&self.leader);
        self.leader.sql("CHECKPOINT");
    }

    fn count(&self) -> String {
        self.leader.sql("SELECT count(*), max(id) FROM t")
    }
}

#[test]
fn what_the_leader_no_longer_has_comes_from_the_archive() {
    // a slot that may hold back nothing is lost at once
    let scene = scene(&["-c", "max_slot_wal_keep_size=1MB"]);
    let restore = format!("restore_directory={}", scene.archive.path().display());
    let mut follower = scene.lab.follower_with("follower", scene.leader.port(), &["-c", &restore]);
    scene.write(1);
    assert_identical(&scene.leader, &follower, "postgres");
    follower.stop();
    scene.write(8);
    let lost = scene.leader.sql("SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'follower'");
    assert_eq!(lost, "lost");
    follower.start();
    scene.leader.sql("INSERT INTO t(v) VALUES ('streamed again')");
    assert_identical(&scene.leader, &follower, "postgres");
    wait_until("it streams again", || {
        scene.leader.sql("SELECT state FROM pg_stat_replication") == "streaming"
    });
    assert!(follower.log().contains("took log from the archive"), "{}", follower.log());
    let status = scene.leader.sql("SELECT wal_status FROM pg_replication_slots WHERE slot_name = 'follower'");
    assert_eq!(status, "reserved");
    assert!(!follower.dir().join("pg_wal/restoring").exists());
}

#[test]
fn a_follower_lives_on_the_archive_alone() {
    let scene = scene(&[]);
    let backup = scene.lab.base_backup(&scene.leader, "follower");
    fs::write(backup.join("standby.signal"), "").unwrap();
    let settings = format!(
        "restore_command = 'cp {}/%f %p'\nwal_retrieve_retry_interval = 100\n",
        scene.archive.path().display()
    );
    fs::write(backup.join("postgresql.conf"), settings).unwrap();
    let mut follower = scene.lab.node(Role::Follower, "follower", &[]);
    follower.start();
    for round in 0..3 {
        scene.write(2);
        let expected = scene.count();
        wait_until("the archive is replayed", || follower.sql("SELECT count(*), max(id) FROM t") == expected);
        if round == 1 {
            follower.kill();
            follower.start();
        }
    }
    pages::assert_same(&scene.leader.database("postgres"), &follower.database("postgres"));
    let waiting = follower.sql("SELECT count(*) FROM pg_stat_wal_receiver");
    assert_eq!(waiting, "0");
}

#[test]
fn an_archived_timeline_is_followed() {
    let scene = scene(&[]);
    let Scene { lab, archive, mut leader } = scene;
    fs::write(lab.base_backup(&leader, "last").join("standby.signal"), "").unwrap();
    let directory = archive.path().display();
    let archiving = archive.setting();
    let next = lab.follower_with("next", leader.port(), &["-c", "archive_mode=on", "-c", &archiving]);
    leader.sql("INSERT INTO t(v) VALUES ('on timeline 1')");
    walship_tests::wait_caught_up(&leader, &next);
    leader.kill();
    lab.walctl(&["promote", "-D", next.dir().to_str().unwrap()]).success();
    next.sql("INSERT INTO t(v) VALUES ('on timeline 2')");
    archive.complete(&next);
    let restore = format!("restore_directory={directory}");
    let mut last =
        lab.node(Role::Follower, "last", &["-c", &restore, "-c", "wal_retrieve_retry_interval=100"]);
    last.start();
    let rows = "SELECT group_concat(v, ', ') FROM t";
    wait_until("timeline 2 is replayed", || last.sql(rows) == "on timeline 1, on timeline 2");
    pages::assert_same(&next.database("postgres"), &last.database("postgres"));
}

#[test]
fn a_damaged_segment_is_named_and_not_taken() {
    let scene = scene(&["-c", "max_slot_wal_keep_size=1MB"]);
    let restore = format!("restore_directory={}", scene.archive.path().display());
    let mut follower = scene.lab.follower_with("follower", scene.leader.port(), &["-c", &restore]);
    scene.write(1);
    assert_identical(&scene.leader, &follower, "postgres");
    let seen = follower.sql("SELECT count(*) FROM t");
    follower.stop();
    scene.write(6);
    // the segment that comes next
    let received = fs::read_dir(follower.dir().join("pg_wal")).unwrap();
    let newest = received.map(|e| e.unwrap().file_name().to_string_lossy().into_owned());
    let newest = newest.filter(|name| name.len() == 24).max().unwrap();
    let number = u64::from_str_radix(&newest[16..], 16).unwrap() + 2;
    let damaged = scene.archive.path().join(format!("{}{number:08X}", &newest[..16]));
    let whole = fs::read(&damaged).unwrap();
    let mut bytes = whole.clone();
    bytes[600_000] ^= 1;
    fs::write(&damaged, &bytes).unwrap();
    follower.start();
    wait_until("the damage is told", || follower.log().contains("goes no further"));
    let line = follower.log().lines().find(|line| line.contains("goes no further")).unwrap().to_owned();
    let line = line.split_once("WARNING:").map_or(line.as_str(), |(_, rest)| rest).trim();
    let line = regex_free(line);
    golden("archive_damaged_segment", &line, scene.lab.path());
    assert!(follower.sql("SELECT count(*) FROM t") >= seen);
    fs::write(&damaged, &whole).unwrap();
    scene.leader.sql("INSERT INTO t(v) VALUES ('streamed again')");
    assert_identical(&scene.leader, &follower, "postgres");
}

/// Checksums and offsets differ from run to run.
fn regex_free(line: &str) -> String {
    line.split(' ')
        .map(|word| {
            let bare = word.trim_end_matches([',', ')', ';']);
            let hex = bare.len() == 8 && bare.bytes().all(|b| b.is_ascii_hexdigit());
            let number = !bare.is_empty() && bare.bytes().all(|b| b.is_ascii_digit());
            if hex || number { word.replace(bare, "$N") } else { word.to_owned() }
        })
        .collect::<Vec<_>>()
        .join(" ")
}
