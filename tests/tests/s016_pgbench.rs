//! pgbench in its three modes, with a TPC-B-like script in SQLite's dialect; the books
//! balance on both sides.

use walship_tests::{Lab, Node, assert_identical, pgbench};

/// What `pgbench -i` would make, at a tenth of its scale.
const TABLES: &str = "
    CREATE TABLE pgbench_branches(bid INTEGER PRIMARY KEY, bbalance INTEGER);
    CREATE TABLE pgbench_tellers(tid INTEGER PRIMARY KEY, bid INTEGER, tbalance INTEGER);
    CREATE TABLE pgbench_accounts(aid INTEGER PRIMARY KEY, bid INTEGER, abalance INTEGER, filler TEXT);
    CREATE TABLE pgbench_history(tid INTEGER, bid INTEGER, aid INTEGER, delta INTEGER, mtime TEXT);
    INSERT INTO pgbench_branches VALUES (1, 0);
    INSERT INTO pgbench_tellers WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10)
        SELECT i, 1, 0 FROM n;
    INSERT INTO pgbench_accounts WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)
        SELECT i, 1, 0, printf('%84s', '') FROM n;";

const SCRIPT: &str = r"\set aid random(1, 10000)
\set tid random(1, 10)
\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = 1;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, 1, :aid, :delta, CURRENT_TIMESTAMP);
END;
";

fn books(node: &Node) -> String {
    node.sql(
        "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers), \
         (SELECT sum(bbalance) FROM pgbench_branches), (SELECT sum(delta) FROM pgbench_history)",
    )
}

#[test]
fn three_modes_of_pgbench() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    leader.sql(TABLES);
    let script = lab.file("tpcb.sql", SCRIPT);
    for mode in ["simple", "extended", "prepared"] {
        let said = pgbench(leader.port(), &script, &["-M", mode, "-c", "8", "-j", "2", "-t", "50"]).success();
        assert!(said.contains("number of transactions actually processed: 400/400"), "{mode}: {said}");
        assert!(said.contains("number of failed transactions: 0"), "{mode}: {said}");
    }
    assert_eq!(leader.sql("SELECT count(*) FROM pgbench_history"), "1200");
    let sums = books(&leader);
    let all: Vec<&str> = sums.split('|').collect();
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]), "the books do not balance: {sums}");
    assert_identical(&leader, &follower, "postgres");
    assert_eq!(books(&follower), sums);
}

#[test]
fn select_only_on_the_follower() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql(TABLES);
    let follower = lab.follower(&leader);
    let script = lab.file(
        "select.sql",
        "\\set aid random(1, 10000)\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n",
    );
    let said =
        pgbench(follower.port(), &script, &["-M", "prepared", "-c", "8", "-j", "2", "-t", "200"]).success();
    assert!(said.contains("number of transactions actually processed: 1600/1600"), "{said}");
}
