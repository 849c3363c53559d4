//! `walctl basebackup` takes the same backups natively, plain, as tar and compressed, and
//! `walctl verifybackup --deep` proves that a follower made of one would be sound.

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use walship_tests::{
    Lab, Load, Node, Output, Process, Role, assert_identical, pg_verifybackup, program, unpack, wait_until,
};

fn walctl(lab: &Lab, node: &Node, command: &str, arguments: &[&str]) -> Output {
    let port = node.port().to_string();
    let all = [&[command, "-h", "127.0.0.1", "-U", "postgres", "-p", &port], arguments].concat();
    lab.walctl(&all)
}

fn assert_starts(lab: &Lab, leader: &Node, name: &str) {
    let mut follower = lab.node(Role::Follower, name, &["--name", &name.replace('-', "_")]);
    follower.start();
    assert_identical(leader, &follower, "postgres");
}

#[test]
fn every_format_under_writes_is_checked_and_followed_from() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE DATABASE shop");
    let load = Load::start(&leader, 4);
    load.wait_for(100);
    for (name, arguments) in [
        ("plain", &["-R"][..]),
        ("tar", &["-F", "tar", "-R"]),
        ("zstd", &["-F", "tar", "-Z", "zstd:1", "-R", "--manifest-checksums", "sha256", "-c", "fast"]),
        ("slow", &["-r", "20M", "-c", "fast"]),
    ] {
        let said = walctl(&lab, &leader, "basebackup", &[&["-D", name], arguments].concat()).success();
        assert!(said.contains("base backup in"), "{said}");
        load.wait_for(20);
        let path = lab.path().join(name);
        for depth in [&[][..], &["--deep"]] {
            let all = [&["verifybackup", name], depth].concat();
            let said = lab.walctl(&all).success();
            assert!(said.contains("successfully verified, its log intact from"), "{said}");
            assert_eq!(said.contains("2 databases replayed and sound"), !depth.is_empty(), "{said}");
        }
        match name {
            "plain" | "slow" => drop(pg_verifybackup(&path).success()),
            _ => drop(pg_verifybackup(&unpack(&path)).success()),
        }
    }
    load.finish();
    for name in ["plain", "tar-unpacked", "zstd-unpacked"] {
        assert_starts(&lab, &leader, name);
    }
    let json = walctl(&lab, &leader, "basebackup", &["-D", "json", "--json"]).success();
    let done: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((done["format"].as_str(), done["timeline"].as_u64()), (Some("plain"), Some(1)), "{json}");
    assert!(done["bytes"].as_u64().unwrap() > 0 && done["start_lsn"].is_string(), "{json}");
}

#[test]
fn half_a_backup_is_never_left() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES (randomblob(8000000))");
    let port = leader.port().to_string();
    let start = |name: &str, format: &str| {
        let mut command = std::process::Command::new(program("walctl"));
        command.args(["basebackup", "-h", "127.0.0.1", "-U", "postgres", "-p", &port, "-F", format]);
        command.args(["-D", name, "-r", "1M"]).current_dir(lab.path());
        let process = Process::spawn("walctl", command, &lab.path().join("walctl.log"));
        let directory = lab.path().join(name);
        wait_until("the backup is under way", || {
            directory.join("backup_incomplete").exists()
                && (directory.join("base/postgres.db").exists() || directory.join("base.tar").exists())
        });
        process
    };
    let gone = |name: &str| !lab.path().join(name).exists();
    // interrupted by hand
    for format in ["plain", "tar"] {
        let mut process = start("interrupted", format);
        process.signal(libc::SIGINT);
        assert_eq!(process.wait_exit(Duration::from_secs(30)).code(), Some(1), "{}", process.output());
        assert!(gone("interrupted"), "{}", process.output());
    }
    // killed: marked, refused, and replaced by the next
    let mut process = start("killed", "plain");
    process.kill();
    assert!(lab.path().join("killed/backup_incomplete").exists());
    let refused = lab.run("walreceiver", &["-D", "killed"]).failure();
    assert!(refused.contains("not completed"), "{refused}");
    // the server dies
    let mut process = start("broken", "plain");
    leader.kill();
    assert_eq!(process.wait_exit(Duration::from_secs(30)).code(), Some(1), "{}", process.output());
    assert!(gone("broken"), "{}", process.output());
    leader.start();
    walctl(&lab, &leader, "basebackup", &["-D", "killed", "-R"]).success();
    assert_starts(&lab, &leader, "killed");
}

/// The manifest and the log are as they were taken; only replay shows what is wrong.
#[test]
fn deep_finds_what_the_manifest_cannot() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
         INSERT INTO t SELECT i, 'row ' || i FROM n",
    );
    // otherwise replay would find the page in the log before the redo point, and mend it
    leader.sql("SELECT pg_switch_wal()");
    walctl(&lab, &leader, "basebackup", &["-D", "backup"]).success();
    let file = lab.path().join("backup/base/postgres.db");
    let size = fs::metadata(&file).unwrap().len();
    let open = fs::File::options().read(true).write(true).open(&file).unwrap();
    let mut byte = [0];
    open.read_exact_at(&mut byte, size - 100).unwrap();
    open.write_all_at(&[byte[0] ^ 1], size - 100).unwrap();
    drop(open);
    // a manifest that was made to fit, as by somebody who edited the copy
    forge_manifest(&lab.path().join("backup"), "base/postgres.db");
    lab.walctl(&["verifybackup", "backup"]).success();
    let found = lab.walctl(&["verifybackup", "--deep", "backup"]);
    assert_eq!(found.status, Some(1), "{}", found.transcript());
    assert!(found.stderr.contains("postgres") && found.stderr.contains("not sound"), "{}", found.stderr);
    assert!(!lab.path().join("backup/base/postgres.db-wal").exists(), "the backup was written to");
}

/// Removes the checksum of one file from the manifest, and makes the manifest's own fit.
fn forge_manifest(backup: &std::path::Path, path: &str) {
    let text = fs::read_to_string(backup.join("backup_manifest")).unwrap();
    let body: Vec<String> = text
        .lines()
        .filter(|line| !line.starts_with("\"Manifest-Checksum\""))
        .map(|line| match line.find(", \"Checksum-Algorithm\"") {
            Some(at) if line.contains(&format!("\"{path}\"")) => {
                let comma = if line.ends_with(',') { "," } else { "" };
                format!("{} }}{comma}", &line[..at])
            }
            _ => line.to_owned(),
        })
        .collect();
    let body = body.join("\n") + "\n";
    fs::write(backup.join("body"), &body).unwrap();
    let sum = std::process::Command::new("sha256sum").arg(backup.join("body")).output().unwrap();
    let sum = String::from_utf8_lossy(&sum.stdout)[..64].to_owned();
    fs::remove_file(backup.join("body")).unwrap();
    fs::write(backup.join("backup_manifest"), format!("{body}\"Manifest-Checksum\": \"{sum}\"}}\n")).unwrap();
}
