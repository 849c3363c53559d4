//! What cannot be restored is refused with what was found, what was expected and the way
//! out; and nothing half-done stays behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use walship_tests::{
    Lab, Node, Output, Port, Role, TestArchive, golden, output_of, program, signal_process, wait_until,
};

struct Scene {
    lab: Lab,
    archive: TestArchive,
    leader: Node,
    /// Positions after the transactions `early` and `late`, which are before and after the backup.
    early: String,
    late: String,
}

/// A backup between `early` and `late`, and about ten segments.
fn scene() -> Scene {
    let lab = Lab::new();
    let archive = TestArchive::new(&lab);
    let leader = archive.leader(&lab);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES ('early')");
    let early = leader.sql("SELECT pg_current_wal_lsn()");
    leader.sql("INSERT INTO t(v) VALUES (randomblob(1500000))");
    lab.base_backup(&leader, "backup");
    leader.sql("INSERT INTO t(v) VALUES (randomblob(1500000))");
    leader.sql("INSERT INTO t(v) VALUES ('late')");
    let late = leader.sql("SELECT pg_current_wal_lsn()");
    leader.sql("INSERT INTO t(v) VALUES (randomblob(3500000))");
    archive.complete(&leader);
    Scene { lab, archive, leader, early, late }
}

impl Scene {
    fn refused(&self, name: &str, output: &Output) {
        assert_eq!(output.status, Some(1), "{}", output.transcript());
        golden(&format!("restore_{name}"), &hide_numbers(&output.stderr), self.lab.path());
        assert!(!self.lab.path().join("to").exists(), "something was left behind");
    }

    fn restore(&self, more: &[&str]) -> Output {
        self.lab.restore("backup", "to", more)
    }

    /// The archived segments, in order.
    fn segments(&self) -> Vec<PathBuf> {
        let names = fs::read_dir(self.archive.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut all: Vec<PathBuf> = names.filter(|path| path.extension().is_none()).collect();
        all.sort();
        all
    }
}

/// Offsets and checksums differ from run to run.
fn hide_numbers(text: &str) -> String {
    let rule = regex::Regex::new(r"offset \d+|is [0-9a-f]{8}, computed [0-9a-f]{8}").unwrap();
    rule.replace_all(text, |found: &regex::Captures<'_>| match found[0].starts_with("offset") {
        true => "offset $N".to_owned(),
        false => "is $CRC, computed $CRC".to_owned(),
    })
    .into_owned()
}

#[test]
fn targets_that_cannot_be_reached() {
    let scene = scene();
    scene.refused("target_beyond_the_end", &scene.restore(&["--target-lsn", "7F/0"]));
    scene.refused("target_time_beyond_the_end", &scene.restore(&["--target-time", "2999-01-01 00:00:00"]));
    scene.refused("target_name_unknown", &scene.restore(&["--target-name", "nobody made it"]));
    scene.refused("target_before_the_backup", &scene.restore(&["--target-lsn", &scene.early]));
    scene.refused("target_time_before_the_backup", &scene.restore(&["--target-time", "2001-01-01 00:00:00"]));
    scene.refused("timeline_unknown", &scene.restore(&["--timeline", "9"]));
    let both = scene.restore(&["--target-lsn", "0/1", "--target-name", "x"]);
    assert_eq!(both.status, Some(2), "{}", both.transcript());
    let edge = scene.restore(&["--target-name", "x", "--exclusive"]);
    assert_eq!(edge.status, Some(2), "{}", edge.transcript());
}

#[test]
fn archives_with_a_gap_or_damage() {
    let scene = scene();
    let segments = scene.segments();
    let missing = &segments[segments.len() - 3];
    let aside = scene.lab.path().join("aside");
    fs::rename(missing, &aside).unwrap();
    scene.refused("gap", &scene.restore(&[]));
    // what comes before the gap is still there to be had
    scene.lab.restore("backup", "before_gap", &["--target-lsn", &scene.late]).success();
    let mut bytes = fs::read(&aside).unwrap();
    bytes[500_000] ^= 1;
    fs::write(missing, &bytes).unwrap();
    scene.refused("damaged_segment", &scene.restore(&[]));
    fs::write(missing, &bytes[..600_000]).unwrap();
    scene.refused("short_segment", &scene.restore(&[]));
    for (suffix, name) in [("xz", "compressed_segment"), ("lz4", "damaged_compressed_segment")] {
        let compressed = format!("{}.{suffix}", missing.display());
        fs::rename(missing, &compressed).unwrap();
        scene.refused(name, &scene.restore(&[]));
        fs::rename(compressed, missing).unwrap();
    }
    fs::rename(&aside, missing).unwrap();
    scene.restore(&[]).success();
}

