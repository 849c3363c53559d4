//! walctl archive cleanup removes what pg_archivecleanup would, and what it leaves is
//! enough for the backup that it was told to keep.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use walship_tests::{Lab, TestArchive, golden, output_of, postgres_program};

fn names(directory: &Path) -> BTreeSet<String> {
    fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn it_removes_what_pg_archivecleanup_removes() {
    let lab = Lab::new();
    let files = [
        "000000010000000000000003",
        "000000010000000000000005",
        "000000010000000000000005.partial",
        "000000010000000000000006",
        "000000020000000000000004.partial",
        "000000020000000000000006",
        "00000002.history",
        "000000010000000000000003.00000028.backup",
        "other.txt",
    ];
    let oldest = "000000020000000000000005.00000028.backup";
    for directory in ["ours", "theirs"] {
        fs::create_dir(lab.path().join(directory)).unwrap();
        for file in files {
            fs::write(lab.path().join(directory).join(file), "").unwrap();
        }
    }
    let dry = lab.walctl(&["archive", "cleanup", "-n", "ours", oldest]).success();
    let mut stock = Command::new(postgres_program("pg_archivecleanup"));
    let stock_dry = output_of(stock.args(["-n", "ours", oldest]).current_dir(lab.path())).success();
    let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<String>>();
    assert_eq!(sorted(&dry), sorted(&stock_dry));
    assert_eq!(names(&lab.path().join("ours")).len(), files.len(), "a dry run removed something");
    let debug = lab.walctl(&["archive", "cleanup", "-d", "ours", oldest]);
    golden("archive_cleanup_debug", &debug.stderr, lab.path());
    let mut stock = Command::new(postgres_program("pg_archivecleanup"));
    output_of(stock.args(["theirs", oldest]).current_dir(lab.path())).success();
    assert_eq!(names(&lab.path().join("ours")), names(&lab.path().join("theirs")));
    let bad = lab.walctl(&["archive", "cleanup", "ours", "00000002.history"]);
    golden("archive_cleanup_bad_oldest", &bad.transcript(), lab.path());
    let missing = lab.walctl(&["archive", "cleanup", "nowhere", oldest]);
    golden("archive_cleanup_no_archive", &missing.transcript(), lab.path());
}

#[test]
fn a_backup_names_what_it_needs() {
    let lab = Lab::new();
    let archive = TestArchive::new(&lab);
    let leader = archive.leader(&lab);
    leader.sql("CREATE TABLE t(v)");
    for backup in ["first", "second"] {
        leader.sql("INSERT INTO t VALUES (randomblob(2500000))");
        lab.base_backup(&leader, backup);
    }
    leader.sql("INSERT INTO t VALUES (randomblob(1500000))");
    archive.complete(&leader);
    let before = names(archive.path());
    lab.walctl(&["archive", "cleanup", "archive", "second"]).success();
    let after = names(archive.path());
    assert!(after.len() < before.len() && after.is_subset(&before), "{before:?} {after:?}");
    lab.walctl(&["archive", "cleanup", "archive", "second/backup_label"]).success();
    assert_eq!(names(archive.path()), after);
    // what came with the backups would hide what is missing from the archive
    for backup in ["first", "second"] {
        fs::remove_dir_all(lab.path().join(backup).join("pg_wal")).unwrap();
    }
    lab.restore("second", "from_second", &[]).success();
    let refused = lab.restore("first", "from_first", &[]).failure();
    assert!(refused.contains("is missing"), "{refused}");
}
