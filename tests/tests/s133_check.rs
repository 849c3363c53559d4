//! `walctl check` says what is wrong with a data directory and its machine before it hurts, and changes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use walship_tests::{Authority, Lab, Node, sqlite3};

fn check(lab: &Lab, node: &Node) -> (Option<i32>, Vec<(String, String)>) {
    let output = lab.walctl(&["check", "--json", "-D", &node.dir().to_string_lossy()]);
    let told: Value =
        serde_json::from_str(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", output.transcript()));
    let findings = told["findings"].as_array().unwrap().iter();
    let all = findings.map(|finding| {
        let text = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
        (format!("{} {}", text("severity"), text("area")), format!("{} | {}", text("message"), text("mend")))
    });
    // what depends on the machine that runs the tests
    let ours = all.filter(|(kind, text)| !kind.ends_with(" space") && !text.contains("the system's \""));
    (output.status, ours.collect())
}

/// What does not depend on the machine that runs the tests.
fn without_the_machine(text: &str) -> String {
    let mut keep = true;
    let ours = text.lines().filter(|line| {
        if !line.starts_with(' ') {
            keep = !line.contains(": space: ")
                && !line.contains(": programs: ")
                && !line.contains(" (looked at ");
        }
        keep
    });
    ours.map(|line| format!("{line}\n")).collect()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

fn files(directory: &Path) -> BTreeSet<(String, Vec<u8>)> {
    let entries = fs::read_dir(directory).unwrap().flatten().filter(|entry| entry.path().is_file());
    entries
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap()))
        .collect()
}

#[test]
fn a_healthy_pair_has_no_errors_and_is_not_disturbed() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES (1)");
    for node in [&leader, &follower] {
        let (status, findings) = check(&lab, node);
        let others: Vec<_> = findings.iter().filter(|(kind, _)| kind != "note directory").collect();
        assert!(status == Some(0) && others.is_empty(), "{status:?} {others:?}");
    }
    leader.stop();
    let before = files(&leader.dir().join("base"));
    assert_eq!(check(&lab, &leader), (Some(0), Vec::new()));
    assert_eq!(files(&leader.dir().join("base")), before);
    let text = lab.walctl(&["check", "-D", &leader.dir().to_string_lossy()]).success();
    assert!(text.contains("no errors") && text.contains("looked at directory, settings"), "{text}");
}