#[test]
fn a_backup_whose_own_log_has_a_gap() {
    let scene = scene();
    let wal = scene.lab.path().join("backup/pg_wal");
    for entry in fs::read_dir(&wal).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::remove_file(path).unwrap();
        }
    }
    let without = scene.lab.walctl(&["restore", "-B", "backup", "-D", "to", "--target", "immediate"]);
    scene.refused("backup_without_log", &without);
    // with the archive it is as good as new
    scene.restore(&[]).success();
}

#[test]
fn a_backup_that_was_damaged_since_it_was_taken() {
    let scene = scene();
    let database = scene.lab.path().join("backup/base/postgres.db");
    let sound = fs::read(&database).unwrap();
    // a page that the log does not write: what was there before the backup, and stays
    let mut damaged = sound.clone();
    damaged[1_000_000] ^= 1;
    fs::write(&database, damaged).unwrap();
    for target in [&[][..], &["--target", "immediate"]] {
        scene.refused("damaged_backup", &scene.restore(target));
    }
    fs::write(&database, &sound[..sound.len() - 4096]).unwrap();
    scene.refused("short_backup", &scene.restore(&["--target", "immediate"]));
    fs::write(&database, sound).unwrap();
    // page hashes are computed, not believed
    let hashes = database.with_extension("hash");
    let mut lying = fs::read(&hashes).unwrap();
    lying[200] ^= 1;
    fs::write(hashes, lying).unwrap();
    scene.restore(&[]).success();
}

#[test]
fn what_does_not_belong_together() {
    let scene = scene();
    let mut other = scene.lab.node(Role::Leader, "other", &["--wal-segment-size", "1MB"]);
    other.start();
    other.sql("CREATE TABLE t(v)");
    scene.lab.base_backup(&other, "other_backup");
    let archive = scene.archive.path().to_string_lossy().into_owned();
    let mixed = scene.lab.walctl(&["restore", "-B", "other_backup", "-A", &archive, "-D", "to"]);
    scene.refused("archive_of_another_cluster", &mixed);
    let label = scene.lab.path().join("backup/backup_label");
    let own = fs::read(&label).unwrap();
    fs::copy(scene.lab.path().join("other_backup/backup_label"), &label).unwrap();
    scene.refused("label_of_another_cluster", &scene.restore(&[]));
    fs::write(&label, own).unwrap();
    let running = scene.leader.dir().to_string_lossy().into_owned();
    scene
        .refused("not_a_backup", &scene.lab.walctl(&["restore", "-B", &running, "-A", &archive, "-D", "to"]));
    scene.refused("no_backup", &scene.lab.walctl(&["restore", "-B", "nowhere", "-A", &archive, "-D", "to"]));
    scene.refused("no_archive", &scene.lab.walctl(&["restore", "-B", "backup", "-A", "nowhere", "-D", "to"]));
    let full = scene.lab.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("mine"), "").unwrap();
    let refused = scene.lab.walctl(&["restore", "-B", "backup", "-A", &archive, "-D", "full"]);
    scene.refused("into_a_full_directory", &refused);
    assert!(full.join("mine").exists());
}

fn restore_command(lab: &Lab) -> Command {
    let mut command = Command::new(program("walctl"));
    command.args(["restore", "-B", "backup", "-A", "archive", "-D", "to"]).current_dir(lab.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Files that have been made below a directory.
fn files(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

#[test]
fn interrupted_anywhere_it_is_no_cluster_and_can_be_run_again() {
    let scene = scene();
    let to = scene.lab.path().join("to");
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGKILL] {
        for files_made in [1, 3, 5, 7] {
            let _ = fs::remove_dir_all(&to);
            let mut child = restore_command(&scene.lab).spawn().unwrap();
            wait_until("it has begun, or is done", || {
                files(&to) >= files_made || child.try_wait().unwrap().is_some()
            });
            signal_process(child.id(), signal);
            let ended = child.wait().unwrap();
            if ended.success() {
                // it was faster than the signal
                assert!(to.join("control").exists());
                continue;
            }
            if signal != libc::SIGKILL {
                assert!(!to.exists(), "an interrupt left {} files", files(&to));
            } else if to.exists() {
                let port = Port::reserve();
                let listen = format!("127.0.0.1:{}", port.number());
                let refused = scene.lab.run("walsender", &["-D", "to", "--listen", &listen]);
                golden("restore_half_is_started", &refused.transcript(), scene.lab.path());
            }
        }
    }
    output_of(restore_command(&scene.lab).stdout(Stdio::piped())).success();
    let mut restored = scene.lab.node(Role::Leader, "to", &[]);
    restored.start();
    assert_eq!(restored.sql("SELECT count(*) FROM t"), "5");
}
