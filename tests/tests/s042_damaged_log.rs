//! A bit that flips in a leader's log is named, and never shipped.

use std::fs::File;
use std::os::unix::fs::FileExt;

use walship_tests::{Lab, assert_identical, wait_caught_up, wait_until};
use walship_types::Lsn;

const SEGMENT_BYTES: u64 = 16 << 20;

fn flip(file: &File, offset: u64) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 4], offset).unwrap();
}

#[test]
fn a_flipped_bit_is_not_shipped() {
    let lab = Lab::new();
    // nearly all of the log has to be read from its files
    let leader = lab.leader_with(&["-c", "wal_hot_tail=64kB"]);
    leader.sql("CREATE TABLE t(v)");
    let mut follower = lab.follower(&leader);
    let start = wait_caught_up(&leader, &follower);
    follower.stop();
    for _ in 0..20 {
        leader.sql("INSERT INTO t VALUES (randomblob(100000))");
    }
    let damaged = Lsn(start.0 + 1_000_000);
    let name = format!("00000001{:08X}{:08X}", damaged.0 >> 32, (damaged.0 & 0xffff_ffff) / SEGMENT_BYTES);
    let segment = leader.dir().join("pg_wal").join(name);
    let segment = File::options().read(true).write(true).open(segment).unwrap();
    flip(&segment, damaged.0 % SEGMENT_BYTES);

    follower.start();
    wait_until("the leader says that its log is damaged", || leader.log().contains("streaming ended"));
    let received: Lsn = follower.sql("SELECT pg_last_wal_receive_lsn()").parse().unwrap();
    assert!(received <= damaged, "{received} was shipped, the log is damaged at {damaged}");
    assert!(follower.sql("SELECT count(*) FROM t").parse::<u32>().unwrap() < 20);

    // once the bit is right again, it goes on by itself
    flip(&segment, damaged.0 % SEGMENT_BYTES);
    assert_identical(&leader, &follower, "postgres");
    assert_eq!(follower.sql("SELECT count(*) FROM t"), "20");
}
