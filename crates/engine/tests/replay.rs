//! What a leader logged becomes the same pages on a follower, however it is cut into
//! batches and wherever replay is stopped and started again.

mod support;

use proptest::prelude::*;
use rusqlite::Connection;
use support::{Dice, ToyFollower, ToyLeader, assert_same_pages, first_lsn, page_size};
use walship_engine::redo::{Redo, ReplayProblem, Restartpoint};
use walship_types::{DatabaseId, PageNo};
use walship_wal::{Record, RecordKind};

/// A random statement of those that move pages about: inserts of all sizes, updates,
/// deletes, schema changes, shrinking and growing again.
fn random_sql(dice: &mut Dice) -> String {
    let n = dice.roll(1000);
    match dice.roll(12) {
        0..=3 => format!("INSERT INTO t(a, b) VALUES({n}, randomblob({}))", dice.roll(6000)),
        4 => format!(
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM s WHERE n<{})
             INSERT INTO t(a, b) SELECT n, hex(n) FROM s",
            1 + dice.roll(300)
        ),
        5 => format!("UPDATE t SET a=a+1 WHERE rowid%7={}", dice.roll(7)),
        6 => format!("DELETE FROM t WHERE rowid%3={}", dice.roll(3)),
        7 => "DELETE FROM t".to_owned(),
        8 => "VACUUM".to_owned(),
        9 => format!("CREATE TABLE IF NOT EXISTS t{n}(x, y UNIQUE); INSERT OR IGNORE INTO t{n} VALUES(1, 2)"),
        10 => format!("DROP TABLE IF EXISTS t{n}; CREATE INDEX IF NOT EXISTS i ON t(a)"),
        _ => "DROP INDEX IF EXISTS i".to_owned(),
    }
}

fn leader_with_table(dir: &std::path::Path, pragmas: &str) -> (ToyLeader, DatabaseId) {
    let mut leader = ToyLeader::new(dir);
    let id = leader.create("postgres", pragmas);
    leader.execute(id, "CREATE TABLE t(a, b)");
    (leader, id)
}

/// A follower that starts from nothing, at the first record.
fn empty_follower(dir: &std::path::Path, leader: &ToyLeader) -> (ToyFollower, Redo) {
    let follower = ToyFollower::new(dir);
    let redo = follower.start(&leader.source(), first_lsn(), first_lsn(), Vec::new());
    (follower, redo)
}

fn apply_all(redo: &mut Redo, records: &[Record]) {
    records.iter().for_each(|record| redo.apply(record).unwrap());
    redo.commit_batch().unwrap();
    assert_eq!(redo.stopped().map(ToString::to_string).collect::<Vec<_>>(), Vec::<String>::new());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_follower_has_the_leaders_pages(seed in any::<u64>(), bytes in 0usize..4, vacuum in 0u8..3, parts in 1usize..40) {
        let directory = tempfile::tempdir().unwrap();
        let bytes = [512u32, 1024, 4096, 65536][bytes];
        let pragmas = format!("PRAGMA page_size={bytes}; PRAGMA auto_vacuum={vacuum}");
        let mut leader = ToyLeader::new(&directory.path().join("leader"));
        leader.entries_per_part = parts;
        let id = leader.create("postgres", &pragmas);
        leader.execute(id, "CREATE TABLE t(a, b)");
        let (follower, mut redo) = empty_follower(&directory.path().join("follower"), &leader);
        let mut dice = Dice(seed);
        let mut from = first_lsn();
        for _ in 0..12 {
            for _ in 0..=dice.roll(4) {
                leader.execute(id, &random_sql(&mut dice));
                match dice.roll(6) {
                    0 => drop(leader.checkpoint()),
                    1 => leader.abandoned(id, PageNo(2)),
                    _ => {}
                }
            }
            let records = leader.records(from);
            from = leader.end();
            apply_all(&mut redo, &records);
            prop_assert_eq!(redo.visible(), from);
            assert_same_pages(&leader.databases[&id].path, &follower.path("postgres"));
        }
    }
}

#[test]
fn shrinking_and_growing_again_forgets_the_pages_in_between() {
    let directory = tempfile::tempdir().unwrap();
    let (mut leader, id) = leader_with_table(&directory.path().join("leader"), "");
    let (follower, mut redo) = empty_follower(&directory.path().join("follower"), &leader);
    let fill = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM s WHERE n<200)
                INSERT INTO t SELECT n, randomblob(1000) FROM s";
    leader.execute(id, fill);
    leader.execute(id, "DELETE FROM t; VACUUM");
    leader.execute(id, fill);
    // all in one batch, in which the file itself never has the pages in between
    apply_all(&mut redo, &leader.records(first_lsn()));
    assert_same_pages(&leader.databases[&id].path, &follower.path("postgres"));
    // and one by one
    let (single, mut redo) = empty_follower(&directory.path().join("single"), &leader);
    for record in leader.records(first_lsn()) {
        apply_all(&mut redo, &[record]);
    }
    assert_same_pages(&leader.databases[&id].path, &single.path("postgres"));
}

