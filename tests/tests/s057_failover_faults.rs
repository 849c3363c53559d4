//! Changes of roles that cannot be: each is refused with the whole reason, and changes nothing.

use std::process::Command;

use walship_tests::{
    Lab, Node, Output, Role, golden, output_of, postgres_program, wait_caught_up, wait_until,
};

fn kept(lab: &Lab, name: &str, output: &Output) {
    let status = output.status.map_or("killed".to_owned(), |status| status.to_string());
    let printed = if output.stdout.is_empty() { String::new() } else { format!("{}\n", output.stdout) };
    let text = format!("exit status {status}\n{printed}{}", output.stderr);
    golden(name, &text, lab.path());
}

#[test]
fn what_cannot_be_promoted() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let follower = lab.follower(&leader);
    let promote = |dir: &std::path::Path| lab.walctl(&["promote", "-D", dir.to_str().unwrap()]);
    leader.sql("CREATE TABLE t(v)");
    wait_caught_up(&leader, &follower);
    kept(&lab, "promote_on_leader", &promote(leader.dir()));
    kept(&lab, "promote_on_nothing", &promote(&lab.path().join("nothing")));
    // a backup without its log, which nobody can deliver any more
    let backup = lab.path().join("backup");
    let taken = output_of(
        Command::new(postgres_program("pg_basebackup"))
            .args(["-h", "127.0.0.1", "-U", "postgres", "-X", "none", "-c", "fast", "-p"])
            .arg(leader.port().to_string())
            .arg("-D")
            .arg(&backup),
    );
    assert_eq!(taken.status, Some(0), "{}", taken.stderr);
    leader.kill();
    let primary = format!("host=127.0.0.1 port={} user=postgres", leader.port());
    let mut unready = lab.node(Role::Follower, "backup", &["--primary", &primary, "--name", "backup"]);
    unready.spawn();
    wait_until("it waits for log", || {
        unready.log().contains("waiting for the log that makes the base backup")
    });
    kept(&lab, "promote_before_consistent", &promote(unready.dir()));
    promote(follower.dir()).success();
    kept(&lab, "promote_twice", &promote(follower.dir()));
    let told = follower.psql("postgres", &["-c", "SELECT pg_promote()"]);
    kept(&lab, "promote_twice_over_sql", &told);
}

#[test]
fn what_cannot_be_handed_over_or_fenced() {
    let lab = Lab::new();
    let leader = lab.leader();
    let follower = lab.follower(&leader);
    wait_caught_up(&leader, &follower);
    let stranger = {
        let mut stranger = lab.node(Role::Leader, "stranger", &[]);
        stranger.start();
        stranger
    };
    let strange = lab.follower_with("strange", stranger.port(), &[]);
    let at = |port: u16| format!("127.0.0.1:{port}");
    let switchover = |from: u16, to: u16| lab.walctl(&["switchover", "--from", &at(from), "--to", &at(to)]);
    kept(&lab, "switchover_from_follower", &switchover(follower.port(), leader.port()));
    kept(&lab, "switchover_to_leader", &switchover(leader.port(), leader.port()));
    kept(&lab, "switchover_to_other_cluster", &switchover(leader.port(), strange.port()));
    kept(&lab, "switchover_to_nobody", &switchover(leader.port(), 1));
    kept(&lab, "switchover_without_target", &lab.walctl(&["switchover", "--from", &at(leader.port())]));
    let fence = |old: u16, by: u16| {
        lab.walctl(&["fence", "-h", "127.0.0.1", "-p", &old.to_string(), "--by", &at(by)])
    };
    kept(&lab, "fence_by_same_timeline", &fence(leader.port(), follower.port()));
    lab.walctl(&["promote", "-D", strange.dir().to_str().unwrap()]).success();
    kept(&lab, "fence_by_other_cluster", &fence(leader.port(), strange.port()));
    kept(&lab, "fence_follower", &fence(follower.port(), strange.port()));
    let port = leader.port().to_string();
    kept(&lab, "unfence_of_leader", &lab.walctl(&["unfence", "-h", "127.0.0.1", "-p", &port]));
    leader.sql("CREATE TABLE untouched(v)");
}

#[test]
fn what_a_fenced_leader_is_asked_for() {
    let lab = Lab::new();
    let old = lab.leader_with(&["-c", "cluster_name=old"]);
    let next = lab.follower_with("next", old.port(), &[]);
    let mut last = lab.follower_with("last", old.port(), &[]);
    wait_caught_up(&old, &next);
    wait_caught_up(&old, &last);
    lab.walctl(&["promote", "-D", next.dir().to_str().unwrap()]).success();
    let at = |node: &Node| format!("127.0.0.1:{}", node.port());
    let (there, leader, follower) = (at(&old), at(&next), at(&last));
    kept(&lab, "promote_fenced", &lab.walctl(&["promote", "-D", old.dir().to_str().unwrap()]));
    let switchover = |from: &str, to: &str| lab.walctl(&["switchover", "--from", from, "--to", to]);
    kept(&lab, "switchover_from_fenced", &switchover(&there, &follower));
    kept(&lab, "switchover_to_fenced", &switchover(&leader, &there));
    // the one that is asked knows that the newest timeline is elsewhere
    kept(&lab, "promote_best_without_newest", &lab.walctl(&["promote", "--best", &there, &follower]));
    assert_eq!(last.sql("SELECT pg_is_in_recovery()"), "t");
    kept(&lab, "promote_best_beside_leader", &lab.walctl(&["promote", "--best", &leader, &follower]));
    let port = old.port().to_string();
    lab.walctl(&["unfence", "-h", "127.0.0.1", "-p", &port]).success();
    let fence = ["fence", "-h", "127.0.0.1", "-p", &port, "--by", &leader];
    kept(&lab, "fence_after_unfence", &lab.walctl(&fence));
    last.stop();
}
