//! Programs that know nothing of us write the same file.

use std::process::Command;

use crate::oracle::Oracle;
use crate::support::{Leader, until, write};

/// Runs the stock program, another SQLite, in a process of its own.
fn sqlite3(leader: &Leader, sql: &str) {
    let output = Command::new("sqlite3")
        .args(["-bail", "-cmd", ".timeout 20000"])
        .arg(leader.path())
        .arg(sql)
        .output();
    let output = output.expect("the sqlite3 program is needed for this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn replayed(leader: &Leader) -> Oracle {
    let database = leader.databases.get("t").unwrap();
    until("everything is captured", || {
        let info = database.info();
        info.wal_frames > 0 && leader.writer.flush(info.last_commit).is_ok() && !info.turn_held
    });
    let end = database.last_commit();
    leader.writer.flush(end).unwrap();
    Oracle::replay(&leader.writer.source(), leader.log_start, end)
}

#[test]
fn a_foreign_commit_is_found_by_itself_and_flagged() {
    let leader = Leader::with_database(4096, |_| {});
    let mut session = leader.session();
    write(&mut session, "CREATE TABLE t(a)").unwrap();
    sqlite3(&leader, "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);");
    let database = leader.databases.get("t").unwrap();
    until("two foreign commits are found", || database.info().foreign_commits == 2);
    let oracle = replayed(&leader);
    assert_eq!(oracle.foreign, 2);
    oracle.named("t").assert_is(&leader.export("t"));
}

#[test]
fn foreign_commits_between_our_own_keep_their_order() {
    let leader = Leader::with_database(4096, |options| options.seal_bytes = 100_000);
    let mut session = leader.session();
    write(&mut session, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)").unwrap();
    // an UPDATE that finds no row commits nothing
    write(&mut session, "INSERT INTO t(b) VALUES (1000)").unwrap();
    std::thread::scope(|scope| {
        let foreign = scope.spawn(|| {
            for i in 0..40 {
                sqlite3(&leader, &format!("UPDATE t SET b = b + 1; INSERT INTO t(b) VALUES ({i});"));
            }
        });
        while !foreign.is_finished() {
            write(&mut session, "INSERT INTO t(b) VALUES (1000)").unwrap();
        }
    });
    sqlite3(&leader, "VACUUM;");
    let database = leader.databases.get("t").unwrap();
    until("all foreign commits are found", || database.info().foreign_commits >= 81);
    let oracle = replayed(&leader);
    assert!(oracle.foreign >= 81, "{}", oracle.foreign);
    assert!(oracle.seals > 0);
    oracle.named("t").assert_is(&leader.export("t"));
}
