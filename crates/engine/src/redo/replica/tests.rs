use rusqlite::Connection;
use tempfile::TempDir;
use walship_types::{SqliteWalPosition, Timestamp};
use walship_wal::payload::{CommitFlags, PagesPart, encode_image};

use super::*;

const ID: DatabaseId = DatabaseId(1);
const PATIENT: Patience<'_> = Patience { deadline: None, cancel: &|| false };

/// A leader's file without its log, and a replica of it.
struct Pair {
    directory: TempDir,
    leader: Connection,
    replica: Replica,
    /// What the replica was last told, and its size.
    told: (PageHashes, u32),
    /// A page that did not change, and is not in the log.
    unchanged: Option<PageNo>,
}

impl Pair {
    fn new(pragmas: &str) -> Pair {
        let directory = tempfile::tempdir().unwrap();
        let leader = Connection::open(directory.path().join("leader.db")).unwrap();
        leader.execute_batch(&format!("{pragmas}; PRAGMA journal_mode=WAL; CREATE TABLE t(a)")).unwrap();
        let hashes = Arc::new(TrackedHashes::new(PageHashes::new(PageSize::DEFAULT)));
        let path = directory.path().join("replica.db");
        let replica = Replica::new((ID, "t".parse().unwrap()), path, 1000, hashes, (Lsn::INVALID, None));
        Pair { directory, leader, replica, told: (PageHashes::new(PageSize::DEFAULT), 0), unchanged: None }
    }

    /// Entries of all pages of the leader.
    fn entries(&mut self) -> Vec<u8> {
        let db = DbPage::open(&self.directory.path().join("leader.db"), 0).unwrap();
        db.begin_read().unwrap();
        let (mut entries, mut hashes) = (Vec::new(), PageHashes::new(db.page_size()));
        db.for_each_page(|page, content| {
            let hash = page_hash(page, content);
            if self.unchanged != Some(page) {
                encode_image(&mut entries, page, hash, content);
            }
            hashes.set(page, hash);
            true
        })
        .unwrap();
        self.told = (hashes, db.page_count().unwrap());
        db.rollback().unwrap();
        entries
    }

    fn part(&mut self) {
        let entries = self.entries();
        let mut payload = Vec::new();
        PagesPart::encode_header(&mut payload, ID, true, PageSize::DEFAULT);
        payload.extend(entries);
        let part = PagesPart::decode(&payload).unwrap();
        self.replica.part(Lsn(8), true, part.page_size, part.entries(), &PATIENT).unwrap();
    }

    /// The record that closes a transaction; with every page of the leader if it is a `single` one.
    fn commit(&mut self, single: bool) {
        let entries = if single { self.entries() } else { Vec::new() };
        let flags = CommitFlags { single, ..CommitFlags::default() };
        let ((hashes, pages), position) = (&self.told, SqliteWalPosition::default());
        let checksum = hashes.checksum();
        let commit = Commit::new(ID, *pages, flags, PageSize::DEFAULT, position, Timestamp::now(), checksum);
        let mut payload = Vec::new();
        commit.unwrap().encode_header(&mut payload);
        payload.extend(entries);
        self.replica.commit(Lsn(16), &Commit::decode(&payload).unwrap(), &PATIENT).unwrap();
        self.replica.commit_batch(&PATIENT).unwrap();
        self.replica.hold_again(&PATIENT).unwrap();
    }

    fn stranger(&self) -> Connection {
        let stranger = Connection::open(self.replica.path()).unwrap();
        stranger.busy_timeout(Duration::ZERO).unwrap();
        stranger
    }
}

fn rows(connection: &Connection) -> i64 {
    connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

/// A full disk ends SQLite's transaction, and the log is read again from where it began.
#[test]
fn after_a_write_that_failed_the_next_one_is_a_transaction_again() {
    let mut pair = Pair::new("");
    pair.commit(true);
    let grow = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM s WHERE n<200)
                INSERT INTO t SELECT zeroblob(2000) FROM s";
    pair.leader.execute_batch(grow).unwrap();
    pair.part();
    pair.replica.stream(&PATIENT).unwrap();
    pair.replica.roll_back().unwrap();
    pair.part();
    pair.replica.stream(&PATIENT).unwrap();
    let stranger = pair.stranger();
    let intact: String = stranger.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!((intact.as_str(), rows(&stranger)), ("ok", 0), "half of a transaction is visible");
    assert!(stranger.execute_batch("INSERT INTO t VALUES (1)").is_err(), "anybody may write");
    pair.commit(false);
    assert_eq!(rows(&stranger), 200);
}

#[test]
fn what_came_in_while_there_was_no_lock_is_taken_back() {
    let mut pair = Pair::new("");
    pair.commit(true);
    pair.replica.roll_back().unwrap();
    let stranger = pair.stranger();
    stranger.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    pair.leader.execute_batch("CREATE TABLE u(a)").unwrap();
    pair.unchanged = Some(PageNo(2));
    pair.part();
    pair.replica.stream(&PATIENT).unwrap();
    pair.commit(false);
    assert_eq!(rows(&stranger), 0);
}

/// After a commit that brought a text encoding the connection is another one, whose versions cannot be compared.
#[test]
fn what_came_in_before_the_connection_was_opened_again_is_taken_back() {
    let mut pair = Pair::new("");
    pair.commit(true);
    pair.replica.roll_back().unwrap();
    let stranger = pair.stranger();
    stranger.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    pair.replica.db = pair.replica.db().map(|db| db.reopen().unwrap());
    pair.replica.fence(pair.told.1, true, &PATIENT).unwrap();
    assert_eq!(rows(&stranger), 0);
}
