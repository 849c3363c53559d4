//! A follower becomes the leader with one command, and everyone goes on.

use walship_tests::{Lab, Load, Role, Session, assert_identical, wait_caught_up, wait_until};

#[test]
fn a_follower_is_promoted_and_its_sessions_write() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let mut follower = lab.follower(&leader);
    let load = Load::start(&leader, 4);
    load.wait_for(300);
    let record = load.finish();
    leader.sql(
        "CREATE TABLE numbers(id INTEGER PRIMARY KEY AUTOINCREMENT, v); INSERT INTO numbers(v) VALUES('old')",
    );
    wait_caught_up(&leader, &follower);
    let session = follower.connect();
    let refused = session.query("INSERT INTO numbers(v) VALUES('too early')").unwrap_err();
    assert!(refused.to_string().contains("25006"), "{refused}");
    leader.kill();
    let promoted = lab.walctl(&["promote", "-D", follower.dir().to_str().unwrap()]).success();
    assert!(promoted.starts_with("promoted: timeline 2 begins at 0/"), "{promoted}");
    session.run("INSERT INTO numbers(v) VALUES('new')");
    assert_eq!(session.value("SELECT id FROM numbers WHERE v = 'new'"), "1002");
    assert_eq!(session.value("SELECT pg_is_in_recovery()"), "f");
    assert_eq!(session.value("SHOW in_hot_standby"), "off");
    record.verify(&follower);
    let again = lab.walctl(&["promote", "-D", follower.dir().to_str().unwrap()]);
    assert_eq!(again.status, Some(1));
    assert!(again.stderr.contains("is the leader already"), "{}", again.stderr);
    drop(session);
    follower.kill();
    follower.start();
    assert_eq!(follower.sql("SELECT group_concat(id, ' ') FROM numbers"), "1 1002");
    record.verify(&follower);
    follower.restart();
    follower.sql("INSERT INTO numbers(v) VALUES('later')");
    // a crash before the first checkpoint as the leader makes the next start skip again
    let ids = follower.sql("SELECT group_concat(id, ' ') FROM numbers");
    assert!(ids == "1 1002 1003" || ids == "1 1002 2003", "{ids}");
}

#[test]
fn a_cascaded_follower_goes_over_to_the_new_timeline() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let mut middle = lab.follower_with("middle", leader.port(), &[]);
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES('one')");
    wait_caught_up(&leader, &middle);
    let mut last = lab.follower_with("last", middle.port(), &[]);
    wait_caught_up(&middle, &last);
    leader.kill();
    assert_eq!(middle.sql("SELECT pg_promote()"), "t");
    middle.sql("INSERT INTO t VALUES('two')");
    assert_identical(&middle, &last, "postgres");
    assert_eq!(last.sql("SELECT group_concat(v, ' ') FROM t"), "one two");
    last.kill();
    middle.kill();
    middle.start();
    middle.sql("INSERT INTO t VALUES('three')");
    last.start();
    assert_identical(&middle, &last, "postgres");
    // the second switch, in the other direction of the first
    middle.stop();
    std::fs::write(last.dir().join("promote"), "").unwrap();
    wait_until("the file promotes the last one", || last.sql("SELECT pg_is_in_recovery()") == "f");
    wait_until("the file is removed", || !last.dir().join("promote").exists());
    last.sql("INSERT INTO t VALUES('four')");
    assert_eq!(last.sql("SELECT count(*) FROM t"), "4");
    assert_eq!(last.sql("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"), "00000003");
}

#[test]
fn clients_and_followers_find_the_new_leader() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let next = lab.follower_with("next", leader.port(), &[]);
    let both = format!("host=127.0.0.1,127.0.0.1 port={},{}", leader.port(), next.port());
    leader.sql("CREATE TABLE t(v)");
    let mut other = lab.node(Role::Follower, "other", &["--primary", &both, "--name", "other"]);
    other.start();
    leader.sql("INSERT INTO t VALUES('one')");
    wait_caught_up(&leader, &next);
    wait_caught_up(&leader, &other);
    leader.kill();
    lab.walctl(&["promote", "-D", next.dir().to_str().unwrap()]).success();
    let conninfo = format!("{both} user=postgres dbname=postgres target_session_attrs=read-write");
    let written = next.psql(&conninfo, &["-c", "INSERT INTO t VALUES('two')"]);
    assert_eq!(written.status, Some(0), "{}", written.stderr);
    assert_identical(&next, &other, "postgres");
    assert_eq!(other.sql("SELECT count(*) FROM t"), "2");
}

#[test]
fn what_cannot_be_promoted_says_so() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let refused = lab.walctl(&["promote", "-D", leader.dir().to_str().unwrap()]);
    assert_eq!(refused.status, Some(1));
    assert!(refused.stderr.contains("is the leader already"), "{}", refused.stderr);
    let session: Session = leader.connect();
    let error = session.query("SELECT pg_promote()").unwrap_err();
    assert!(error.to_string().contains("55000"), "{error}");
    drop(session);
    leader.stop();
    let refused = lab.walctl(&["promote", "-D", leader.dir().to_str().unwrap()]);
    assert!(refused.stderr.contains("no server is running"), "{}", refused.stderr);
}
