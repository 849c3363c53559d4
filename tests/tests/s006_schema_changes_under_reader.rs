//! A stock sqlite3 stays connected to the follower's file for the whole run, while
//! the schema changes and VACUUM rewrites every page: it is never blocked, never sees
//! half a transaction, and needs no reconnect.

use walship_tests::{Lab, Reader, assert_identical, wait_caught_up};

#[test]
fn a_connected_reader_follows_schema_changes_and_vacuum() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    leader.sql("CREATE TABLE a(id INTEGER PRIMARY KEY, v TEXT)");
    wait_caught_up(&leader, &follower);
    let mut reader = Reader::open(&follower.database("postgres"));
    assert_eq!(reader.ask("SELECT count(*) FROM a;"), "0");

    let steps = [
        (
            "INSERT INTO a SELECT NULL, 'row ' || value FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL \
          SELECT value + 1 FROM n WHERE value < 5000) SELECT value FROM n)",
            "SELECT count(*) FROM a;",
            "5000",
        ),
        ("ALTER TABLE a ADD COLUMN w INTEGER DEFAULT 7", "SELECT sum(w) FROM a;", "35000"),
        ("CREATE INDEX a_v ON a(v)", "SELECT count(*) FROM a INDEXED BY a_v WHERE v = 'row 9';", "1"),
        ("CREATE TABLE b AS SELECT id, v FROM a WHERE id <= 100", "SELECT count(*) FROM b;", "100"),
        ("DELETE FROM a WHERE id > 100", "SELECT max(id) FROM a;", "100"),
        ("VACUUM", "SELECT count(*) FROM a JOIN b USING (id);", "100"),
        ("ALTER TABLE b RENAME TO c", "SELECT count(*) FROM c;", "100"),
        ("DROP TABLE a", "SELECT group_concat(name) FROM sqlite_schema;", "c"),
        ("VACUUM", "PRAGMA freelist_count;", "0"),
    ];
    for (statement, question, answer) in steps {
        leader.sql(statement);
        wait_caught_up(&leader, &follower);
        assert_eq!(reader.ask(question), answer, "after {statement}");
        assert_eq!(reader.ask("PRAGMA integrity_check;"), "ok", "after {statement}");
    }
    assert_identical(&leader, &follower, "postgres");
}

#[test]
fn a_reader_inside_a_transaction_keeps_its_snapshot() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    leader.sql("CREATE TABLE pair(id INTEGER PRIMARY KEY, v INTEGER)");
    leader.sql("INSERT INTO pair VALUES (1, 0), (2, 0)");
    wait_caught_up(&leader, &follower);
    let mut holding = Reader::open(&follower.database("postgres"));
    assert_eq!(holding.ask("BEGIN; SELECT sum(v) FROM pair;"), "0");
    let mut looking = Reader::open(&follower.database("postgres"));
    for round in 1..=100 {
        leader.sql(&format!("BEGIN; UPDATE pair SET v = {round} WHERE id = 1; UPDATE pair SET v = -{round} WHERE id = 2; COMMIT"));
        // both halves of a transaction or neither
        assert_eq!(looking.ask("SELECT sum(v) FROM pair;"), "0");
    }
    wait_caught_up(&leader, &follower);
    assert_eq!(looking.ask("SELECT max(v) FROM pair;"), "100");
    assert_eq!(holding.ask("SELECT max(v) FROM pair;"), "0", "the open snapshot has moved");
    assert_eq!(holding.ask("COMMIT; SELECT max(v) FROM pair;"), "100");
    assert_identical(&leader, &follower, "postgres");
}
