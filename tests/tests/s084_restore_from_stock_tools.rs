//! Backups of the stock pg_basebackup and archives of the stock pg_receivewal, or of cp,
//! are as good as our own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use walship_tests::{Lab, Node, Role, TestArchive, golden, output_of, spawn_stock, stock, wait_until};

const ROWS: &str = "SELECT count(*), sum(length(v)) FROM t";

fn backup(lab: &Lab, node: &Node, directory: &str, more: &[&str]) -> PathBuf {
    stock(lab, "pg_basebackup", node, &[&["-D", directory, "-c", "fast"], more].concat()).success();
    lab.path().join(directory)
}

fn fill(leader: &Node) {
    leader
        .sql("INSERT INTO t(v) VALUES (randomblob(700000)), ('row'); UPDATE t SET v = v || '.' WHERE id < 9");
}

fn assert_restores(lab: &Lab, backup: &str, archive: &Path, leader: &Node) {
    let to = format!("restored_from_{backup}");
    let archive = archive.to_string_lossy().into_owned();
    lab.walctl(&["restore", "-B", backup, "-A", &archive, "-D", &to]).success();
    let mut restored = lab.node(Role::Leader, &to, &[]);
    restored.start();
    assert_eq!(restored.sql(ROWS), leader.sql(ROWS), "{backup} with {archive}");
    restored.stop();
}

#[test]
fn backups_with_and_without_log_plain_and_unpacked() {
    let lab = Lab::new();
    let archive = TestArchive::new(&lab);
    let conf = format!("archive_command = 'cp %p {}/%f'\n", archive.path().display());
    let leader = lab.leader_with(&["--wal-segment-size", "1MB", "-c", "archive_mode=on"]);
    fs::write(leader.dir().join("postgresql.conf"), conf).unwrap();
    leader.sql("SELECT pg_reload_conf()");
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    fill(&leader);
    let follower = lab.follower(&leader);
    for log in ["none", "fetch", "stream"] {
        backup(&lab, &leader, &format!("plain_{log}"), &["-X", log]);
        fill(&leader);
    }
    for log in ["fetch", "stream"] {
        backup(&lab, &leader, &format!("tar_{log}"), &["-Ft", "-X", log]);
        fill(&leader);
    }
    walship_tests::wait_caught_up(&leader, &follower);
    backup(&lab, &follower, "of_a_follower", &["-X", "none"]);
    fill(&leader);
    archive.complete(&leader);
    assert_restores(&lab, "of_a_follower", archive.path(), &leader);
    for log in ["none", "fetch", "stream"] {
        assert_restores(&lab, &format!("plain_{log}"), archive.path(), &leader);
    }
    for log in ["fetch", "stream"] {
        let packed = format!("tar_{log}");
        let refused = lab.walctl(&["restore", "-B", &packed, "-D", "nothing"]);
        golden(&format!("restore_packed_{log}"), &refused.transcript(), lab.path());
        // the hint is what has to be done
        let (_, commands) = refused.stderr.split_once("unpack it first: ").unwrap();
        let unpacked = format!("unpacked_{log}");
        let commands = commands.replace("NEW", &unpacked);
        output_of(Command::new("sh").args(["-ec", &commands]).current_dir(lab.path())).success();
        assert_restores(&lab, &unpacked, archive.path(), &leader);
    }
}

#[test]
fn archives_of_pg_receivewal_as_they_are() {
    let lab = Lab::new();
    let leader = lab.leader_with(&["--wal-segment-size", "1MB"]);
    leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    let start = |name: &str, more: &[&str]| {
        let to = lab.path().join(name);
        fs::create_dir(&to).unwrap();
        let arguments = [&["-D", name, "--synchronous", "--no-loop"], more].concat();
        (spawn_stock(&lab, "pg_receivewal", &leader, &arguments), to)
    };
    let (mut plain, plain_archive) = start("plain", &[]);
    let (mut gzip, gzip_archive) = start("gzip", &["--compress=gzip"]);
    let (mut lz4, lz4_archive) = start("lz4", &["--compress=lz4"]);
    let backup = backup(&lab, &leader, "backup", &["-X", "none"]);
    for _ in 0..3 {
        fill(&leader);
    }
    // the last transactions are only in a .partial file
    let end = leader.sql("SELECT pg_current_wal_flush_lsn()");
    let caught_up = format!("SELECT count(*) FROM pg_stat_replication WHERE flush_lsn >= '{end}'");
    wait_until("all have received everything", || leader.sql(&caught_up) == "3");
    for process in [&mut plain, &mut gzip, &mut lz4] {
        process.signal(libc::SIGINT);
        process.wait_exit(std::time::Duration::from_secs(60));
    }
    let has = |archive: &Path, suffix: &str| {
        fs::read_dir(archive).unwrap().any(|e| e.unwrap().file_name().to_string_lossy().ends_with(suffix))
    };
    assert!(has(&plain_archive, ".partial"));
    assert!(has(&gzip_archive, ".gz") && has(&gzip_archive, ".gz.partial"));
    assert!(has(&lz4_archive, ".lz4") && has(&lz4_archive, ".lz4.partial"));
    assert_restores(&lab, "backup", &plain_archive, &leader);
    fs::rename(backup, lab.path().join("again")).unwrap();
    assert_restores(&lab, "again", &gzip_archive, &leader);
    fs::rename(lab.path().join("again"), lab.path().join("once_more")).unwrap();
    assert_restores(&lab, "once_more", &lz4_archive, &leader);
}
