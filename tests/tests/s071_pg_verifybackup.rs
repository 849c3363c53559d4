//! PostgreSQL's `pg_verifybackup`, without a flag, passes every backup, and fails when
//! anything is changed, removed or added; so does `walctl verifybackup`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use walship_tests::{Lab, Load, Output, pg_verifybackup, stock};

/// The files that the manifest of a backup lists.
fn listed(directory: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(directory.join("backup_manifest")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let files = manifest["Files"].as_array().unwrap();
    files.iter().map(|file| file["Path"].as_str().unwrap().to_owned()).collect()
}

fn flip(file: &Path, offset: u64) {
    let file = fs::File::options().read(true).write(true).open(file).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], offset).unwrap();
}

/// Both programs must fail and name `file`.
fn assert_found(lab: &Lab, backup: &Path, file: &str, what: &str) {
    let theirs = pg_verifybackup(backup);
    let ours = lab.walctl(&["verifybackup", &backup.to_string_lossy()]);
    for (program, output) in [("pg_verifybackup", theirs), ("walctl verifybackup", ours)] {
        assert_eq!(output.status, Some(1), "{program} passes although {what}: {}", output.transcript());
        assert!(output.stderr.contains(file), "{program} does not name {file}, {what}: {}", output.stderr);
    }
}

fn assert_passes(lab: &Lab, backup: &Path) {
    pg_verifybackup(backup).success();
    lab.walctl(&["verifybackup", &backup.to_string_lossy()]).success();
}

#[test]
fn whatever_is_done_to_a_listed_file_is_found() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE DATABASE shop");
    let load = Load::start(&leader, 2);
    load.wait_for(100);
    stock(&lab, "pg_basebackup", &leader, &["-D", "backup", "-c", "fast"]).success();
    load.finish();
    let backup = lab.path().join("backup");
    assert_passes(&lab, &backup);
    let files = listed(&backup);
    for name in ["backup_label", "control", "PG_VERSION", "base/postgres.db", "base/shop.hash"] {
        assert!(files.contains(name), "{name} is not listed: {files:?}");
    }
    for name in files.iter().filter(|name| *name != "postgresql.auto.conf") {
        let file = backup.join(name);
        let size = fs::metadata(&file).unwrap().len();
        for offset in BTreeSet::from([0, size / 2, size.saturating_sub(1)]) {
            if size > 0 {
                flip(&file, offset);
                assert_found(&lab, &backup, name, &format!("byte {offset} was changed"));
                flip(&file, offset);
            }
        }
        let away = lab.path().join("away");
        fs::rename(&file, &away).unwrap();
        assert_found(&lab, &backup, name, "it was removed");
        fs::rename(&away, &file).unwrap();
        let content = fs::read(&file).unwrap();
        fs::write(&file, [&content[..], b"x"].concat()).unwrap();
        assert_found(&lab, &backup, name, "a byte was added");
        fs::write(&file, content).unwrap();
    }
    for added in ["base/other.db", "note", "pg_replslot/x"] {
        fs::write(backup.join(added), "x").unwrap();
        assert_found(&lab, &backup, added, "it was added");
        fs::remove_file(backup.join(added)).unwrap();
    }
    assert_passes(&lab, &backup);
}

#[test]
fn a_manifest_that_lies_is_found() {
    let lab = Lab::new();
    let leader = lab.leader();
    stock(&lab, "pg_basebackup", &leader, &["-D", "backup", "-c", "fast"]).success();
    let backup = lab.path().join("backup");
    let manifest = backup.join("backup_manifest");
    let size = fs::metadata(&manifest).unwrap().len();
    for offset in (0..size).step_by(usize::try_from(size / 23).unwrap()) {
        flip(&manifest, offset);
        for output in [pg_verifybackup(&backup), lab.walctl(&["verifybackup", &backup.to_string_lossy()])] {
            assert_eq!(output.status, Some(1), "byte {offset} of it was changed: {}", output.transcript());
        }
        flip(&manifest, offset);
    }
    assert_passes(&lab, &backup);
}

/// What the manifest says nothing of: the log, and the settings of whoever starts it.
#[test]
fn what_pg_verifybackup_cannot_see_walctl_does() {
    let lab = Lab::new();
    let leader = lab.leader_with(&["--wal-segment-size", "1MB"]);
    let load = Load::start(&leader, 4);
    load.wait_for(100);
    stock(&lab, "pg_basebackup", &leader, &["-D", "backup", "-c", "fast", "-X", "fetch"]).success();
    load.finish();
    let backup = lab.path().join("backup");
    let label = fs::read_to_string(backup.join("backup_label")).unwrap();
    let start = label.split_whitespace().nth(3).unwrap().parse::<walship_types::Lsn>().unwrap();
    let segment = first_segment(&backup.join("pg_wal"));
    flip(&segment, start.0 % (1 << 20) + 30);
    pg_verifybackup(&backup).success();
    let verify = || -> Output { lab.walctl(&["verifybackup", &backup.to_string_lossy()]) };
    let found = verify();
    assert_eq!(found.status, Some(1), "{}", found.transcript());
    assert!(found.stderr.contains("pg_wal"), "the file is not named: {}", found.stderr);
    flip(&segment, start.0 % (1 << 20) + 30);
    verify().success();
    fs::remove_file(&segment).unwrap();
    let found = verify();
    assert_eq!(found.status, Some(1), "{}", found.transcript());
    lab.walctl(&["verifybackup", "--no-parse-wal", &backup.to_string_lossy()]).success();
}

fn first_segment(directory: &Path) -> PathBuf {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file()).min().expect("there is a segment")
}
