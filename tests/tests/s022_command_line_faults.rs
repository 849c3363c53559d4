//! Every fault at start says what is wrong, with its values, and what to do.

use walship_tests::{Lab, Node, Output, Port, Role, golden, wait_until};

/// Holds a failed start against the golden file of its name.
fn check(lab: &Lab, name: &str, output: &Output) {
    assert_ne!(output.status, Some(0), "{name} succeeded: {}", output.transcript());
    golden(name, &output.clone().without_log().transcript(), lab.path());
}

fn listen(port: &Port) -> String {
    format!("127.0.0.1:{}", port.number())
}

#[test]
fn wrong_and_missing_flags() {
    let lab = Lab::new();
    check(&lab, "walsender_without_directory", &lab.run("walsender", &[]));
    check(&lab, "walreceiver_without_directory", &lab.run("walreceiver", &[]));
    check(&lab, "walsender_unknown_flag", &lab.run("walsender", &["-D", "x", "--shout"]));
    check(&lab, "walctl_without_command", &lab.run("walctl", &[]));
    check(
        &lab,
        "walsender_bad_listen",
        &lab.run("walsender", &["-D", "x", "--init", "--listen", "nonsense"]),
    );
    for (name, setting) in [
        ("unknown_setting", "no_such_setting=1"),
        ("setting_out_of_range", "max_wal_senders=-1"),
        ("setting_not_a_number", "checkpoint_timeout=soon"),
        ("setting_without_value", "lock_timeout"),
    ] {
        let output = lab.run("walsender", &["-D", name, "--init", "-c", setting]);
        check(&lab, &format!("walsender_{name}"), &output);
    }
}

#[test]
fn each_of_several_errors_has_its_own_hint() {
    let lab = Lab::new();
    let settings = ["-c", "no_such_setting=1", "-c", "checkpoint_timeout=soon", "-c", "max_wal_senders=-1"];
    let output = lab.run("walsender", &[&["-D", "new", "--init"], &settings[..]].concat());
    check(&lab, "walsender_several_settings", &output);
}

#[test]
fn a_bad_line_in_the_configuration_file_is_named() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    leader.stop();
    std::fs::write(
        leader.dir().join("postgresql.conf"),
        "# ours\nlock_timeout = 1s\nmax_wal_senders = lots\n",
    )
    .unwrap();
    check(&lab, "bad_line_in_postgresql_conf", &walship_tests::output_of(&mut leader.command()));
}

#[test]
fn directories_that_are_not_there_or_not_ours() {
    let lab = Lab::new();
    check(&lab, "walsender_missing_directory", &lab.run("walsender", &["-D", "missing"]));
    check(&lab, "walreceiver_missing_directory", &lab.run("walreceiver", &["-D", "missing"]));
    std::fs::create_dir(lab.path().join("empty")).unwrap();
    check(&lab, "walsender_empty_directory", &lab.run("walsender", &["-D", "empty"]));
    check(&lab, "walreceiver_empty_directory", &lab.run("walreceiver", &["-D", "empty"]));
    std::fs::create_dir(lab.path().join("photos")).unwrap();
    lab.file("photos/cat.jpg", "not a cluster");
    check(&lab, "walsender_not_a_cluster", &lab.run("walsender", &["-D", "photos"]));
    check(&lab, "walsender_init_into_foreign_directory", &lab.run("walsender", &["-D", "photos", "--init"]));
    let file = lab.file("plain", "a file");
    check(
        &lab,
        "walsender_directory_is_a_file",
        &lab.run("walsender", &["-D", &file.to_string_lossy(), "--init"]),
    );
    let port = Port::reserve();
    let output = lab.run("walreceiver", &["-D", "new", "--init", "--listen", &listen(&port)]);
    check(&lab, "walreceiver_init_without_primary", &output);
}

#[test]
fn ports_in_use_and_ports_beyond_loopback() {
    let lab = Lab::new();
    let leader = lab.leader();
    let port = leader.port().to_string();
    let taken = format!("127.0.0.1:{port}");
    check(&lab, "port_in_use", &lab.run("walsender", &["-D", "second", "--init", "--listen", &taken]));
    check(
        &lab,
        "listen_beyond_loopback",
        &lab.run("walsender", &["-D", "third", "--init", "--listen", "0.0.0.0:5433"]),
    );
}

