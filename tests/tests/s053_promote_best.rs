//! Of several followers the one that has most of the log is promoted, and never on a guess.

use std::time::Duration;

use walship_tests::{Lab, Proxy, Role, Weather, wait_caught_up, wait_until, wait_until_within};

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

#[test]
fn one_that_is_behind_gets_the_rest_of_the_old_timeline_at_once() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let ahead = lab.follower_with("ahead", leader.port(), &[]);
    let links = [Proxy::to(leader.port()), Proxy::to(ahead.port())];
    let primary =
        format!("host=127.0.0.1,127.0.0.1 port={},{} user=postgres", links[0].port(), links[1].port());
    let retry = "wal_retrieve_retry_interval=200ms";
    let arguments = ["--primary", &primary, "--name", "behind", "-c", retry];
    let mut behind = lab.node(Role::Follower, "behind", &arguments);
    behind.start();
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES('everywhere')");
    wait_caught_up(&leader, &behind);
    links.iter().for_each(|link| link.set(Weather::Cut));
    leader.sql("INSERT INTO t VALUES('only ahead')");
    wait_caught_up(&leader, &ahead);
    leader.kill();
    let of = |port: u16| format!("host=127.0.0.1 port={port} user=postgres");
    let both = ["promote", "--best", &of(behind.port()), &of(ahead.port())];
    let promoted = lab.walctl(&both).success();
    assert!(promoted.contains(&format!("promoted: 127.0.0.1:{}", ahead.port())), "{promoted}");
    links[1].set(Weather::Fair);
    // long before the minute is over in which it follows nobody on the old timeline
    wait_until_within(Duration::from_secs(30), "it has the rest", || {
        behind.sql("SELECT count(*) FROM t") == "2"
    });
}
