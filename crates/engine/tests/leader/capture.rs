//! What a leader's sessions commit is in the log, page for page.

use crate::oracle::Oracle;
use crate::support::{FOREVER, Leader, run, write};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use walship_engine::Session;

/// More than a session's page cache holds, so that pages are written before their commit.
const BULK: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
    INSERT INTO t(b, c) SELECT randomblob(700), i FROM n";

fn check(leader: &Leader) -> Oracle {
    let end = leader.databases.get("t").unwrap().last_commit();
    leader.writer.flush(end).unwrap();
    let oracle = Oracle::replay(&leader.writer.source(), leader.log_start, end);
    oracle.named("t").assert_is(&leader.export("t"));
    oracle
}

/// One random statement or transaction; what SQLite refuses is fine too.
fn random_step(session: &mut Session, random: &mut StdRng) {
    let id = random.random_range(0..400);
    let size = [10, 100, 900, 5000][random.random_range(0..4)];
    let blob = format!("randomblob({size})");
    let upsert = format!("INSERT OR REPLACE INTO t VALUES ({id}, {blob}, {id} % 7)");
    let _ = match random.random_range(0..20) {
        0 => write(session, &format!("CREATE TABLE IF NOT EXISTS x{} (a, b)", id % 5)),
        1 => write(session, &format!("DROP TABLE IF EXISTS x{}", id % 5)),
        2 => write(session, &format!("CREATE INDEX IF NOT EXISTS i{} ON t(c, b)", id % 3)),
        3 => write(session, &format!("DELETE FROM t WHERE id > {id}")),
        4 => {
            session.before_vacuum(&FOREVER).unwrap();
            run(session, "VACUUM")
        }
        5 => write(session, "PRAGMA incremental_vacuum(3)"),
        6 | 7 => transaction(session, &upsert, random),
        8 => write(session, &format!("UPDATE t SET b = {blob} WHERE c = {}", id % 7)),
        9 => write(session, &format!("UPDATE t SET c = c + 1 WHERE id % 10 = {}", id % 10)),
        10 => {
            session.before_write(&FOREVER).unwrap();
            // reset after one row: SQLite commits without calling the hook
            let sql = format!("INSERT INTO t(b, c) VALUES ({blob}, 1), ({blob}, 2) RETURNING id");
            let row = session.connection().query_row(&sql, [], |row| row.get::<_, i64>(0));
            row.unwrap();
            session.after_statement()
        }
        _ => write(session, &upsert),
    };
    assert!(!session.holds_turn());
}

fn transaction(
    session: &mut Session,
    upsert: &str,
    random: &mut StdRng,
) -> Result<walship_engine::StatementEnd, walship_engine::EngineError> {
    run(session, "BEGIN")?;
    for step in 0..random.random_range(1..60) {
        let sql = match random.random_range(0..8) {
            0 => format!("SAVEPOINT s{step}"),
            1 => "ROLLBACK TO s0".to_owned(),
            2 => "RELEASE s0".to_owned(),
            3 => BULK.to_owned(),
            4 => format!("DELETE FROM t WHERE id % 9 = {}", step % 9),
            _ => upsert.replacen("400", &step.to_string(), 1),
        };
        let _ = write(session, &sql);
    }
    run(session, if random.random_range(0..3) == 0 { "ROLLBACK" } else { "COMMIT" })
}

fn torture(page_size: u32, auto_vacuum: &str, seed: u64) {
    println!("page size {page_size}, auto_vacuum {auto_vacuum}, seed {seed}");
    let leader = Leader::with_database(page_size, |options| {
        options.cache_kib = 40; // so that transactions spill into the -wal
        options.seal_bytes = 400_000;
        options.capture_cache_bytes = 50 * page_size as usize;
    });
    let mut random = StdRng::seed_from_u64(seed);
    let mut session = leader.session();
    session.connection().pragma_update(None, "auto_vacuum", auto_vacuum).unwrap();
    session.before_vacuum(&FOREVER).unwrap();
    run(&mut session, "VACUUM").unwrap();
    write(&mut session, "CREATE TABLE t(id INTEGER PRIMARY KEY, b BLOB, c INTEGER)").unwrap();
    for step in 0..150 {
        random_step(&mut session, &mut random);
        if step % 40 == 39 {
            leader.databases.checkpoint(false).unwrap();
        }
    }
    let oracle = check(&leader);
    assert!(oracle.deltas > 0 && oracle.images > 0 && oracle.redo_points > 0);
    let intact: String =
        session.connection().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(intact, "ok");
}

