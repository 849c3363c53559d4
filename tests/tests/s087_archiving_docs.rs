//! The scripts of docs/archiving.md do what that page says: each is run as it stands there,
//! in order.

use std::fs;
use std::process::Command;

use walship_tests::{
    Lab, Role, TestArchive, output_of, postgres_program, program, repository_root, wait_until,
};

/// The scripts on the page, in order.
fn scripts() -> Vec<String> {
    let page = fs::read_to_string(repository_root().join("docs/archiving.md")).unwrap();
    let blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.collect()
}

#[test]
fn a_night_a_mistake_and_the_way_back() {
    let lab = Lab::new();
    let archive = TestArchive::new(&lab);
    let leader = archive.leader(&lab);
    let backups = lab.path().join("backups");
    fs::create_dir(&backups).unwrap();
    let restored = lab.path().join("restored");
    let ours = program("walctl").parent().unwrap().to_owned();
    let stock = postgres_program("psql").parent().unwrap().to_owned();
    let path =
        format!("{}:{}:{}", ours.display(), stock.display(), std::env::var("PATH").unwrap_or_default());
    let run = |script: &str| {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(lab.path()).env("PATH", &path).env("PSQLRC", "/dev/null");
        shell.env("ARCHIVE", archive.path()).env("BACKUPS", &backups).env("RESTORED", &restored);
        shell.env("PGHOST", "127.0.0.1").env("PGPORT", leader.port().to_string());
        shell.env("PGUSER", "postgres").env("PGDATABASE", "postgres");
        output_of(&mut shell).success()
    };
    let scripts = scripts();
    let [nightly, name, recover, alert] = scripts.as_slice() else {
        panic!("the page has {} scripts", scripts.len());
    };
    leader.sql("CREATE TABLE orders(id INTEGER PRIMARY KEY, note)");
    for night in 0..3 {
        leader.sql("INSERT INTO orders(note) VALUES (randomblob(1200000))");
        archive.complete(&leader);
        let taken = fs::read_dir(&backups).unwrap().count();
        run(nightly);
        assert_eq!(fs::read_dir(&backups).unwrap().count(), (taken + 1).min(2), "night {night}");
        // the scripts name backups by the second
        let second = || output_of(Command::new("date").arg("+%s")).success();
        let taken_at = second();
        wait_until("another second begins", || second() != taken_at);
    }
    assert!(!archive.path().join("000000010000000000000001").exists(), "the archive was not cleaned up");
    leader.sql("INSERT INTO orders(note) VALUES ('today')");
    run(name);
    leader.sql("DROP TABLE orders");
    let shown = run(recover);
    assert!(shown.contains("timeline 2") || shown.contains("TimeLineID"), "{shown}");
    assert_eq!(run(alert), "", "an alert without a reason");
    let mut clone = lab.node(Role::Leader, "restored", &[]);
    clone.start();
    assert_eq!(clone.sql("SELECT count(*), max(note) FROM orders WHERE id > 3"), "1|today");
    assert_eq!(clone.sql("SELECT count(*) FROM orders"), "4");
}
