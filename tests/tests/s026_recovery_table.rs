//! Crash recovery, row by row of its table: SQLite's files are put into the states that
//! a power cut or another program leaves, and the leader has to tell them apart.

use std::path::{Path, PathBuf};

use walship_tests::{Lab, Node, assert_identical, pages, sqlite3, wait_caught_up};

/// The three files of a database that SQLite may leave in any mixture.
fn files(node: &Node) -> Vec<PathBuf> {
    let database = node.database("postgres");
    vec![database.clone(), database.with_extension("db-wal"), database.with_extension("db-shm")]
}

fn save(node: &Node, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in files(node) {
        if file.exists() {
            std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
        }
    }
}

fn restore(node: &Node, from: &Path) {
    for file in files(node) {
        let saved = from.join(file.file_name().unwrap());
        if saved.exists() {
            std::fs::copy(&saved, &file).unwrap();
        } else {
            let _ = std::fs::remove_file(&file);
        }
    }
}

/// A leader with a follower and some content, and the number of rows in it.
struct Pair {
    leader: Node,
    follower: Node,
    rows: u32,
    // last, so that its directory outlives the others' logs
    lab: Lab,
}

impl Pair {
    fn new() -> Pair {
        let lab = Lab::new();
        let leader = lab.leader();
        let follower = lab.follower(&leader);
        leader.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)");
        let mut pair = Pair { lab, leader, follower, rows: 0 };
        pair.write(50);
        pair
    }

    fn write(&mut self, rows: u32) {
        let session = self.leader.connect();
        for _ in 0..rows {
            self.rows += 1;
            session
                .run(&format!("INSERT INTO t VALUES ({0}, 'row {0} ' || hex(randomblob(200)))", self.rows));
        }
    }

    /// Starts the leader and holds everything against what was acknowledged.
    fn recover(&mut self) {
        self.leader.start();
        let rows = self.rows.to_string();
        assert_eq!(self.leader.sql("SELECT count(*) FROM t WHERE v LIKE 'row %'"), rows);
        pages::assert_file_intact(&self.leader.database("postgres"));
        self.write(10);
        assert_identical(&self.leader, &self.follower, "postgres");
        // and a second crash right behind it
        self.leader.kill();
        self.leader.start();
        assert_identical(&self.leader, &self.follower, "postgres");
    }

    fn wal(&self) -> PathBuf {
        self.leader.database("postgres").with_extension("db-wal")
    }
}

#[test]
fn level_after_a_kill() {
    let mut pair = Pair::new();
    pair.leader.kill();
    pair.recover();
}

#[test]
fn frames_lost_in_a_power_cut() {
    let mut pair = Pair::new();
    let wal = pair.wal();
    let length = std::fs::metadata(&wal).unwrap().len();
    pair.write(30);
    pair.leader.kill();
    // what was not synced is gone: the -wal ends in the middle of a frame
    let file = std::fs::File::options().write(true).open(&wal).unwrap();
    file.set_len(length + 1000).unwrap();
    pair.recover();
}

#[test]
fn everything_after_the_redo_point_lost_in_a_power_cut() {
    let mut pair = Pair::new();
    let saved = pair.lab.path().join("saved");
    // what a checkpoint has synced is the least that a power cut leaves
    pair.leader.sql("CHECKPOINT");
    save(&pair.leader, &saved);
    pair.write(30);
    pair.leader.kill();
    restore(&pair.leader, &saved);
    pair.recover();
}

#[test]
fn frames_written_out_of_order_in_a_power_cut() {
    let mut pair = Pair::new();
    let wal = pair.wal();
    let length = std::fs::metadata(&wal).unwrap().len();
    pair.write(30);
    pair.leader.kill();
    // a hole in the middle, later frames reached the disk
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().write(true).open(&wal).unwrap();
    file.write_all_at(&[0; 2000], length + 5000).unwrap();
    pair.recover();
}

#[test]
fn the_files_of_an_older_moment_come_back() {
    let mut pair = Pair::new();
    let saved = pair.lab.path().join("saved");
    save(&pair.leader, &saved);
    pair.write(30);
    pair.leader.kill();
    restore(&pair.leader, &saved);
    pair.recover();
}

