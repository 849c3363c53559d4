//! Never two leaders: an old one that learns on proof who leads now takes no writes any more,
//! across restarts too, and nothing else can do that to it.

use walship_tests::{Lab, Node, Proxy, Role, Session, Weather, assert_identical, wait_caught_up, wait_until};

/// A leader that asks its follower, five times a second, whether that leads; not started.
fn watching_pair(lab: &Lab) -> (Node, Node) {
    let mut leader = lab.node(Role::Leader, "leader", &["-c", "peers_check_interval=200ms"]);
    let primary = format!("host=127.0.0.1 port={} user=postgres connect_timeout=2", leader.port());
    let next = lab.node(Role::Follower, "next", &["--primary", &primary, "--name", "next"]);
    let peers = format!("peers=host=127.0.0.1 port={} user=postgres", next.port());
    leader.add_arguments(&["-c", &peers]);
    (leader, next)
}

fn promote(lab: &Lab, node: &Node) -> String {
    lab.walctl(&["promote", "-D", node.dir().to_str().unwrap()]).success()
}

fn role(node: &Node) -> String {
    node.sql("SELECT role FROM walship_stat_failover")
}

fn walctl_fence(lab: &Lab, old: &Node, by: &Node) -> walship_tests::Output {
    let (port, by) = (old.port().to_string(), format!("127.0.0.1:{}", by.port()));
    lab.walctl(&["fence", "-h", "127.0.0.1", "-p", &port, "--by", &by])
}

#[test]
fn a_leader_that_was_paused_finds_out_and_stays_fenced() {
    let lab = Lab::new();
    let (mut leader, mut next) = watching_pair(&lab);
    leader.start();
    next.start();
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES('both')");
    wait_caught_up(&leader, &next);
    let (old, writing, reading) = (leader.connect(), leader.connect(), leader.connect());
    old.run("INSERT INTO t VALUES('also both')");
    wait_caught_up(&leader, &next);
    writing.run("BEGIN");
    writing.run("INSERT INTO t VALUES('in an open transaction')");
    reading.run("BEGIN");
    assert_eq!(reading.value("SELECT count(*) FROM t"), "2");
    leader.pause();
    let promoted = promote(&lab, &next);
    assert!(promoted.contains("old leader: NOT fenced: "), "{promoted}");
    leader.resume();
    wait_until("the old leader is fenced", || role(&leader) == "fenced");
    // who was writing is gone, who reads is not, and who wrote before is told where to go
    let ended = writing.query("COMMIT").unwrap_err();
    assert!(ended.is_connection_lost(), "{ended}");
    assert_eq!(reading.value("SELECT count(*) FROM t"), "2");
    let refused = old.query("INSERT INTO t VALUES('lost')").unwrap_err();
    assert_eq!(refused.code, "57P01", "{refused}");
    assert!(
        refused.detail.contains(&format!("Node \"127.0.0.1:{}\" leads timeline 2", next.port())),
        "{refused}"
    );
    let refused = leader.connect().query("INSERT INTO t VALUES('lost')").unwrap_err();
    assert_eq!(refused.code, "25006", "{refused}");
    assert!(refused.hint.starts_with("this node was fenced"), "{refused}");
    // across a crash and a clean restart, though nobody tells it again
    next.stop();
    leader.kill();
    leader.start();
    assert_eq!(role(&leader), "fenced");
    leader.restart();
    assert_eq!(role(&leader), "fenced");
    let status = lab.walctl(&["status", &format!("127.0.0.1:{}", leader.port())]);
    assert_eq!(status.status, Some(1));
    assert!(status.stderr.contains("takes no writes: node"), "{}", status.stderr);
    // the way back, for whoever knows that this was a mistake
    let port = leader.port().to_string();
    lab.walctl(&["unfence", "-h", "127.0.0.1", "-p", &port]).success();
    leader.sql("INSERT INTO t VALUES('after all')");
    next.start();
    leader.restart();
    assert_eq!(role(&leader), "leader", "a dismissed timeline fences nobody");
}

#[test]
fn a_promotion_fences_a_leader_that_it_can_reach() {
    let lab = Lab::new();
    let leader = lab.leader();
    let next = lab.follower(&leader);
    leader.sql("CREATE TABLE t(v)");
    wait_caught_up(&leader, &next);
    let promoted = promote(&lab, &next);
    assert!(promoted.contains("old leader: fenced (127.0.0.1:"), "{promoted}");
    assert_eq!(role(&leader), "fenced");
    next.sql("INSERT INTO t VALUES('one leader')");
    assert_eq!(leader.sql("SELECT count(*) FROM t"), "0");
    assert!(leader.log().contains("this node takes no writes any more"), "{}", leader.log());
}

