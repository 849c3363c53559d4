//! Of several followers the one that has most of the log is promoted, and never on a guess.

use walship_tests::{Lab, Proxy, Weather, wait_caught_up, wait_until};

#[test]
fn the_most_advanced_follower_is_promoted() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let slow_link = Proxy::to(leader.port());
    let mut behind = lab.follower_with("behind", slow_link.port(), &[]);
    let mut ahead = lab.follower_with("ahead", leader.port(), &[]);
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES('everywhere')");
    wait_caught_up(&leader, &behind);
    slow_link.set(Weather::Cut);
    leader.sql("INSERT INTO t VALUES('only ahead')");
    wait_caught_up(&leader, &ahead);
    let of = |port: u16| format!("host=127.0.0.1 port={port} user=postgres");
    let (first, second) = (of(behind.port()), of(ahead.port()));
    // while there is a leader nobody is promoted this way
    let refused = lab.walctl(&["promote", "--best", &of(leader.port()), &second]);
    assert_eq!(refused.status, Some(1));
    assert!(refused.stderr.contains("is the leader of timeline 1 already"), "{}", refused.stderr);
    leader.kill();
    // nor while the best one may be the one that does not answer
    ahead.kill();
    let refused = lab.walctl(&["promote", "--best", &first, &second]);
    assert_eq!(refused.status, Some(1));
    assert!(refused.stderr.contains("not every follower can be reached"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(behind.sql("SELECT pg_is_in_recovery()"), "t");
    ahead.start();
    let promoted = lab.walctl(&["promote", "--best", &first, &second]).success();
    assert!(promoted.contains(&format!("promoted: 127.0.0.1:{}", ahead.port())), "{promoted}");
    assert_eq!(promoted.matches("follower").count(), 2, "{promoted}");
    assert_eq!(ahead.sql("SELECT count(*) FROM t"), "2");
    // a later timeline goes before a longer log, and --force goes without those that are gone
    ahead.kill();
    let json = lab.walctl(&["promote", "--best", &first, &second, "--force", "--json"]).success();
    let told: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(told["server"], format!("127.0.0.1:{}", behind.port()));
    assert_eq!(told["candidates"][1]["server"], format!("127.0.0.1:{}", ahead.port()));
    assert!(told["candidates"][1]["error"].is_string(), "{json}");
    wait_until("it writes", || {
        behind.psql("postgres", &["-c", "INSERT INTO t VALUES('x')"]).status == Some(0)
    });
    behind.kill();
    let refused = lab.walctl(&["promote", "--best", &first, "--force"]);
    assert!(refused.stderr.contains("no follower can be reached"), "{}", refused.stderr);
}