#[test]
fn the_files_of_an_older_moment_before_a_checkpoint_and_a_restart_of_the_wal() {
    let mut pair = Pair::new();
    for _ in 0..3 {
        pair.leader.kill();
        let saved = pair.lab.path().join("saved");
        save(&pair.leader, &saved);
        pair.leader.start();
        pair.write(20);
        pair.leader.kill();
        restore(&pair.leader, &saved);
        pair.recover();
    }
}

#[test]
fn a_stock_sqlite3_opened_the_file_while_the_leader_was_down() {
    let mut pair = Pair::new();
    pair.leader.sql("CHECKPOINT");
    pair.write(20);
    pair.leader.kill();
    // it recovers the -wal, moves it into the file at its close and deletes it
    let database = pair.leader.database("postgres");
    assert_eq!(sqlite3(&database, "SELECT count(*) FROM t").success(), pair.rows.to_string());
    assert!(!pair.wal().exists(), "the stock program was expected to delete the -wal");
    pair.recover();
}

#[test]
fn a_stock_sqlite3_wrote_while_the_leader_was_down() {
    let mut pair = Pair::new();
    pair.write(20);
    pair.leader.kill();
    let database = pair.leader.database("postgres");
    sqlite3(
        &database,
        "INSERT INTO t(v) VALUES ('row foreign'); CREATE TABLE extra(v); INSERT INTO extra VALUES (1)",
    )
    .success();
    pair.rows += 1;
    pair.recover();
    assert_eq!(pair.follower.sql("SELECT count(*) FROM extra"), "1");
    assert!(pair.leader.log().contains("another program"), "the log says nothing of a foreign commit");
}

#[test]
fn a_stock_sqlite3_wrote_without_closing_cleanly_while_the_leader_was_down() {
    let mut pair = Pair::new();
    pair.write(20);
    pair.leader.kill();
    let mut foreign = walship_tests::Reader::open(&pair.leader.database("postgres"));
    foreign.ask("INSERT INTO t(v) VALUES ('row foreign');");
    pair.rows += 1;
    drop(foreign); // killed
    pair.recover();
}

#[test]
fn lost_work_and_a_foreign_commit_at_once_are_refused() {
    let mut pair = Pair::new();
    pair.leader.sql("CHECKPOINT");
    pair.write(5);
    wait_caught_up(&pair.leader, &pair.follower);
    let saved = pair.lab.path().join("saved");
    pair.leader.kill();
    save(&pair.leader, &saved);
    pair.leader.start();
    pair.write(40);
    pair.leader.kill();
    restore(&pair.leader, &saved);
    sqlite3(&pair.leader.database("postgres"), "UPDATE t SET v = 'row foreign' WHERE id = 1").success();
    let output = walship_tests::output_of(&mut pair.leader.command());
    assert_ne!(output.status, Some(0));
    walship_tests::golden("recovery_refused", &output.without_log().transcript(), pair.lab.path());
}

#[test]
fn the_wal_was_taken_away_after_a_checkpoint() {
    let mut pair = Pair::new();
    // a reader that stays keeps what comes now out of the file, and a redo point does not wait for it
    let mut reader = walship_tests::Reader::open(&pair.leader.database("postgres"));
    reader.ask("BEGIN; SELECT count(*) FROM t;");
    pair.write(30);
    pair.leader.sql("CHECKPOINT");
    wait_caught_up(&pair.leader, &pair.follower);
    pair.leader.kill();
    drop(reader); // killed
    std::fs::remove_file(pair.wal()).unwrap();
    pair.recover();
    assert!(!pair.leader.log().contains("another program"), "lost work was taken for a foreign commit");
}

#[test]
fn the_wal_index_is_garbage() {
    let mut pair = Pair::new();
    pair.leader.kill();
    let shm = pair.leader.database("postgres").with_extension("db-shm");
    std::fs::write(&shm, vec![0xA5; 32 * 1024]).unwrap();
    pair.recover();
}