#[test]
fn each_fault_is_named_with_a_way_out() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let other = lab.follower_with("other", leader.port(), &[]);
    drop(other);
    leader.sql("CREATE DATABASE shop");
    leader.stop();
    let dir = leader.dir().to_owned();
    let expect = |kind: &str, what: &[&str]| {
        let (status, findings) = check(&lab, &leader);
        let found =
            findings.iter().any(|(at, text)| at == kind && what.iter().all(|part| text.contains(part)));
        assert!(found, "no {kind} with {what:?} in {findings:#?}");
        assert_eq!(status, Some(i32::from(kind.starts_with("error"))), "{findings:#?}");
    };

    set_mode(&dir, 0o755);
    expect("error directory", &["has mode 0755: others may look into it", "chmod 700"]);
    set_mode(&dir, 0o700);
    set_mode(&dir.join("base/shop.db"), 0o666);
    expect("warning directory", &["shop.db\" has mode 0666", "chmod go-w"]);
    set_mode(&dir.join("base/shop.db"), 0o600);

    let auto = dir.join("postgresql.auto.conf");
    for (setting, kind, what) in [
        ("max_connections = many", "error settings", "many"),
        ("no_such_setting = 1", "error settings", "no_such_setting"),
        ("listen_addresses = '0.0.0.0'", "error settings", "refusing to listen on 0.0.0.0"),
        ("metrics_listen = '9633'", "error settings", "invalid address for metrics_listen"),
        ("max_slot_wal_keep_size = -1", "warning settings", "a follower that stays away fills the disk"),
        ("archive_mode = on", "error settings", "no log can be archived"),
        ("checksum_scrub_rate = 0", "warning settings", "checksum_scrub_rate = 0"),
        ("primary_conninfo = 'host=a password=secret'", "warning settings", "holds a password"),
        ("primary_conninfo = 'postgresql://u:secret@a/'", "warning settings", "holds a password"),
        ("primary_conninfo = 'nonsense'", "error settings", "invalid primary_conninfo"),
        ("max_wal_size = 2MB", "error settings", "max_wal_size"),
    ] {
        fs::write(&auto, format!("{setting}\n")).unwrap();
        expect(kind, &[what]);
    }
    fs::remove_file(&auto).unwrap();
    fs::write(dir.join("standby.signal"), "").unwrap();
    expect("error settings", &["primary_conninfo is empty"]);
    fs::remove_file(dir.join("standby.signal")).unwrap();

    let hba = dir.join("pg_hba.conf");
    let rules = fs::read_to_string(&hba).unwrap();
    fs::write(&hba, format!("{rules}\nhost all all 10.0.0.0/8 sesame\n")).unwrap();
    expect("error rules", &["sesame"]);
    fs::write(&hba, format!("{rules}\nhost all all 10.0.0.0/8 trust\n")).unwrap();
    expect("error rules", &["trust lets everybody on the network in", "scram-sha-256"]);
    fs::write(&hba, "local all all owner\n").unwrap();
    expect("warning rules", &["no line for replication"]);
    fs::write(&hba, &rules).unwrap();

    let authority = Authority::new(lab.path(), "authority");
    let expired = authority.expired_server("expired", &["localhost"]);
    let with = |settings: &[String]| {
        fs::write(&auto, settings.join("\n").replace('=', " = '").replace('\n', "'\n") + "'\n").unwrap();
    };
    with(&expired.settings());
    expect("error tls", &["expired", "pg_reload_conf()"]);
    let good = authority.server("good", &["localhost"]);
    with(&good.settings());
    set_mode(&good.key, 0o644);
    expect("error tls", &[&good.key.display().to_string()]);
    fs::remove_file(&auto).unwrap();

    let shop = dir.join("base/shop.db");
    fs::create_dir(dir.join("base/.shop.db-litestream")).unwrap();
    expect("error databases", &[".shop.db-litestream\" is Litestream's", "stop Litestream"]);
    fs::remove_dir(dir.join("base/.shop.db-litestream")).unwrap();
    let copy = fs::read(&shop).unwrap();
    sqlite3(&shop, "CREATE TABLE _litestream_seq(id INTEGER PRIMARY KEY, seq INTEGER)");
    expect("warning databases", &["table \"_litestream_seq\" of Litestream", "DROP TABLE"]);
    fs::write(&shop, &copy).unwrap();
    sqlite3(&shop, "PRAGMA journal_mode=DELETE");
    expect("error databases", &["shop.db\" is not in WAL mode"]);
    fs::write(&shop, "x".repeat(4096)).unwrap();
    expect("error databases", &["shop.db\" is not an SQLite database"]);
    fs::remove_file(&shop).unwrap();
    expect("error databases", &["shop.db\" is missing"]);
    fs::write(&shop, &copy).unwrap();

    // the whole of it, as a person reads it
    set_mode(&dir, 0o755);
    fs::write(&auto, "max_slot_wal_keep_size = -1\narchive_mode = on\n").unwrap();
    fs::write(&hba, format!("{rules}host all all 10.0.0.0/8 trust\nhost all all nowhere sesame\n")).unwrap();
    fs::create_dir(dir.join("base/.shop.db-litestream")).unwrap();
    let read = lab.walctl(&["check", "-D", &dir.to_string_lossy()]);
    assert_eq!(read.status, Some(1));
    walship_tests::golden("check_faults", &without_the_machine(&read.stdout), lab.path());

    fs::write(dir.join("control"), "x").unwrap();
    let broken = lab.walctl(&["check", "-D", &dir.to_string_lossy()]);
    assert_eq!(broken.status, Some(1));
    assert!(broken.stdout.starts_with("error: directory: "), "{}", broken.transcript());
}

#[test]
fn a_program_with_an_old_sqlite_is_seen() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(v)");
    // Python's module is linked with the system's library
    let script = "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nc.execute('SELECT * FROM t').fetchall()\n\
                  print(sqlite3.sqlite_version, flush=True)\nsys.stdin.read()";
    let mut reader = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(leader.database("postgres"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut version = String::new();
    let mut output = std::io::BufReader::new(reader.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut output, &mut version).unwrap();
    let (_, findings) = check(&lab, &leader);
    let named = format!("process {} (python3", reader.id());
    let seen = findings
        .iter()
        .find(|(_, text)| text.contains(&named) || text.contains(&format!("process {} (", reader.id())));
    drop(reader.stdin.take());
    reader.wait().unwrap();
    let (kind, text) = seen.unwrap_or_else(|| panic!("{findings:#?}"));
    assert!(
        text.contains("has postgres.db open with SQLite ") && text.contains(version.trim()),
        "{kind} {text}"
    );
}
