//! A follower knows for how long its leader has been silent, says so, and runs one command.

use walship_tests::{Lab, Proxy, Weather, wait_caught_up, wait_until};

#[test]
fn a_silent_leader_is_noticed_and_the_command_runs_once() {
    let lab = Lab::new();
    let leader = lab.leader();
    let link = Proxy::to(leader.port());
    let written = lab.path().join("failover.txt");
    let command = format!(
        "failover_command=echo \"$PGPORT $WALSHIP_TIMELINE $WALSHIP_RECEIVED_LSN $WALSHIP_REPLAYED_LSN \
         $WALSHIP_LEADER_LSN $WALSHIP_LEADER_PORT $WALSHIP_SILENT_MS\" >> {}",
        written.display()
    );
    let next = lab.follower_with("next", link.port(), &["-c", "failover_timeout=1500ms", "-c", &command]);
    leader.sql("CREATE TABLE t(v)");
    let position = wait_caught_up(&leader, &next);
    let silent =
        || -> u64 { next.sql("SELECT leader_silent_ms FROM walship_stat_failover").parse().unwrap() };
    // an idle leader gives signs of life: it is asked for them
    let started = std::time::Instant::now();
    wait_until("twice the time-out has passed", || {
        assert!(silent() < 1500, "an idle leader counts as silent");
        started.elapsed().as_millis() > 3000
    });
    assert!(!written.exists());
    link.set(Weather::Silent);
    wait_until("the command has run", || written.exists());
    wait_until("the silence is shown", || silent() >= 3000);
    let text = std::fs::read_to_string(&written).unwrap();
    let fields: Vec<&str> = text.split_whitespace().collect();
    assert_eq!(fields.len(), 7, "it ran once: {text}");
    let (port, leader_port) = (next.port().to_string(), link.port().to_string());
    assert_eq!((fields[0], fields[1], fields[5]), (port.as_str(), "1", leader_port.as_str()), "{text}");
    assert_eq!(fields[2], position.to_string(), "{text}");
    assert!(fields[6].parse::<u64>().unwrap() >= 1500, "{text}");
    assert!(next.log().contains("nothing was heard of the leader for"), "{}", next.log());
    assert!(next.log().contains("running failover_command"), "{}", next.log());
    let status = lab.walctl(&["status", &format!("127.0.0.1:{}", next.port())]);
    assert!(status.stdout.contains("leader silent for: "), "{}", status.stdout);
    link.set(Weather::Fair);
    wait_until("the leader is heard again", || silent() < 1500);
    wait_until("that is said", || next.log().contains("the leader is heard again"));
    // it is for files and the command line only
    let refused = leader.psql("postgres", &["-c", "ALTER SYSTEM SET failover_command = 'true'"]);
    assert_ne!(refused.status, Some(0), "{}", refused.stdout);
}