#[test]
fn readers_see_whole_transactions_and_new_schemas() {
    let directory = tempfile::tempdir().unwrap();
    let (mut leader, id) = leader_with_table(&directory.path().join("leader"), "");
    let (follower, mut redo) = empty_follower(&directory.path().join("follower"), &leader);
    let mut from = first_lsn();
    let mut catch_up = |leader: &ToyLeader, redo: &mut Redo| {
        let records = leader.records(from);
        from = leader.end();
        apply_all(redo, &records);
    };
    leader.execute(id, "INSERT INTO t VALUES(1, 'one')");
    catch_up(&leader, &mut redo);
    let count = |reader: &Connection| -> i64 {
        reader.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    };
    let old = Connection::open(follower.path("postgres")).unwrap();
    old.execute_batch("BEGIN").unwrap();
    let mut seen = count(&old);
    assert_eq!(seen, 1);
    let connected = Connection::open(follower.path("postgres")).unwrap();
    assert_eq!(count(&connected), 1);
    // one that maps the file, into which others move frames
    let mapping = Connection::open(follower.path("postgres")).unwrap();
    let mapped: i64 = mapping.query_row("PRAGMA mmap_size=268435456", [], |row| row.get(0)).unwrap();
    assert!(mapped > 0, "this SQLite cannot map files");
    for round in 0..20 {
        leader.execute(id, &format!("CREATE TABLE n{round}(x); INSERT INTO t SELECT a, b FROM t LIMIT 50"));
        leader.execute(id, &format!("INSERT INTO n{round} VALUES({round})"));
        if round % 5 == 4 {
            leader.execute(id, "VACUUM");
        }
        catch_up(&leader, &mut redo);
        let found: i64 =
            connected.query_row(&format!("SELECT x FROM n{round}"), [], |row| row.get(0)).unwrap();
        assert_eq!(found, round);
        assert_eq!(count(&old), seen, "the snapshot stays, and nothing waits for it");
        let intact: String = mapping.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!((intact.as_str(), count(&mapping)), ("ok", count(&connected)));
        mapping.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        if round == 10 {
            old.execute_batch("ROLLBACK; BEGIN").unwrap();
            seen = count(&old);
        }
    }
    assert_same_pages(&leader.databases[&id].path, &follower.path("postgres"));
    let refused = connected.execute_batch("PRAGMA busy_timeout=0; INSERT INTO t VALUES(1, 2)");
    assert!(refused.is_err(), "a stranger cannot write between transactions");
}

/// After a full disk the log is read again from where the oldest open transaction began.
#[test]
fn records_that_come_again_are_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let (mut leader, id) = leader_with_table(&directory.path().join("leader"), "");
    leader.entries_per_part = 2;
    let (follower, mut redo) = empty_follower(&directory.path().join("follower"), &leader);
    leader.execute(id, "INSERT INTO t VALUES(1, randomblob(20000))");
    for round in 0..10 {
        leader.execute(id, &format!("UPDATE t SET a={round}"));
    }
    let records = leader.records(first_lsn());
    for (number, record) in records.iter().enumerate() {
        redo.apply(record).unwrap();
        for again in &records[number.saturating_sub(3)..=number] {
            redo.apply(again).unwrap();
        }
    }
    redo.commit_batch().unwrap();
    assert_eq!(redo.stopped().count(), 0, "{:?}", redo.stopped().next());
    assert_same_pages(&leader.databases[&id].path, &follower.path("postgres"));
}