#[test]
fn a_follower_that_connects_brings_the_proof() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let mut next = lab.follower_with("next", leader.port(), &[]);
    let both = format!(
        "host=127.0.0.1,127.0.0.1 port={},{} user=postgres target_session_attrs=read-write connect_timeout=2",
        leader.port(),
        next.port()
    );
    leader.sql("CREATE TABLE t(v)");
    let mut other = lab.node(Role::Follower, "other", &["--primary", &both, "--name", "other"]);
    other.start();
    wait_caught_up(&leader, &next);
    wait_caught_up(&leader, &other);
    leader.kill();
    promote(&lab, &next);
    next.sql("INSERT INTO t VALUES('on the new timeline')");
    assert_identical(&next, &other, "postgres");
    // nobody else is left to tell it
    next.stop();
    leader.start();
    wait_until("the follower has told the old leader", || role(&leader) == "fenced");
    assert!(leader.sql("SELECT fenced_by FROM walship_stat_failover").contains("other"));
}

#[test]
fn nothing_else_fences_a_leader() {
    let lab = Lab::new();
    let (mut leader, mut next) = watching_pair(&lab);
    leader.start();
    next.start();
    leader.sql("CREATE TABLE t(v)");
    wait_caught_up(&leader, &next);
    // a follower on the same timeline
    let refused = walctl_fence(&lab, &leader, &next);
    assert_eq!(refused.status, Some(1));
    assert!(refused.stderr.contains("is on timeline 1, which replaces nothing"), "{}", refused.stderr);
    // another cluster, promoted
    let mut stranger = lab.node(Role::Leader, "stranger", &[]);
    stranger.start();
    let heir = lab.follower_with("heir", stranger.port(), &[]);
    wait_caught_up(&stranger, &heir);
    stranger.kill();
    promote(&lab, &heir);
    let refused = walctl_fence(&lab, &leader, &heir);
    assert_eq!(refused.status, Some(1));
    assert!(refused.stderr.contains("not fenced: the system identifier"), "{}", refused.stderr);
    // a history file that lies about, as a promotion leaves it that a crash has undone
    std::fs::write(next.dir().join("pg_wal/00000002.history"), "1\t0/1000100\tstale\n").unwrap();
    next.restart();
    let refused = walctl_fence(&lab, &leader, &next);
    assert!(refused.stderr.contains("is on timeline 1, which replaces nothing"), "{}", refused.stderr);
    // a client that mistypes, or makes something up
    let system = leader.psql("dbname=postgres replication=true", &["-c", "IDENTIFY_SYSTEM"]).success();
    let system = system.split('|').next().unwrap();
    for (history, message) in [
        ("", "does not descend from this node's timeline 1"),
        ("2\t0/1000100\tx\n", "does not descend from this node's timeline 1"),
        ("1\t7F/0\tx\n", "which is beyond this node's end of log"),
    ] {
        let command = format!("WALSHIP_FENCE SYSTEM '{system}' TIMELINE 3 HISTORY '{history}' NODE 'me'");
        let refused = leader.psql("dbname=postgres replication=true", &["-c", &command]);
        assert!(refused.stderr.contains(message), "{history}: {}", refused.stderr);
    }
    for command in
        ["WALSHIP_FENCE", "WALSHIP_FENCE SYSTEM 'x' TIMELINE 2 HISTORY '' NODE ''", "WALSHIP_FENCE SYSTEM"]
    {
        let refused = leader.psql("dbname=postgres replication=true", &["-c", command]);
        assert_ne!(refused.status, Some(0), "{command}");
    }
    assert_eq!(role(&leader), "leader");
    leader.sql("INSERT INTO t VALUES('still')");
    // what a follower is told about others does not concern it
    let refused = walctl_fence(&lab, &next, &heir);
    assert!(refused.stderr.contains("not fenced: "), "{}", refused.stderr);
}

