//! PostgreSQL's `pg_receivewal`, unmodified, keeps an archive that is the leader's log
//! byte for byte: with and without a slot, compressed, restarted, through a crash.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use walship_tests::{Lab, Load, Node, output_of, spawn_stock, stock, wait_until};

fn leader(lab: &Lab) -> Node {
    lab.leader_with(&["--wal-segment-size", "1MB", "-c", "wal_keep_size=200MB"])
}

/// Writes about so many segments, and ends with a new one.
fn fill(leader: &Node, segments: u32) {
    leader.sql("CREATE TABLE IF NOT EXISTS fill(v BLOB)");
    for _ in 0..segments {
        leader.sql("INSERT INTO fill VALUES (randomblob(1000000))");
    }
    leader.sql("SELECT pg_switch_wal()");
}

/// Whole segments of an archive, by name, decompressed.
fn archive(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (program, plain) = match name.rsplit_once('.') {
            None => ("cat", name.as_str()),
            Some((plain, "gz")) => ("zcat", plain),
            Some((plain, "lz4")) => ("lz4cat", plain),
            _ => continue,
        };
        let output = Command::new(program).arg(&path).output().unwrap();
        assert!(output.status.success(), "{program} {name} fails");
        found.insert(plain.to_owned(), output.stdout);
    }
    found
}

/// Every whole segment of the archive is the leader's, none is missing in between.
fn assert_same_log(leader: &Node, directory: &Path, least: usize) {
    let archive = archive(directory);
    assert!(archive.len() >= least, "only {} segments: {:?}", archive.len(), archive.keys());
    for (name, bytes) in &archive {
        let ours = fs::read(leader.dir().join("pg_wal").join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(*bytes == ours, "segment {name} differs from the leader's");
    }
    let number = |name: &str| {
        u64::from_str_radix(&name[8..16], 16).unwrap() * 4096 + u64::from_str_radix(&name[16..], 16).unwrap()
    };
    let numbers: Vec<u64> = archive.keys().map(|name| number(name)).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "a segment is missing: {numbers:?}");
}

#[test]
fn until_a_position_and_on_from_there() {
    let lab = Lab::new();
    let leader = leader(&lab);
    let load = Load::start(&leader, 2);
    // where there is nothing yet, it begins where the slot is, or else with what comes
    leader.sql("SELECT pg_create_physical_replication_slot('begin', true)");
    fill(&leader, 3);
    let received = lab.path().join("received");
    fs::create_dir(&received).unwrap();
    for (round, options) in [&[][..], &["--synchronous"], &["--no-sync"]].into_iter().enumerate() {
        let end = leader.sql("SELECT pg_current_wal_flush_lsn()");
        fill(&leader, 2);
        let all = [&["-D", "received", "-n", "--slot", "begin", "--endpos", &end], options].concat();
        stock(&lab, "pg_receivewal", &leader, &all).success();
        assert_same_log(&leader, &received, 2 * round + 1);
    }
    // the position that it was told to go to is in the last file
    load.finish();
}

#[test]
fn compressed_archives_are_the_same_log() {
    let lab = Lab::new();
    let leader = leader(&lab);
    leader.sql("SELECT pg_create_physical_replication_slot('begin', true)");
    fill(&leader, 4);
    let end = leader.sql("SELECT pg_current_wal_flush_lsn()");
    fill(&leader, 1);
    for (name, option) in [("gz", "--compress=gzip:1"), ("lz", "--compress=lz4"), ("z", "-Z5")] {
        fs::create_dir(lab.path().join(name)).unwrap();
        stock(
            &lab,
            "pg_receivewal",
            &leader,
            &["-D", name, "-n", "--slot", "begin", "--endpos", &end, option],
        )
        .success();
        assert_same_log(&leader, &lab.path().join(name), 3);
    }
}

