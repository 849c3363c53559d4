//! A backup that is taken without its log is not done before that log is archived, as with
//! PostgreSQL: what the script that took it finds afterwards is enough to restore from.

use std::fs;
use std::path::Path;
use std::time::Duration;

use walship_tests::{Lab, Node, TestArchive, golden, spawn_stock, wait_until};

/// Archives with a command that fails until there is a file named `mounted`.
fn archives_when_mounted(archive: &Path) -> String {
    format!("archive_command = 'test -e {0}/mounted && cp %p {0}/%f'\n", archive.display())
}

fn phase(leader: &Node) -> String {
    leader.sql("SELECT phase FROM pg_stat_progress_basebackup")
}

#[test]
fn a_backup_without_log_is_done_when_its_log_is_archived() {
    let lab = Lab::new();
    let archive = TestArchive::new(&lab);
    let leader = lab.leader_with(&["--wal-segment-size", "1MB", "-c", "archive_mode=on"]);
    fs::write(leader.dir().join("postgresql.conf"), archives_when_mounted(archive.path())).unwrap();
    leader.sql("SELECT pg_reload_conf()");
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES ('in the backup')");
    let mut backup =
        spawn_stock(&lab, "pg_basebackup", &leader, &["-D", "backup", "-X", "none", "-c", "fast"]);
    wait_until("it waits for the archive", || phase(&leader) == "waiting for wal archiving to finish");
    let last = leader.sql("SELECT pg_walfile_name(pg_current_wal_lsn())");
    wait_until("an attempt has failed", || {
        leader.sql("SELECT failed_count > 0 FROM pg_stat_archiver") == "t"
    });
    assert!(backup.exited().is_none(), "{}", backup.output());
    // one segment was ended for it, and no more
    assert_eq!(leader.sql("SELECT pg_walfile_name(pg_current_wal_lsn())"), last);
    fs::write(archive.path().join("mounted"), "").unwrap();
    leader.sql("SELECT pg_reload_conf()");
    assert!(backup.wait_exit(Duration::from_secs(60)).success(), "{}", backup.output());
    let told = backup.output();
    let told: Vec<&str> = told.lines().filter(|line| !line.contains("waiting for required")).collect();
    golden("backup_archived", &told.join("\n"), lab.path());
    fs::remove_file(archive.path().join("mounted")).unwrap();
    lab.restore("backup", "restored", &[]).success();
}

#[test]
fn a_backup_that_waits_can_be_cancelled() {
    let lab = Lab::new();
    let leader = lab.leader_with(&["-c", "archive_mode=on", "-c", "archive_directory=/nowhere/at/all"]);
    let mut backup =
        spawn_stock(&lab, "pg_basebackup", &leader, &["-D", "backup", "-X", "none", "-c", "fast"]);
    wait_until("it waits for the archive", || phase(&leader) == "waiting for wal archiving to finish");
    backup.signal(libc::SIGINT);
    assert!(!backup.wait_exit(Duration::from_secs(60)).success());
    wait_until("the server has noticed", || phase(&leader).is_empty());
    // with their own log, backups need no archive
    lab.base_backup(&leader, "ours");
}
