//! What cannot be rewound says why, with its values and the way out, and is left as it was.

use walship_tests::{Lab, golden, wait_caught_up};

use super::s100_rewind::Split;

fn refused(lab: &Lab, name: &str, arguments: &[&str]) {
    let output = lab.walctl(arguments);
    assert_eq!(output.status, Some(1), "{name}: {}{}", output.stdout, output.stderr);
    golden(&format!("rewind_{name}"), &output.stderr, lab.path());
}

#[test]
fn what_cannot_be_rewound_says_why() {
    let split =
        Split::make("CREATE TABLE t(v)", &["INSERT INTO t VALUES('lost')"], "INSERT INTO t VALUES('new')");
    let (lab, dir, source) = (&split.lab, split.old.dir().to_str().unwrap(), split.source());
    let rewind = |name: &str, dir: &str, source: &str| {
        refused(lab, name, &["rewind", "-D", dir, "--source", source]);
    };
    let mut stranger = lab.node(walship_tests::Role::Leader, "stranger", &[]);
    stranger.start();
    rewind("unrelated", dir, &format!("host=127.0.0.1 port={} user=postgres", stranger.port()));
    rewind("running", split.new.dir().to_str().unwrap(), &source);
    let nobody = walship_tests::Port::reserve();
    rewind("unreachable", dir, &format!("host=127.0.0.1 port={} user=postgres", nobody.number()));
    rewind("empty", lab.path().join("nothing").to_str().unwrap(), &source);
    // a follower that was never promoted is nobody to go back to
    let mut behind = lab.follower_with("behind", stranger.port(), &[]);
    wait_caught_up(&stranger, &behind);
    stranger.stop();
    let port = behind.port();
    rewind(
        "not_promoted",
        stranger.dir().to_str().unwrap(),
        &format!("host=127.0.0.1 port={port} user=postgres"),
    );
    // the other way round there is nothing to do for the follower
    behind.stop();
    stranger.start();
    let text = lab.walctl(&[
        "rewind",
        "-D",
        behind.dir().to_str().unwrap(),
        "--source",
        &format!("host=127.0.0.1 port={} user=postgres", stranger.port()),
    ]);
    assert_eq!(text.status, Some(0), "{}", text.stderr);
    golden("rewind_nothing", &text.stdout, lab.path());
}

#[test]
fn segments_that_are_missing_are_named() {
    let lab = Lab::new();
    let mut old = lab.node(walship_tests::Role::Leader, "leader", &["--wal-segment-size", "1MB"]);
    old.start();
    let mut new = lab.follower_with("next", old.port(), &[]);
    old.sql("CREATE TABLE t(v)");
    wait_caught_up(&old, &new);
    new.kill();
    for _ in 0..4 {
        old.sql("INSERT INTO t VALUES(randomblob(1000000))");
    }
    old.stop();
    new.start();
    lab.walctl(&["promote", "-D", new.dir().to_str().unwrap()]).success();
    let mut segments: Vec<_> = std::fs::read_dir(old.dir().join("pg_wal")).unwrap().flatten().collect();
    segments.retain(|entry| entry.file_name().len() == 24);
    segments.sort_by_key(std::fs::DirEntry::file_name);
    std::fs::remove_file(segments[1].path()).unwrap();
    let source = format!("host=127.0.0.1 port={} user=postgres", new.port());
    refused(&lab, "missing", &["rewind", "-D", old.dir().to_str().unwrap(), "--source", &source]);
}

#[test]
fn histories_that_contradict_each_other_stop_a_start() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let mut next = lab.follower_with("next", leader.port(), &[]);
    wait_caught_up(&leader, &next);
    leader.kill();
    lab.walctl(&["promote", "-D", next.dir().to_str().unwrap()]).success();
    let mut last = lab.follower_with("last", next.port(), &[]);
    wait_caught_up(&next, &last);
    next.stop();
    lab.walctl(&["promote", "-D", last.dir().to_str().unwrap()]).success();
    last.stop();
    std::fs::write(last.dir().join("pg_wal/00000002.history"), "1\t0/7777\tanother story\n").unwrap();
    let listen = format!("127.0.0.1:{}", walship_tests::Port::reserve().number());
    let output = lab.run("walsender", &["-D", last.dir().to_str().unwrap(), "--listen", &listen]);
    assert_eq!(output.status, Some(1));
    golden("start_histories_contradict", &output.without_log().stderr, lab.path());
}

#[test]
fn a_recovery_signal_is_refused_with_a_hint() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    leader.stop();
    lab.file("leader/recovery.signal", "");
    let output = lab.run("walsender", &["-D", leader.dir().to_str().unwrap()]);
    assert_eq!(output.status, Some(1));
    golden("start_recovery_signal", &output.without_log().stderr, lab.path());
}