#[test]
fn slots_are_made_used_and_dropped() {
    let lab = Lab::new();
    let leader = leader(&lab);
    let run = |arguments: &[&str]| stock(&lab, "pg_receivewal", &leader, arguments);
    run(&["--create-slot", "--slot", "archive"]).success();
    let again = run(&["--create-slot", "--slot", "archive"]).failure();
    assert!(again.contains("replication slot \"archive\" already exists"), "{again}");
    run(&["--create-slot", "--slot", "archive", "--if-not-exists"]).success();
    fs::create_dir(lab.path().join("received")).unwrap();
    // a slot that is used for the first time holds the log from where it is then
    let begun = ["-D", "received", "--slot", "archive", "--synchronous", "-n", "-s", "1"];
    let mut receiver = spawn_stock(&lab, "pg_receivewal", &leader, &begun);
    let slot =
        "SELECT active AND restart_lsn IS NOT NULL FROM pg_replication_slots WHERE slot_name = 'archive'";
    wait_until("the slot is in use", || leader.sql(slot) == "t");
    let busy = run(&["--drop-slot", "--slot", "archive"]).failure();
    assert!(busy.contains("replication slot \"archive\" is active for PID"), "{busy}");
    let busy = run(&["-D", "received", "--slot", "archive", "-n"]).failure();
    assert!(busy.contains("is active for PID"), "{busy}");
    fill(&leader, 3);
    let position = leader.sql("SELECT pg_current_wal_flush_lsn()");
    let reached = format!("SELECT restart_lsn >= '{position}' FROM pg_replication_slots");
    wait_until("what it wrote durably is let go of", || leader.sql(&reached) == "t");
    receiver.signal(libc::SIGINT);
    receiver.wait_exit(walship_tests::DEADLINE);
    assert_same_log(&leader, &lab.path().join("received"), 2);
    // it goes on where the slot is, into an empty directory too
    fill(&leader, 2);
    let end = leader.sql("SELECT pg_current_wal_flush_lsn()");
    fill(&leader, 1);
    fs::create_dir(lab.path().join("second")).unwrap();
    run(&["-D", "second", "--slot", "archive", "-n", "--endpos", &end]).success();
    assert_same_log(&leader, &lab.path().join("second"), 1);
    run(&["--drop-slot", "--slot", "archive"]).success();
    let gone = run(&["--drop-slot", "--slot", "archive"]).failure();
    assert!(gone.contains("replication slot \"archive\" does not exist"), "{gone}");
    assert_eq!(leader.sql("SELECT count(*) FROM pg_replication_slots"), "0");
}

#[test]
fn it_goes_on_through_a_crash_of_the_leader_and_its_own() {
    let lab = Lab::new();
    let mut leader = leader(&lab);
    leader.sql("CREATE TABLE fill(v BLOB)");
    let received = lab.path().join("received");
    fs::create_dir(&received).unwrap();
    stock(&lab, "pg_receivewal", &leader, &["--create-slot", "--slot", "a"]).success();
    // without -n it reconnects by itself
    let arguments = ["-D", "received", "--slot", "a", "--synchronous", "-s", "1"];
    let mut receiver = spawn_stock(&lab, "pg_receivewal", &leader, &arguments);
    let load = Load::start(&leader, 2);
    load.wait_for(100);
    fill(&leader, 2);
    leader.kill();
    leader.start();
    load.wait_for(100);
    fill(&leader, 2);
    receiver.kill();
    let mut receiver = spawn_stock(&lab, "pg_receivewal", &leader, &arguments);
    load.wait_for(100);
    fill(&leader, 1);
    load.finish();
    let end = leader.sql("SELECT pg_walfile_name(pg_current_wal_flush_lsn())");
    wait_until("everything is received", || {
        assert!(receiver.exited().is_none(), "it has ended: {}", receiver.output());
        received.join(format!("{end}.partial")).exists()
    });
    receiver.signal(libc::SIGINT);
    receiver.wait_exit(walship_tests::DEADLINE);
    assert_same_log(&leader, &received, 5);
    let all = output_of(Command::new("ls").arg(leader.dir().join("pg_wal"))).success();
    assert!(archive(&received).len() + 2 >= all.lines().filter(|name| name.len() == 24).count() / 2);
}