#[test]
fn a_copy_of_its_own_directory_fences_nobody_and_is_noticed() {
    let lab = Lab::new();
    let mut leader = lab.node(Role::Leader, "leader", &["-c", "peers_check_interval=200ms"]);
    let mut copy = lab.node(Role::Leader, "copy", &[]);
    // its own address too: a list of all nodes will do
    let peers =
        format!("peers=host=127.0.0.1,127.0.0.1 port={},{} user=postgres", leader.port(), copy.port());
    leader.add_arguments(&["-c", &peers]);
    leader.start();
    leader.sql("CREATE TABLE t(v)");
    leader.stop();
    let copied = std::process::Command::new("cp").arg("-a").arg(leader.dir()).arg(copy.dir()).status();
    assert!(copied.unwrap().success());
    leader.start();
    assert!(!leader.log().contains("leads timeline 1 of this cluster too"), "{}", leader.log());
    copy.start();
    copy.sql("INSERT INTO t VALUES('one'); INSERT INTO t VALUES('and more')");
    wait_until("the copy is noticed", || leader.log().contains("leads timeline 1 of this cluster too"));
    let refused = walctl_fence(&lab, &leader, &copy);
    assert!(refused.stderr.contains("is on timeline 1, which replaces nothing"), "{}", refused.stderr);
    assert_eq!(role(&leader), "leader");
    leader.sql("INSERT INTO t VALUES('still')");
}

#[test]
fn a_fenced_leader_that_is_rewound_can_lead_again() {
    // with something of its own to lose, and with nothing: then it only becomes a follower
    for lost in [true, false] {
        let lab = Lab::new();
        let (mut old, mut new) = watching_pair(&lab);
        old.start();
        new.start();
        old.sql("CREATE TABLE t(v); INSERT INTO t VALUES('both')");
        wait_caught_up(&old, &new);
        if lost {
            new.kill();
            old.sql("INSERT INTO t VALUES('lost')");
            old.pause();
            new.start();
        }
        promote(&lab, &new);
        if lost {
            old.resume();
        }
        wait_until("the old leader is fenced", || role(&old) == "fenced");
        old.stop();
        let control = || lab.walctl(&["controldata", "-D", old.dir().to_str().unwrap()]).success();
        assert!(control().contains("Fenced by:"), "{}", control());
        let source = format!("host=127.0.0.1 port={} user=postgres", new.port());
        let told = lab.walctl(&["rewind", "-D", old.dir().to_str().unwrap(), "--source", &source]).success();
        assert_eq!(told.contains("transactions lost: 1;"), lost, "{told}");
        assert!(!control().contains("Fenced by:"), "{}", control());
        old.start();
        wait_caught_up(&new, &old);
        let promoted = promote(&lab, &old);
        assert!(promoted.contains("old leader: fenced"), "{promoted}");
        assert_eq!((role(&old), role(&new)), ("leader".to_owned(), "fenced".to_owned()));
        old.sql("INSERT INTO t VALUES('again')");
        old.kill();
        old.start();
        old.sql("INSERT INTO t VALUES('and again')");
        assert_eq!(old.sql("SELECT group_concat(v, ', ') FROM t"), "both, again, and again");
    }
}

#[test]
fn with_synchronous_replication_a_cut_off_leader_acknowledges_nothing() {
    let lab = Lab::new();
    let mut leader = lab.node(
        Role::Leader,
        "leader",
        &["-c", "synchronous_standby_names=next", "-c", "peers_check_interval=200ms"],
    );
    let (to_leader, mut next) = {
        let to_leader = Proxy::to(leader.port());
        let primary = format!("host=127.0.0.1 port={} user=postgres connect_timeout=2", to_leader.port());
        let next = lab.node(Role::Follower, "next", &["--primary", &primary, "--name", "next"]);
        (to_leader, next)
    };
    let to_next = Proxy::to(next.port());
    leader.add_arguments(&["-c", &format!("peers=host=127.0.0.1 port={} user=postgres", to_next.port())]);
    leader.spawn();
    leader.wait_ready();
    next.start();
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES('both')");
    to_leader.set(Weather::Cut);
    to_next.set(Weather::Cut);
    let observer = leader.connect();
    wait_until("the follower is gone", || observer.value("SELECT count(*) FROM pg_stat_replication") == "0");
    let waiting = std::thread::spawn({
        let port = leader.port();
        move || {
            Session::connect(port, "postgres").unwrap().query("INSERT INTO t VALUES('cut off')").unwrap_err()
        }
    });
    wait_until("the commit waits for a follower that cannot be reached", || {
        observer.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'") == "1"
    });
    let promoted = promote(&lab, &next);
    assert!(promoted.contains("old leader: NOT fenced"), "{promoted}");
    next.sql("INSERT INTO t VALUES('new leader')");
    assert!(!waiting.is_finished(), "the old leader acknowledged a commit");
    to_next.set(Weather::Fair);
    let error = waiting.join().unwrap();
    assert_eq!(error.code, "57P01", "{error}");
    assert!(error.message.contains("no longer takes writes"), "{error}");
    assert_eq!(role(&leader), "fenced");
    assert_eq!(next.sql("SELECT group_concat(v, ', ') FROM t"), "both, new leader");
}