#[test]
fn random_transactions_on_every_page_size_are_in_the_log() {
    for (page_size, auto_vacuum, seed) in [
        (512, "none", 1),
        (1024, "full", 2),
        (4096, "none", 3),
        (4096, "full", 4),
        (8192, "incremental", 5),
        (65536, "full", 6),
    ] {
        torture(page_size, auto_vacuum, seed);
    }
}

#[test]
fn a_commit_without_a_hook_call_is_captured() {
    let leader = Leader::with_database(4096, |_| {});
    let mut session = leader.session();
    write(&mut session, "CREATE TABLE t(a)").unwrap();
    session.before_write(&FOREVER).unwrap();
    let sql = "INSERT INTO t VALUES (1), (2) RETURNING a";
    assert_eq!(session.connection().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 1);
    let end = session.after_statement().unwrap();
    assert!(end.commit.is_some());
    let oracle = check(&leader);
    assert_eq!(oracle.foreign, 0);
}

/// SQLite writes pages of a transaction that is too large for its cache into the -wal before it commits, over and over,
/// with valid salts and checksums. What a rollback leaves of them is overwritten by the next commit.
#[test]
fn what_was_spilled_is_logged_as_it_was_committed() {
    let leader = Leader::with_database(4096, |options| options.cache_kib = 64);
    let mut session = leader.session();
    write(&mut session, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)").unwrap();
    let fill = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM s WHERE n<400)
                INSERT INTO t SELECT n, randomblob(1000) FROM s";
    let frames = |leader: &Leader| u64::from(leader.databases.get("t").unwrap().version().frames);
    let before = frames(&leader);
    let end = write(&mut session, &format!("BEGIN; {fill}; ROLLBACK")).unwrap();
    assert_eq!(end.commit, None);
    let size = std::fs::metadata(leader.path().with_extension("db-wal")).unwrap().len();
    assert!(size > 4096 * (before + 50), "nothing was spilled");
    assert_eq!(frames(&leader), before);
    write(&mut session, "INSERT INTO t VALUES (1000, 'small')").unwrap();
    check(&leader);
    let twice =
        format!("BEGIN; {fill}; UPDATE t SET b = zeroblob(1000); UPDATE t SET b = randomblob(900); COMMIT");
    write(&mut session, &twice).unwrap();
    check(&leader);
}

#[test]
fn after_a_redo_point_a_page_is_logged_in_full_once() {
    let leader = Leader::with_database(4096, |_| {});
    let mut session = leader.session();
    write(&mut session, "CREATE TABLE t(a)").unwrap();
    write(&mut session, "INSERT INTO t VALUES (zeroblob(3000))").unwrap();
    let mut images = |sql: &str| {
        let before = check(&leader);
        write(&mut session, sql).unwrap();
        let after = check(&leader);
        (after.images - before.images, after.deltas - before.deltas)
    };
    assert_eq!(images("UPDATE t SET a = zeroblob(3001)"), (0, 1));
    leader.databases.checkpoint(false).unwrap();
    assert_eq!(images("UPDATE t SET a = zeroblob(3002)"), (1, 0));
    assert_eq!(images("UPDATE t SET a = zeroblob(3003)"), (0, 1));
}

#[test]
fn a_small_commit_is_one_record_and_small() {
    let leader = Leader::with_database(4096, |_| {});
    let mut session = leader.session();
    write(&mut session, "CREATE TABLE t(a INTEGER PRIMARY KEY, b)").unwrap();
    write(&mut session, "INSERT INTO t VALUES (1, 'first touch')").unwrap();
    let before = leader.writer.positions().insert.get();
    let end = write(&mut session, "UPDATE t SET b = 'second touch'").unwrap().commit.unwrap();
    let bytes = end.checked_distance_from(before).unwrap();
    assert!(bytes < 200, "{bytes} bytes");
}

#[test]
fn utf16_databases_are_as_good_as_others() {
    let leader = Leader::new(|_| {});
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("utf16.db");
    let plain = rusqlite::Connection::open(&path).unwrap();
    plain
        .execute_batch("PRAGMA encoding='UTF-16le'; CREATE TABLE t(a TEXT); INSERT INTO t VALUES ('Grüße')")
        .unwrap();
    drop(plain);
    leader.databases.import(&crate::support::name("t"), &path, |_| true).unwrap();
    let mut session = leader.session();
    write(&mut session, "INSERT INTO t VALUES ('日本')").unwrap();
    let texts: String =
        session.connection().query_row("SELECT group_concat(a) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(texts, "Grüße,日本");
    check(&leader);
}
