//! `pg_ctl status|reload|stop -D` and `pg_isready` work on a walship directory.

use std::process::Command;

use walship_tests::{Lab, Node, OrdinaryUser, Output, Role, output_of, postgres_program, wait_until};

/// pg_ctl refuses to run as root.
fn pg_ctl(node: &Node, arguments: &[&str]) -> Output {
    let mut command = Command::new(postgres_program("pg_ctl"));
    command.args(arguments).arg("-D").arg(node.dir()).current_dir("/");
    OrdinaryUser::get().run(&mut command);
    output_of(&mut command)
}

#[test]
fn pg_isready_tells_ready_from_absent() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    assert_eq!(leader.pg_isready().status, Some(0));
    leader.stop();
    assert_eq!(leader.pg_isready().status, Some(2));
}

#[test]
fn postmaster_pid_is_as_pg_ctl_reads_it() {
    let lab = Lab::new();
    let mut leader = lab.leader();
    let pid = leader.process().pid();
    let file = std::fs::read_to_string(leader.dir().join("postmaster.pid")).unwrap();
    let lines: Vec<&str> = file.lines().collect();
    assert_eq!(lines[0], pid.to_string());
    assert_eq!(lines[1], leader.dir().to_string_lossy());
    assert_eq!(lines[3], leader.port().to_string());
    assert_eq!(lines[7].trim(), "ready");
    leader.stop();
    assert!(!leader.dir().join("postmaster.pid").exists());
}

#[test]
fn status_reload_and_stop() {
    let lab = Lab::new();
    let mut leader = lab.node(Role::Leader, "leader", &[]);
    leader.run_as_ordinary_user();
    leader.start();
    let pid = leader.process().pid();
    let said = pg_ctl(&leader, &["status"]).success();
    assert!(said.contains(&format!("server is running (PID: {pid})")), "{said}");
    let conf = leader.dir().join("postgresql.conf");
    let text = std::fs::read_to_string(&conf).unwrap_or_default();
    std::fs::write(conf, text + "\nlock_timeout = 1234ms\n").unwrap();
    pg_ctl(&leader, &["reload"]).success();
    wait_until("the setting is reloaded", || leader.sql("SHOW lock_timeout") == "1234ms");
    // pg_ctl waits for the process to be gone, so somebody has to reap it
    let stopping = std::thread::spawn({
        let (dir, user) = (leader.dir().to_owned(), OrdinaryUser::get());
        move || {
            let mut command = Command::new(postgres_program("pg_ctl"));
            user.run(command.args(["stop", "-w", "-D"]).arg(dir).current_dir("/"));
            output_of(&mut command)
        }
    });
    assert!(leader.process().wait_exit(walship_tests::DEADLINE).success());
    stopping.join().unwrap().success();
    assert_eq!(pg_ctl(&leader, &["status"]).status, Some(3));
}

#[test]
fn restart_starts_the_same_server_again() {
    let lab = Lab::new();
    let mut leader = lab.node(Role::Leader, "leader", &["-c", "lock_timeout=4321ms"]);
    leader.run_as_ordinary_user();
    leader.start();
    leader.sql("CREATE TABLE t(v); INSERT INTO t VALUES (7)");
    let restarting = std::thread::spawn({
        let (dir, user) = (leader.dir().to_owned(), OrdinaryUser::get());
        move || {
            let mut command = Command::new(postgres_program("pg_ctl"));
            user.run(
                command
                    .args(["restart", "-w", "-l"])
                    .arg(dir.join("log"))
                    .arg("-D")
                    .arg(dir)
                    .current_dir("/"),
            );
            output_of(&mut command)
        }
    });
    assert!(leader.process().wait_exit(walship_tests::DEADLINE).success());
    let said = restarting.join().unwrap().success();
    assert!(said.contains("server started"), "{said}");
    assert_eq!(leader.sql("SELECT v FROM t"), "7");
    assert_eq!(leader.sql("SHOW lock_timeout"), "4321ms");
    // it is nobody's child here
    pg_ctl(&leader, &["stop", "-m", "fast"]).success();
}
