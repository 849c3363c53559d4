//! kill -9 in the middle of work that takes more than one step: a base backup, the
//! creation of a database, VACUUM, checkpoints. What is half done is finished, taken
//! back or refused with a reason; never taken for whole.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use walship_tests::{
    Lab, Load, Node, Proxy, Role, Session, Weather, assert_identical, pages, wait_caught_up, wait_until,
};

#[test]
fn half_a_base_backup_is_refused_and_taken_again() {
    let lab = Lab::new();
    let leader = lab.leader();
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES (randomblob(4000000))");
    let proxy = Proxy::to(leader.port());
    proxy.set(Weather::Slow);
    let primary = format!("host=127.0.0.1 port={} user=postgres", proxy.port());
    let mut follower = lab.node(Role::Follower, "follower", &["--primary", &primary]);
    follower.spawn();
    let base = follower.dir().join("base");
    wait_until("half a base backup is there", || base.exists());
    follower.kill();

    let dir = follower.dir().to_string_lossy().into_owned();
    let refused = lab.run("walreceiver", &["-D", &dir]);
    assert_ne!(refused.status, Some(0), "half a backup was started: {}", refused.transcript());
    assert!(refused.transcript().contains("not completed"), "{}", refused.transcript());

    proxy.set(Weather::Fair);
    follower.start();
    assert_identical(&leader, &follower, "postgres");
}

#[test]
fn files_of_unfinished_databases_are_removed_at_start() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let mut follower = lab.follower(&leader);
    for node in [&mut leader, &mut follower] {
        node.kill();
        let left: Vec<_> = ["shop.db.new", "shop.db.new-journal"]
            .iter()
            .map(|name| node.dir().join("base").join(name))
            .collect();
        for file in &left {
            std::fs::write(file, "half a database").unwrap();
        }
        node.start();
        for file in &left {
            assert!(!file.exists(), "{} is still there", file.display());
        }
    }
    leader.sql("CREATE DATABASE shop");
    wait_caught_up(&leader, &follower);
    assert_identical(&leader, &follower, "shop");
}

/// Does what takes several steps, again and again, through crashes.
fn disturb(port: u16, stop: &AtomicBool) {
    let steps = [
        "CREATE DATABASE extra",
        "CHECKPOINT",
        "VACUUM",
        "CREATE TABLE IF NOT EXISTS big(v)",
        "INSERT INTO big VALUES (randomblob(600000))",
        "DELETE FROM big",
        "VACUUM",
        "DROP DATABASE extra",
    ];
    for step in steps.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        match Session::connect(port, "postgres") {
            // the other half of an interrupted step may be there already, or not at all
            Ok(session) => drop(session.query(step)),
            Err(_) => std::thread::yield_now(),
        }
    }
}

#[test]
fn crashes_amid_creations_drops_vacuum_and_checkpoints() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let mut follower = lab.follower(&leader);
    let load = Load::start(&leader, 4);
    let stop = Arc::new(AtomicBool::new(false));
    let disturber = {
        let (stop, port) = (Arc::clone(&stop), leader.port());
        std::thread::spawn(move || disturb(port, &stop))
    };
    for round in 0..8 {
        load.wait_for(40 + 17 * round);
        leader.kill();
        if round % 2 == 0 {
            follower.kill();
        }
        leader.start_if_down();
        follower.start_if_down();
    }
    load.wait_for(50);
    stop.store(true, Ordering::Relaxed);
    disturber.join().unwrap();
    let record = load.finish();
    record.verify(&leader);
    assert_identical(&leader, &follower, "postgres");
    record.verify(&follower);
    assert_same_databases(&leader, &follower);
    // and what both remember of it is enough for another start of each
    follower.restart();
    leader.restart();
    leader.sql("INSERT INTO ledger VALUES (-1, -1, 'last')");
    assert_identical(&leader, &follower, "postgres");
    assert_same_databases(&leader, &follower);
}

fn assert_same_databases(leader: &Node, follower: &Node) {
    let list = "SELECT datname FROM pg_database ORDER BY 1";
    let databases = leader.sql(list);
    assert_eq!(databases, follower.sql(list));
    if databases.contains("extra") {
        pages::assert_same(&leader.database("extra"), &follower.database("extra"));
    }
}
