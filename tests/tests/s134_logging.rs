//! Log lines go where they are wanted, as text or JSON, and parts of the server say more when they are asked to.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use walship_tests::{Lab, Node, wait_until};

fn log_files(node: &Node) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(node.dir().join("log")).unwrap().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files
}

#[test]
fn lines_go_to_files_that_follow_each_other() {
    let lab = Lab::new();
    let collector = ["-c", "logging_collector=on", "-c", "log_rotation_size=1kB"];
    let leader = lab.leader_with(&collector);
    assert!(!leader.log().contains("ready to accept connections"), "{}", leader.log());
    let first = log_files(&leader).remove(0);
    assert_eq!(std::fs::metadata(&first).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(first.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    wait_until("another file has begun", || {
        leader.sql("SELECT pg_reload_conf()");
        log_files(&leader).len() > 2
    });
    let text: String = log_files(&leader).iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    assert!(text.contains(" LOG:  ready to accept connections\n"), "{text}");
    let current = PathBuf::from(leader.sql("SELECT pg_current_logfile()"));
    assert!(log_files(&leader).contains(&current), "{}", current.display());
}

#[test]
fn files_may_hold_json_and_bad_names_are_refused() {
    let lab = Lab::new();
    let json =
        ["-c", "logging_collector=on", "-c", "log_destination=jsonlog", "-c", "log_filename=server.json"];
    let leader = lab.leader_with(&json);
    let text = std::fs::read_to_string(leader.dir().join("log/server.json")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().any(|line| line["event"] == "ready"), "{text}");
    assert_eq!(
        leader.sql("SELECT pg_current_logfile()"),
        leader.dir().join("log/server.json").to_string_lossy()
    );
    drop(leader);
    for name in ["../walship.log", "walship-%", ""] {
        let setting = format!("log_filename={name}");
        let refused = lab.run("walsender", &["-D", "leader", "-c", "logging_collector=on", "-c", &setting]);
        assert_eq!(refused.status, Some(1));
        assert!(refused.stderr.contains(&format!("invalid log_filename \"{name}\"")), "{}", refused.stderr);
    }
    if !Path::new("/run/systemd/journal/socket").exists() {
        let refused = lab.run("walsender", &["-D", "leader", "-c", "log_destination=journal"]);
        assert_eq!(refused.status, Some(1));
        assert!(refused.stderr.contains("could not connect to systemd's journal at"), "{}", refused.stderr);
    }
}

#[test]
fn modules_say_more_at_run_time() {
    let lab = Lab::new();
    let archive = lab.path().join("archive");
    std::fs::create_dir(&archive).unwrap();
    let setting = format!("archive_directory={}", archive.display());
    let leader = lab.leader_with(&["-c", "archive_mode=on", "-c", &setting]);
    leader.sql("CREATE TABLE t(v)");
    let archived = || leader.sql("SELECT archived_count FROM pg_stat_archiver").parse::<u64>().unwrap();
    let archive_one = || {
        let before = archived();
        leader.sql("INSERT INTO t VALUES (1)");
        leader.sql("SELECT pg_switch_wal()");
        wait_until("a segment is archived", || archived() > before);
    };
    let said = || leader.log().matches("DEBUG:  archived \"").count();
    archive_one();
    assert_eq!(said(), 0, "{}", leader.log());
    leader.sql("ALTER SYSTEM SET log_module_levels = 'run=debug1'");
    leader.sql("SELECT pg_reload_conf()");
    archive_one();
    wait_until("the archiver says what it does", || said() == 1);
    leader.sql("ALTER SYSTEM RESET log_module_levels");
    leader.sql("SELECT pg_reload_conf()");
    archive_one();
    archive_one();
    assert_eq!(said(), 1, "{}", leader.log());
    let refused =
        leader.psql("postgres", &["-c", "ALTER SYSTEM SET log_module_levels = 'wall=debug1'"]).stderr;
    assert!(refused.contains("there is no module \"wall\": there are access, archive,"), "{refused}");
}
