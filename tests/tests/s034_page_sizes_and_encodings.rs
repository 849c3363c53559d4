//! Databases of every page size, encoding and vacuum mode replicate, also those with
//! more than a gibibyte, where SQLite skips the page that its locks live on.

use walship_tests::{Lab, assert_identical, sqlite3};

const CONTENT: &str = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, w BLOB);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
    INSERT INTO t SELECT i, 'row ' || i || ' ümläut', randomblob(i % 300) FROM n;
    CREATE INDEX t_v ON t(v);";

#[test]
fn every_page_size() {
    let lab = Lab::new();
    let leader = lab.leader();
    let sizes: Vec<u32> = (9..=16).map(|bits| 1 << bits).collect();
    for size in &sizes {
        let file = lab.path().join(format!("{size}.db"));
        sqlite3(&file, &format!("PRAGMA page_size = {size}; {CONTENT}")).success();
        lab.import(&leader, &file, &format!("p{size}"));
    }
    let follower = lab.follower(&leader);
    for size in &sizes {
        let name = format!("p{size}");
        let session = leader.connect_to(&name);
        assert_eq!(session.value("PRAGMA page_size"), size.to_string());
        session.run("UPDATE t SET w = randomblob(200) WHERE id % 3 = 0; DELETE FROM t WHERE id % 5 = 0");
        session.run("VACUUM");
        assert_identical(&leader, &follower, &name);
    }
}

#[test]
fn utf_16_and_other_journal_modes() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    for (name, pragmas) in [
        ("utf16le", "PRAGMA encoding = 'UTF-16le';"),
        ("utf16be", "PRAGMA encoding = 'UTF-16be'; PRAGMA journal_mode = wal;"),
        ("truncate", "PRAGMA journal_mode = truncate;"),
        ("incremental", "PRAGMA auto_vacuum = incremental;"),
    ] {
        let file = lab.path().join(format!("{name}.db"));
        sqlite3(&file, &format!("{pragmas} {CONTENT}")).success();
        lab.import(&leader, &file, name);
        let session = leader.connect_to(name);
        assert_eq!(session.value("SELECT v FROM t WHERE id = 7"), "row 7 ümläut");
        session.run("INSERT INTO t(v) VALUES ('日本')");
        session.run("DELETE FROM t WHERE id < 1000");
        assert_identical(&leader, &follower, name);
        assert_eq!(follower.connect_to(name).value("SELECT v FROM t WHERE v = '日本'"), "日本");
    }
}

#[test]
fn a_database_beyond_the_lock_page() {
    let lab = Lab::new();
    let leader = lab.leader();
    let file = lab.path().join("big.db");
    // large pages and large zero blobs: more than a gibibyte in few pages and little time
    sqlite3(
        &file,
        "PRAGMA page_size = 65536; PRAGMA journal_mode = off; PRAGMA synchronous = off;
         CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1070)
         INSERT INTO t SELECT i, zeroblob(1000000) FROM n;",
    )
    .success();
    lab.import(&leader, &file, "big");
    std::fs::remove_file(&file).unwrap();
    let follower = lab.follower(&leader);
    let session = leader.connect_to("big");
    assert!(
        session.value("PRAGMA page_count").parse::<u32>().unwrap() > 16_385,
        "the database ends before its lock page"
    );
    session.run("INSERT INTO t SELECT NULL, randomblob(700000) FROM t LIMIT 20");
    assert_identical(&leader, &follower, "big");
    session.run("DELETE FROM t WHERE id BETWEEN 500 AND 1060");
    assert_identical(&leader, &follower, "big");
}
