//! The files of leader and follower are held against the page hashes while sessions write: what is sound is never
//! reported, a byte that changed in a file is.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use walship_tests::{Lab, Load, Node, wait_until};
use walship_types::Lsn;

fn verified(node: &Node) -> (Lsn, String) {
    let session = node.connect();
    let sql = "SELECT o.verified_lsn, d.checksum_failures FROM walship_stat_database o \
               JOIN pg_stat_database d ON d.datid = o.datid WHERE o.datname = 'postgres'";
    let row = session.query(sql).unwrap().pop().unwrap();
    let lsn = row[0].as_ref().map_or(Lsn::INVALID, |text| text.parse().unwrap());
    (lsn, row[1].clone().unwrap())
}

#[test]
fn sound_files_are_verified_under_load_and_a_flipped_byte_is_found() {
    const FAST: [&str; 4] = ["-c", "checksum_scrub_rate=1GB", "-c", "sqlite_wal_seal_size=1MB"];
    let lab = Lab::new();
    let leader = lab.leader_with(&FAST);
    let follower = lab.follower_with("follower", leader.port(), &FAST);
    let session = leader.connect();
    session
        .run("CREATE TABLE t(id INTEGER PRIMARY KEY, v BLOB); INSERT INTO t(v) VALUES (randomblob(300000))");
    let load = Load::start(&leader, 4);
    for node in [&leader, &follower] {
        for pass in 1..=2 {
            let now: Lsn = session.value("SELECT pg_current_wal_lsn()").parse().unwrap();
            wait_until(&format!("{} is verified, pass {pass}", node.name()), || verified(node).0 >= now);
            session.run("INSERT INTO t(v) VALUES (randomblob(300000))");
        }
        assert_eq!(verified(node).1, "0", "{}", node.log());
    }
    load.finish();
    // beyond what the -wal holds: the page is only in the file
    for _ in 0..12 {
        session.run("INSERT INTO t(v) VALUES (randomblob(300000))");
    }
    let early = "SELECT min(pageno) FROM dbstat WHERE name = 't' AND pagetype = 'overflow'";
    let page: u64 = session.value(early).parse().unwrap();
    let file = OpenOptions::new().read(true).write(true).open(leader.database("postgres")).unwrap();
    let at = (page - 1) * 4096 + 2000;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    wait_until("the flipped byte is found", || verified(&leader).1 != "0");
    assert!(leader.log().contains("does not have its logged content"), "{}", leader.log());
    assert_eq!(verified(&follower).1, "0");
    let status = lab.walctl(&["status", &format!("127.0.0.1:{}", leader.port())]);
    assert_eq!(status.status, Some(1), "{}", status.transcript());
    assert!(status.stderr.contains("postgres"), "{}", status.transcript());
}