#[test]
fn restarting_at_any_record_gives_the_same_pages() {
    let directory = tempfile::tempdir().unwrap();
    let (mut leader, id) = leader_with_table(&directory.path().join("leader"), "");
    leader.entries_per_part = 3;
    let other = leader.create("other", "PRAGMA encoding='UTF-16le'; PRAGMA page_size=1024");
    leader.execute(other, "CREATE TABLE t(a, b)");
    let mut dice = Dice(4711);
    for round in 0..25 {
        leader.execute(if round % 3 == 0 { other } else { id }, &random_sql(&mut dice));
        if round % 8 == 7 {
            leader.checkpoint();
        }
    }
    let records = leader.records(first_lsn());
    for stop in (0..records.len()).step_by(3) {
        let dir = directory.path().join(format!("follower{stop}"));
        let (follower, mut redo) = empty_follower(&dir, &leader);
        // killed after `stop` records, some of which nobody has seen yet
        for (index, record) in records.iter().take(stop).enumerate() {
            redo.apply(record).unwrap();
            if index % 4 == 0 {
                redo.commit_batch().unwrap();
            }
        }
        drop(redo);
        // the log reached further than replay had come
        let end = records.get(stop + stop % 7).map_or(leader.end(), |record| record.end);
        let mut redo = follower.start(&leader.source(), first_lsn(), end, Vec::new());
        let from = redo.resume_from();
        let rest: Vec<Record> = records.iter().filter(|record| record.lsn >= from).cloned().collect();
        apply_all(&mut redo, &rest);
        for id in [id, other] {
            let name = leader.databases[&id].name.as_str();
            assert_same_pages(&leader.databases[&id].path, &follower.path(name));
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn a_restart_without_a_loss_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (mut leader, id) = leader_with_table(&directory.path().join("leader"), "");
    let (follower, mut redo) = empty_follower(&directory.path().join("follower"), &leader);
    leader.execute(id, "INSERT INTO t VALUES(1, randomblob(100000))");
    apply_all(&mut redo, &leader.records(first_lsn()));
    let reader = Connection::open(follower.path("postgres")).unwrap();
    let version = || -> i64 { reader.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap() };
    let before = version();
    drop(redo);
    let redo = follower.start(&leader.source(), first_lsn(), leader.end(), Vec::new());
    assert_eq!(redo.visible(), leader.end());
    assert_eq!(version(), before, "readers see nothing of it");
}

#[test]
fn a_restartpoint_is_where_replay_starts_again() {
    let directory = tempfile::tempdir().unwrap();
    let (mut leader, id) = leader_with_table(&directory.path().join("leader"), "");
    let (follower, mut redo) = empty_follower(&directory.path().join("follower"), &leader);
    assert!(redo.restartpoint().unwrap().is_none(), "no checkpoint was replayed");
    let fill = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM s WHERE n<200)
                INSERT INTO t SELECT n, randomblob(1000) FROM s";
    leader.execute(id, fill);
    let redo_lsn = leader.checkpoint();
    leader.execute(id, "UPDATE t SET a=a+1 WHERE rowid < 10");
    apply_all(&mut redo, &leader.records(first_lsn()));
    let point = redo.restartpoint().unwrap().unwrap();
    assert_eq!((point.redo, point.as_of), (redo_lsn, leader.end()));
    assert_eq!(point.states.len(), 1);
    assert!(point.states[0].position.frame > 0, "it has this node's own -wal position");
    leader.execute(id, "UPDATE t SET a=a+1 WHERE rowid > 190; CREATE TABLE u(x)");
    drop(redo);
    // with the table of page hashes, and without
    for keep in [true, false] {
        if !keep {
            std::fs::remove_file(follower.options.hash_path(&"postgres".parse().unwrap())).unwrap();
        }
        let mut redo = follower.start(&leader.source(), point.redo, leader.end(), point.states.clone());
        assert_eq!(redo.visible(), leader.end());
        assert_same_pages(&leader.databases[&id].path, &follower.path("postgres"));
        let end = leader.execute(id, "INSERT INTO u VALUES(1)");
        let records = leader.records(redo.resume_from());
        apply_all(&mut redo, &records);
        assert_eq!(redo.visible(), end);
    }
}

#[test]
fn databases_come_and_go() {
    let directory = tempfile::tempdir().unwrap();
    let mut leader = ToyLeader::new(&directory.path().join("leader"));
    let first = leader.create("a", "");
    leader.execute(first, "CREATE TABLE t(x)");
    leader.drop_database(first);
    let second = leader.create("a", "PRAGMA page_size=8192");
    leader.execute(second, "CREATE TABLE u(y); INSERT INTO u VALUES(randomblob(50000))");
    let gone = leader.create("gone", "");
    leader.execute(gone, "CREATE TABLE t(x)");
    leader.drop_database(gone);
    let records = leader.records(first_lsn());
    for stop in 0..=records.len() {
        let dir = directory.path().join(format!("follower{stop}"));
        let (follower, mut redo) = empty_follower(&dir, &leader);
        apply_all(&mut redo, &records[..stop]);
        drop(redo);
        let mut redo = follower.start(&leader.source(), first_lsn(), leader.end(), Vec::new());
        apply_all(&mut redo, &records);
        assert_same_pages(&leader.databases[&second].path, &follower.path("a"));
        assert!(!follower.path("gone").exists());
        assert!(redo.states().unwrap().iter().map(|state| state.id).eq([second]));
    }
}

#[test]
fn a_transaction_larger_than_the_memory_for_it_is_streamed() {
    let directory = tempfile::tempdir().unwrap();
    let (mut leader, id) = leader_with_table(&directory.path().join("leader"), "");
    let (mut follower, _) = empty_follower(&directory.path().join("follower"), &leader);
    follower.options.buffer_bytes_max = 64 << 10;
    let mut redo = follower.start(&leader.source(), first_lsn(), first_lsn(), Vec::new());
    leader.entries_per_part = 5;
    leader.execute(id, "INSERT INTO t VALUES(0, 'small')");
    let fill = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM s WHERE n<800)
                INSERT INTO t SELECT n, randomblob(3000) FROM s";
    leader.execute(id, fill);
    leader.execute(id, "DELETE FROM t WHERE a%2=0");
    leader.execute(id, "VACUUM");
    for number in 0..30 {
        // a large one that never gets its commit must leave no trace
        leader.abandoned(id, PageNo(2 + number));
    }
    leader.execute(id, "INSERT INTO t VALUES(0, 'after')");
    let records = leader.records(first_lsn());
    let reader_path = follower.path("postgres");
    for record in &records {
        redo.apply(record).unwrap();
        if record.kind == RecordKind::Pages && reader_path.exists() {
            let reader = Connection::open(&reader_path).unwrap();
            let ok: String = reader.query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap();
            assert_eq!(ok, "ok", "nobody sees half of it");
        }
    }
    redo.commit_batch().unwrap();
    assert_eq!(redo.stopped().count(), 0);
    assert_same_pages(&leader.databases[&id].path, &follower.path("postgres"));
}

