//! SQLite's own -wal stays bounded on both sides although short readers overlap all
//! the time, so that there is never a moment without one.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use walship_tests::{Lab, Load, Reader, assert_identical};

/// Twice the size at which the -wal is made to restart, and some.
const BOUND_BYTES: u64 = 24 << 20;

fn overlapping_readers(database: PathBuf, stop: &Arc<AtomicBool>) -> Vec<std::thread::JoinHandle<()>> {
    (0..3)
        .map(|_| {
            let (database, stop) = (database.clone(), stop.clone());
            std::thread::spawn(move || {
                let mut reader = Reader::open(&database);
                while !stop.load(Ordering::Relaxed) {
                    reader.ask("BEGIN; SELECT count(*) FROM ledger; SELECT max(seq) FROM ledger; COMMIT;");
                }
            })
        })
        .collect()
}

#[test]
fn overlapping_short_readers_do_not_let_the_wal_grow() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    let load = Load::start(&leader, 8);
    load.wait_for(50);
    walship_tests::wait_caught_up(&leader, &follower);
    let stop = Arc::new(AtomicBool::new(false));
    let mut readers = overlapping_readers(leader.database("postgres"), &stop);
    readers.extend(overlapping_readers(follower.database("postgres"), &stop));
    let mut largest = [0; 2];
    for _ in 0..20 {
        load.wait_for(500);
        for (node, largest) in [&leader, &follower].into_iter().zip(&mut largest) {
            let wal = node.database("postgres").with_extension("db-wal");
            *largest = (*largest).max(std::fs::metadata(wal).map_or(0, |file| file.len()));
        }
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.join().unwrap();
    }
    let record = load.finish();
    assert!(largest.iter().all(|&bytes| bytes < BOUND_BYTES), "the -wal files grew to {largest:?} bytes");
    assert_identical(&leader, &follower, "postgres");
    record.verify(&follower);
}

#[test]
fn a_long_reader_delays_the_restart_and_nothing_else() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    let load = Load::start(&leader, 8);
    load.wait_for(100);
    walship_tests::wait_caught_up(&leader, &follower);
    let mut on_leader = Reader::open(&leader.database("postgres"));
    let mut on_follower = Reader::open(&follower.database("postgres"));
    let before = on_leader.ask("BEGIN; SELECT count(*) FROM ledger;");
    on_follower.ask("BEGIN; SELECT count(*) FROM ledger;");
    load.wait_for(500);
    let redo = leader.sql("SELECT redo_lsn FROM pg_control_checkpoint()");
    leader.sql("CHECKPOINT");
    assert_ne!(
        leader.sql("SELECT redo_lsn FROM pg_control_checkpoint()"),
        redo,
        "a reader stops the redo point"
    );
    load.wait_for(500);
    assert_eq!(on_leader.ask("SELECT count(*) FROM ledger;"), before);
    let record = load.finish();
    assert_identical(&leader, &follower, "postgres");
    record.verify(&follower);
}
