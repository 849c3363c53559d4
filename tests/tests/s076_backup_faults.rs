//! What can go wrong with a backup is said with file, position, what was expected and
//! found, and the way out; nothing half done is left.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use walship_tests::{
    Lab, Load, Node, Output, Proxy, Weather, golden, output_of, program, spawn_stock, stock, wait_until,
};

fn basebackup(lab: &Lab, port: u16, arguments: &[&str]) -> Output {
    let port = port.to_string();
    let all = [&["basebackup", "-h", "127.0.0.1", "-U", "postgres", "-p", &port], arguments].concat();
    lab.walctl(&all)
}

fn leader_with_data(lab: &Lab) -> Node {
    let leader = lab.leader_with(&["--wal-segment-size", "1MB"]);
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES (randomblob(3000000))");
    leader
}

#[test]
fn a_target_that_is_not_empty_is_not_touched() {
    let lab = Lab::new();
    let leader = leader_with_data(&lab);
    fs::create_dir(lab.path().join("full")).unwrap();
    lab.file("full/precious", "data");
    let mut all = basebackup(&lab, leader.port(), &["-D", "full"]).transcript();
    all += &stock(&lab, "pg_basebackup", &leader, &["-D", "full"]).transcript();
    golden("backup_target_not_empty", &all, lab.path());
    assert_eq!(fs::read(lab.path().join("full/precious")).unwrap(), b"data");
}

/// The limit of the size of a file stands for a disk that is full.
#[test]
fn a_disk_that_takes_no_more_leaves_nothing() {
    let lab = Lab::new();
    let leader = leader_with_data(&lab);
    for format in ["plain", "tar"] {
        let script = "ulimit -f 1000; trap '' XFSZ; exec \"$0\" \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(program("walctl")).args([
            "basebackup",
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
        ]);
        command.args(["-p", &leader.port().to_string(), "-D", "small", "-F", format]);
        let output = output_of(command.current_dir(lab.path()));
        golden(&format!("backup_disk_full_{format}"), &output.transcript(), lab.path());
        assert!(!lab.path().join("small").exists(), "half a backup is left");
    }
}

#[test]
fn either_side_may_die() {
    let lab = Lab::new();
    let mut leader = leader_with_data(&lab);
    // the client: the server lets go of everything
    let slow = ["-D", "slow", "-c", "fast", "-X", "fetch", "-r", "300k"];
    let mut client = spawn_stock(&lab, "pg_basebackup", &leader, &slow);
    let running = "SELECT count(*) FROM pg_stat_progress_basebackup WHERE phase = 'streaming database files'";
    wait_until("the backup is under way", || leader.sql(running) == "1");
    client.kill();
    let any = "SELECT count(*) FROM pg_stat_progress_basebackup";
    wait_until("the server notices", || leader.sql(any) == "0");
    // the network: ours says so, and leaves nothing
    let proxy = Proxy::to(leader.port());
    let port = proxy.port().to_string();
    let mut command = Command::new(program("walctl"));
    command.args(["basebackup", "-h", "127.0.0.1", "-U", "postgres", "-p", &port, "-D", "cut", "-r", "300k"]);
    let log = lab.path().join("walctl.log");
    let mut client = walship_tests::Process::spawn("walctl", command_in(command, &lab), &log);
    wait_until("the backup is under way", || lab.path().join("cut/base/postgres.db").exists());
    proxy.set(Weather::Cut);
    assert_eq!(client.wait_exit(Duration::from_secs(30)).code(), Some(1), "{}", client.output());
    assert!(client.output().contains("walctl: error:"), "{}", client.output());
    assert!(!lab.path().join("cut").exists());
    // the server: the stock program removes its directory
    let mut client = spawn_stock(&lab, "pg_basebackup", &leader, &["-D", "gone", "-c", "fast", "-r", "300k"]);
    wait_until("the backup is under way", || leader.sql(running) == "1");
    leader.kill();
    assert!(!client.wait_exit(Duration::from_secs(60)).success());
    assert!(!lab.path().join("gone").exists());
    leader.start();
    basebackup(&lab, leader.port(), &["-D", "cut"]).success();
}

fn command_in(mut command: Command, lab: &Lab) -> Command {
    command.current_dir(lab.path());
    command
}

#[test]
fn files_of_different_backups_do_not_mix() {
    let lab = Lab::new();
    let leader = leader_with_data(&lab);
    let other_lab = Lab::new();
    let other = leader_with_data(&other_lab);
    basebackup(&lab, leader.port(), &["-D", "backup"]).success();
    basebackup(&lab, other.port(), &["-D", "other"]).success();
    fs::copy(lab.path().join("other/backup_label"), lab.path().join("backup/backup_label")).unwrap();
    let mut all = lab.walctl(&["verifybackup", "backup"]).transcript();
    let primary = format!("host=127.0.0.1 port={} user=postgres", leader.port());
    all += &lab.run("walreceiver", &["-D", "backup", "--primary", &primary]).transcript();
    golden("backup_label_of_another", &without_checksums(&all), lab.path());
}

/// Sums of files that differ from run to run.
fn without_checksums(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let (bare, rest) = word.split_at(word.find([',', '\n']).unwrap_or(word.len()));
        let sum = bare.len() == 8 && bare.chars().all(|c| c.is_ascii_hexdigit());
        if sum { format!("$SUM{rest}") } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_gap_in_the_log_and_a_manifest_that_lies_are_named() {
    let lab = Lab::new();
    let leader = leader_with_data(&lab);
    let load = Load::start(&leader, 2);
    // long enough for a log of several segments
    let mut backup =
        spawn_stock(&lab, "pg_basebackup", &leader, &["-D", "gap", "-X", "fetch", "-c", "fast", "-r", "2M"]);
    leader.sql("INSERT INTO t VALUES (randomblob(2500000))");
    assert!(backup.wait_exit(walship_tests::DEADLINE).success(), "{}", backup.output());
    load.finish();
    lab.walctl(&["verifybackup", "gap"]).success();
    let segments = segments(&lab.path().join("gap/pg_wal"));
    assert!(segments.len() >= 3, "{segments:?}");
    let middle = lab.path().join("gap/pg_wal").join(&segments[1]);
    let away = lab.path().join("away");
    fs::rename(&middle, &away).unwrap();
    let found = lab.walctl(&["verifybackup", "gap"]);
    assert!(found.stderr.contains(&segments[1]), "the segment is not named: {}", found.transcript());
    let mut all = found.transcript();
    fs::rename(&away, &middle).unwrap();
    // one digit of a size
    let manifest = lab.path().join("gap/backup_manifest");
    let text = fs::read_to_string(&manifest).unwrap();
    let at = text.find("\"Size\": ").unwrap() + 8;
    let file = fs::File::options().write(true).open(&manifest).unwrap();
    file.write_all_at(b"9", at as u64).unwrap();
    let lied = lab.walctl(&["verifybackup", "gap"]).transcript();
    let sums = without_sums(&lied);
    all += &sums;
    golden("backup_gap_and_lie", &all, lab.path());
}

/// Checksums of 64 digits are another each time.
fn without_sums(text: &str) -> String {
    let hex = |word: &str| word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
    let words = text.split_inclusive([' ', ',', '\n']).map(|part| {
        let bare = part.trim_end_matches([' ', ',', '\n']);
        if hex(bare) { part.replace(bare, "$SUM") } else { part.to_owned() }
    });
    words.collect()
}

fn segments(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| name.len() == 24);
    names.sort();
    names
}