#[test]
fn the_lock_page_is_stepped_over() {
    let directory = tempfile::tempdir().unwrap();
    let pragmas = "PRAGMA page_size=65536";
    let (mut leader, id) = leader_with_table(&directory.path().join("leader"), pragmas);
    let (_, mut redo) = empty_follower(&directory.path().join("follower"), &leader);
    let lock_page = page_size(65536).lock_page();
    leader.execute(id, "INSERT INTO t VALUES(1, randomblob(100000))");
    apply_all(&mut redo, &leader.records(first_lsn()));
    // hashing and writing agree that there is nothing at that page
    let tracked = walship_engine::page::page_hash(lock_page, &vec![1; 65536]);
    assert_eq!(tracked, walship_engine::page::NO_CONTENT);
}

#[test]
fn a_wrong_page_stops_its_database_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let (mut leader, id) = leader_with_table(&directory.path().join("leader"), "");
    let other = leader.create("other", "");
    leader.execute(other, "CREATE TABLE t(a)");
    let (follower, mut redo) = empty_follower(&directory.path().join("follower"), &leader);
    leader.execute(id, "INSERT INTO t VALUES(1, 'good')");
    apply_all(&mut redo, &leader.records(first_lsn()));
    let before = leader.end();
    leader.execute(id, "INSERT INTO t VALUES(2, 'bad')");
    leader.execute(other, "INSERT INTO t VALUES(1)");
    let mut records = leader.records(before);
    // a bit flips after the checksums of the log were checked
    let last = records[0].payload.len() - 1;
    let mut payload = records[0].payload.to_vec();
    payload[last] ^= 1;
    records[0].payload = payload.into();
    records.iter().for_each(|record| redo.apply(record).unwrap());
    redo.commit_batch().unwrap();
    let stops: Vec<_> = redo.stopped().collect();
    assert_eq!(stops.len(), 1);
    assert!(matches!(stops[0].problem, ReplayProblem::PageHash { .. }), "{}", stops[0]);
    assert_eq!(stops[0].lsn, records[0].lsn);
    assert_eq!(redo.visible(), records[0].lsn, "what is reported as replayed stays where it stopped");
    assert_eq!(follower.catalog.stopped.lock().len(), 1);
    assert_same_pages(&leader.databases[&other].path, &follower.path("other"));
    let reader = Connection::open(follower.path("postgres")).unwrap();
    let rows: i64 = reader.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1, "reads go on with the last good state");
    assert!(redo.restartpoint().unwrap().is_none(), "the log that heals it must stay");
    // which a restart does
    drop(redo);
    let redo = follower.start(&leader.source(), first_lsn(), leader.end(), Vec::new());
    assert_eq!(redo.stopped().count(), 0);
    assert_same_pages(&leader.databases[&id].path, &follower.path("postgres"));
}