#[test]
fn a_second_process_on_the_same_directory() {
    let lab = Lab::new();
    let leader = lab.leader();
    let port = Port::reserve();
    let dir = leader.dir().to_string_lossy().into_owned();
    check(&lab, "second_process", &lab.run("walsender", &["-D", &dir, "--listen", &listen(&port)]));
    assert_eq!(leader.sql("SELECT 1"), "1");
}

#[test]
fn a_follower_of_another_cluster_is_refused_with_both_identifiers() {
    let lab = Lab::new();
    let ours = lab.leader();
    let mut other = lab.node(Role::Leader, "other", &[]);
    other.start();
    let mut follower = lab.follower(&ours);
    follower.stop();
    let conninfo = format!("host=127.0.0.1 port={} user=postgres", other.port());
    let dir = follower.dir().to_string_lossy().into_owned();
    let address = format!("127.0.0.1:{}", follower.port());
    let output =
        lab.run("walreceiver", &["-D", &dir, "--primary", &conninfo, "--no-retry", "--listen", &address]);
    check(&lab, "follower_of_another_cluster", &output);
    let identifiers = regex::Regex::new(r"\b\d{18,20}\b").unwrap();
    assert!(identifiers.find_iter(&output.stderr).count() >= 2, "{}", output.stderr);
}

#[test]
fn an_unreachable_leader_with_no_retry() {
    let lab = Lab::new();
    let (nobody, port) = (Port::reserve(), Port::reserve());
    let conninfo = format!("host=127.0.0.1 port={}", nobody.number());
    let arguments = ["-D", "new", "--init", "--primary", &conninfo, "--no-retry", "--listen", &listen(&port)];
    check(&lab, "unreachable_leader_at_init", &lab.run("walreceiver", &arguments));
    let mut leader = lab.leader();
    let mut follower = lab.follower(&leader);
    follower.stop();
    leader.stop();
    let mut command = follower.command();
    command.arg("--no-retry");
    check(&lab, "unreachable_leader_with_no_retry", &walship_tests::output_of(&mut command));
}

#[test]
fn an_unreachable_leader_is_said_and_tried_again() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let mut follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(v)");
    walship_tests::wait_caught_up(&leader, &follower);
    follower.stop();
    leader.stop();
    follower.start();
    wait_until("the follower says that it cannot connect", || follower.log().contains("Connection refused"));
    // it answers reads meanwhile
    assert_eq!(follower.sql("SELECT count(*) FROM t"), "0");
    leader.start();
    leader.sql("INSERT INTO t VALUES (1)");
    walship_tests::assert_identical(&leader, &follower, "postgres");
}

#[test]
fn either_binary_starts_a_directory_in_the_role_that_it_has() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let mut follower = lab.follower(&leader);
    leader.sql("CREATE TABLE t(v)");
    walship_tests::wait_caught_up(&leader, &follower);
    leader.stop();
    follower.stop();
    let started = |node: &Node, name: &str| {
        let address = format!("127.0.0.1:{}", node.port());
        let mut command = std::process::Command::new(walship_tests::program(name));
        command.arg("-D").arg(node.dir()).args(["--listen", &address]);
        command.arg("-c").arg(format!("unix_socket_directories={}", node.socket_dir().display()));
        let process =
            walship_tests::Process::spawn(name, command, &lab.path().join(format!("{name}.swapped")));
        wait_until("the other binary serves the directory", || node.is_ready());
        process
    };
    let _leader = started(&leader, "walreceiver");
    let _follower = started(&follower, "walsender");
    assert_eq!(leader.sql("SELECT pg_is_in_recovery()"), "f");
    assert_eq!(follower.sql("SELECT pg_is_in_recovery()"), "t");
    leader.sql("INSERT INTO t VALUES (1)");
    walship_tests::assert_identical(&leader, &follower, "postgres");
}
