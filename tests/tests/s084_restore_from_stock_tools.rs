//! Backups of the stock pg_basebackup and archives of the stock pg_receivewal, or of cp,
//! are as good as our own.

use std::fs;
use std::path::Path;
use std::process::Command;

use walship_tests::{Lab, Node, Output, Process, Role, TestArchive, output_of, postgres_program, wait_until};

const ROWS: &str = "SELECT count(*), sum(length(v)) FROM t";

fn stock(name: &str, node: &Node) -> Command {
    let mut command = Command::new(postgres_program(name));
    command.args(["-h", "127.0.0.1", "-U", "postgres", "-w", "-p", &node.port().to_string()]);
    command
}

fn backup(lab: &Lab, leader: &Node, arguments: &[&str]) -> Output {
    output_of(stock("pg_basebackup", leader).args(arguments).args(["-c", "fast"]).current_dir(lab.path()))
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
    for log in ["none", "fetch", "stream"] {
        backup(&lab, &leader, &["-D", &format!("plain_{log}"), "-X", log]).success();
        fill(&leader);
        let packed = format!("tar_{log}");
        backup(&lab, &leader, &["-D", &packed, "-Ft", "-X", log]).success();
        fill(&leader);
    }
    archive.complete(&leader);
    for log in ["none", "fetch", "stream"] {
        assert_restores(&lab, &format!("plain_{log}"), archive.path(), &leader);
        let packed = lab.path().join(format!("tar_{log}"));
        let refused = lab.walctl(&["restore", "-B", packed.to_str().unwrap(), "-D", "nothing"]).failure();
        assert!(refused.contains("is a backup in tar format"), "{refused}");
        let unpacked = format!("unpacked_{log}");
        let to = lab.path().join(&unpacked);
        fs::create_dir(&to).unwrap();
        output_of(Command::new("tar").arg("-xf").arg(packed.join("base.tar")).arg("-C").arg(&to)).success();
        if packed.join("pg_wal.tar").exists() {
            let wal = to.join("pg_wal");
            output_of(Command::new("tar").arg("-xf").arg(packed.join("pg_wal.tar")).arg("-C").arg(wal))
                .success();
        }
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
        let mut receive = stock("pg_receivewal", &leader);
        receive.arg("-D").arg(&to).args(["--synchronous", "--no-loop"]).args(more);
        (Process::spawn(name, receive, &lab.path().join(format!("{name}.log"))), to)
    };
    let (mut plain, plain_archive) = start("plain", &[]);
    let (mut gzip, gzip_archive) = start("gzip", &["--compress=gzip"]);
    backup(&lab, &leader, &["-D", "backup", "-X", "none"]).success();
    for _ in 0..3 {
        fill(&leader);
    }
    // the last transactions are only in a .partial file
    let end = leader.sql("SELECT pg_current_wal_flush_lsn()");
    let caught_up = format!("SELECT count(*) FROM pg_stat_replication WHERE flush_lsn >= '{end}'");
    wait_until("both have received everything", || leader.sql(&caught_up) == "2");
    for process in [&mut plain, &mut gzip] {
        process.signal(libc::SIGINT);
        process.wait_exit(std::time::Duration::from_secs(60));
    }
    let has = |archive: &Path, suffix: &str| {
        fs::read_dir(archive).unwrap().any(|e| e.unwrap().file_name().to_string_lossy().ends_with(suffix))
    };
    assert!(has(&plain_archive, ".partial"));
    assert!(has(&gzip_archive, ".gz") && has(&gzip_archive, ".gz.partial"));
    assert_restores(&lab, "backup", &plain_archive, &leader);
    fs::rename(lab.path().join("backup"), lab.path().join("again")).unwrap();
    assert_restores(&lab, "again", &gzip_archive, &leader);
}