#[test]
fn a_wrong_database_checksum_stops_the_database() {
    /// Where a commit's payload has it: docs/wal-format.md.
    const CHECKSUM_OFFSET: usize = 44;
    let directory = tempfile::tempdir().unwrap();
    let (mut leader, id) = leader_with_table(&directory.path().join("leader"), "");
    let (follower, mut redo) = empty_follower(&directory.path().join("follower"), &leader);
    leader.execute(id, "INSERT INTO t VALUES(1, 'good')");
    apply_all(&mut redo, &leader.records(first_lsn()));
    let before = leader.end();
    leader.execute(id, "INSERT INTO t VALUES(2, 'every page of it is right')");
    let mut records = leader.records(before);
    let commit = records.iter_mut().find(|record| record.kind == RecordKind::Commit).unwrap();
    let mut payload = commit.payload.to_vec();
    payload[CHECKSUM_OFFSET] ^= 1;
    commit.payload = payload.into();
    records.iter().for_each(|record| redo.apply(record).unwrap());
    redo.commit_batch().unwrap();
    let stop = redo.stopped().next().expect("a checksum that does not match went by");
    assert!(matches!(stop.problem, ReplayProblem::DatabaseChecksum { .. }), "{stop}");
    let reader = Connection::open(follower.path("postgres")).unwrap();
    let rows: i64 = reader.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 1, "reads go on with the last good state");
}

#[test]
fn a_foreign_write_is_taken_back() {
    let directory = tempfile::tempdir().unwrap();
    let (mut leader, id) = leader_with_table(&directory.path().join("leader"), "");
    let (follower, mut redo) = empty_follower(&directory.path().join("follower"), &leader);
    leader.execute(id, "INSERT INTO t VALUES(1, randomblob(50000))");
    leader.checkpoint();
    leader.execute(id, "INSERT INTO t VALUES(2, 'two')");
    apply_all(&mut redo, &leader.records(first_lsn()));
    let point = redo.restartpoint().unwrap().unwrap();
    drop(redo);
    // while the follower is down a stock program writes, and leaves its frames behind
    let stranger = Connection::open(follower.path("postgres")).unwrap();
    stranger.execute_batch("PRAGMA wal_autocheckpoint=0; DELETE FROM t; CREATE TABLE mine(x)").unwrap();
    std::mem::forget(stranger);
    let redo = follower.start(&leader.source(), point.redo, leader.end(), point.states);
    assert_eq!(redo.stopped().count(), 0);
    assert_same_pages(&leader.databases[&id].path, &follower.path("postgres"));
}

/// A follower whose file a stranger has written over, with nothing left of what was there but the log.
fn overwritten(directory: &std::path::Path) -> (ToyLeader, ToyFollower, Restartpoint) {
    let (mut leader, id) = leader_with_table(&directory.join("leader"), "");
    let (follower, mut redo) = empty_follower(&directory.join("follower"), &leader);
    leader.execute(id, "INSERT INTO t VALUES(1, 'one')");
    let other = leader.create("other", "");
    leader.execute(other, "CREATE TABLE f(x); INSERT INTO f VALUES(randomblob(3000000))");
    leader.checkpoint();
    apply_all(&mut redo, &leader.records(first_lsn()));
    let point = redo.restartpoint().unwrap().unwrap();
    drop(redo);
    // its frames are moved over the old content, and the -wal is deleted
    let stranger = Connection::open(follower.path("postgres")).unwrap();
    stranger.execute_batch("UPDATE t SET b='changed'; PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    (leader, follower, point)
}

#[test]
fn a_foreign_write_is_taken_back_from_the_log_before_the_restartpoint() {
    let directory = tempfile::tempdir().unwrap();
    let (leader, follower, point) = overwritten(directory.path());
    let redo = follower.start(&leader.source(), point.redo, leader.end(), point.states);
    assert_eq!(redo.stopped().count(), 0);
    assert_same_pages(&leader.dir.join("base/postgres.db"), &follower.path("postgres"));
}

#[test]
fn a_foreign_write_that_cannot_be_taken_back_stops_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let (leader, follower, point) = overwritten(directory.path());
    for segment in 1..point.redo.0 >> 20 {
        std::fs::remove_file(leader.dir.join(format!("pg_wal/00000001000000000000{segment:04X}"))).unwrap();
    }
    let redo = follower.start(&leader.source(), point.redo, leader.end(), point.states);
    let stop = redo.stopped().next().expect("it must not go on");
    assert!(matches!(stop.problem, ReplayProblem::ForeignWrite { unknown: 1, .. }), "{stop}");
    assert_eq!(redo.visible(), point.redo);
}
