//! Databases beyond 1 GiB, where SQLite leaves out a page.

use walship_engine::EngineError;
use walship_engine::page::{PageHashes, page_hash};
use walship_types::{PageNo, PageSize};

use crate::support::{FOREVER, Leader, NEVER, run, write};

/// What the file has, hashed page by page.
fn hashes_of_file(leader: &Leader) -> PageHashes {
    let mut hashes = PageHashes::new(PageSize::MAX);
    let mut page = 0;
    let database = leader.databases.get("t").unwrap();
    let exported = database.export(&NEVER, |chunk| {
        for content in chunk.chunks(PageSize::MAX.bytes()) {
            page += 1;
            hashes.set(PageNo(page), page_hash(PageNo(page), content));
        }
        Ok::<_, EngineError>(())
    });
    exported.unwrap();
    hashes
}

#[test]
fn the_lock_page_is_in_neither_file_nor_log() {
    let leader = Leader::with_database(65536, |_| {});
    let mut session = leader.session();
    write(&mut session, "CREATE TABLE t(a)").unwrap();
    run(&mut session, "BEGIN").unwrap();
    write(&mut session, "INSERT INTO t VALUES (zeroblob(600000000))").unwrap();
    write(&mut session, "INSERT INTO t VALUES (zeroblob(500000000)), ('behind the lock page')").unwrap();
    run(&mut session, "COMMIT").unwrap();
    let logged = session.database().hashes().unwrap();
    let pages = logged.lock().hashes.pages();
    assert!(pages > PageSize::MAX.lock_page().0, "{pages} pages");
    let file = hashes_of_file(&leader);
    assert_eq!((file.pages(), file.checksum()), (pages, logged.lock().hashes.checksum()));
    write(&mut session, "DELETE FROM t WHERE length(a) > 1000").unwrap();
    session.before_vacuum(&FOREVER).unwrap();
    run(&mut session, "VACUUM").unwrap();
    assert!(logged.lock().hashes.pages() < 10);
    assert_eq!(hashes_of_file(&leader).checksum(), logged.lock().hashes.checksum());
}
