//! Under systemd: the units are right, the service says when it is ready, reloads and stops,
//! and its role when that changes.

use std::path::Path;
use std::process::Command;

use walship_tests::{Lab, Node, Role, ServiceManager, output_of, program, repository_root, wait_caught_up};

/// A node under a service manager of its own.
fn service(lab: &Lab, mut node: Node) -> (Node, ServiceManager) {
    let manager = ServiceManager::listen(&lab.path().join(format!("{}.notify", node.name())));
    node.set_variable("NOTIFY_SOCKET", &manager.path());
    (node, manager)
}

#[test]
fn start_reload_and_stop_are_told() {
    let lab = Lab::new();
    let (mut leader, mut manager) = service(&lab, lab.node(Role::Leader, "leader", &[]));
    leader.start();
    manager.wait_for(&["STATUS=leader: recovering"]);
    manager.wait_for(&["READY=1", "STATUS=leader of timeline 1: takes writes"]);
    leader.process().signal(libc::SIGHUP);
    let reloading = manager.wait_for(&["RELOADING=1"]);
    assert!(reloading.lines().any(|line| line.starts_with("MONOTONIC_USEC=")), "{reloading}");
    manager.wait_for(&["READY=1", "STATUS=leader of timeline 1"]);
    // a mistake in a file is no reason not to be ready again
    std::fs::write(leader.dir().join("postgresql.conf"), "nonsense\n").unwrap();
    leader.process().signal(libc::SIGHUP);
    manager.wait_for(&["RELOADING=1"]);
    manager.wait_for(&["READY=1"]);
    std::fs::write(leader.dir().join("postgresql.conf"), "").unwrap();
    leader.stop();
    manager.wait_for(&["STOPPING=1", "STATUS=stopping"]);
    assert_eq!(manager.rest(), Vec::<String>::new(), "something came after the end");
}

#[test]
fn roles_change_under_the_same_unit() {
    let lab = Lab::new();
    let (mut first, mut of_first) = service(&lab, lab.node(Role::Leader, "first", &[]));
    first.start();
    of_first.wait_for(&["READY=1", "STATUS=leader of timeline 1"]);
    let conninfo = |node: &Node| format!("host=127.0.0.1 port={} user=postgres", node.port());
    let primary = conninfo(&first);
    let node = lab.node(Role::Follower, "second", &["--primary", &primary, "--name", "second"]);
    let (mut second, mut of_second) = service(&lab, node);
    second.start();
    of_second.wait_for(&["READY=1", "STATUS=follower on timeline 1: takes reads"]);
    wait_caught_up(&first, &second);
    let (from, to) = (conninfo(&first), conninfo(&second));
    lab.walctl(&["switchover", "--from", &from, "--to", &to]).success();
    of_first.wait_for(&["STATUS=follower on timeline 2: takes reads"]);
    of_second.wait_for(&["STATUS=leader of timeline 2: takes writes"]);
    // the same units start them in their new roles
    first.restart();
    of_first.wait_for(&["READY=1", "STATUS=follower on timeline 2"]);
    second.restart();
    of_second.wait_for(&["READY=1", "STATUS=leader of timeline 2"]);
    // a promotion without a hand-over: the leader that is left behind is fenced, and says so
    assert_eq!(first.sql("SELECT pg_promote()"), "t");
    of_first.wait_for(&["STATUS=leader of timeline 3: takes writes"]);
    let fenced = of_second.wait_for(&["STATUS=leader of timeline 2, fenced: "]);
    assert!(fenced.trim_end().ends_with("leads timeline 3"), "{fenced}");
    second.restart();
    of_second.wait_for(&["READY=1", "STATUS=leader of timeline 2, fenced: "]);
}

/// The units as a package places them, with the programs that they name.
fn installed(lab: &Lab) {
    let built = program("walship-manual").parent().expect("a program lies in a directory").to_owned();
    let script = repository_root().join("packaging/install.sh");
    output_of(Command::new(script).arg(built).arg("/usr").arg(lab.path())).success();
    // what the units name of others'
    for path in ["usr/bin/kill", "bin/kill"] {
        let file = lab.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::copy("/bin/kill", file).unwrap();
    }
}

/// What systemd-analyze finds in these units, apart from what other packages have to bring.
fn verify(lab: &Lab, units: &[&str]) -> Vec<String> {
    let directory = lab.path().join("usr/lib/systemd/system");
    let mut analyze = Command::new("systemd-analyze");
    analyze
        .args(["verify", "--man=no", "--recursive-errors=no"])
        .arg(format!("--root={}", lab.path().display()));
    for unit in units {
        // an instance of the template
        let instance = unit.replace('@', "@main");
        let place = directory.join(&instance);
        if !place.exists() {
            std::os::unix::fs::symlink(directory.join(unit), &place).unwrap();
        }
        analyze.arg(place);
    }
    let output = output_of(&mut analyze);
    assert_ne!(output.status, None);
    output.stderr.lines().filter(|line| line.contains("wal")).map(str::to_owned).collect()
}

const UNITS: [&str; 4] =
    ["walsender@.service", "walreceiver@.service", "walship-backup@.service", "walship-backup@.timer"];

#[test]
fn systemd_finds_nothing_to_complain_about() {
    let lab = Lab::new();
    installed(&lab);
    assert_eq!(verify(&lab, &UNITS), Vec::<String>::new());
    // which is worth something only if it would
    let path = lab.path().join("usr/lib/systemd/system/walsender@.service");
    let text = std::fs::read_to_string(&path).unwrap();
    for (right, wrong) in
        [("Type=notify", "Type=notifies"), ("LimitNOFILE=", "LimitNofiles="), ("/usr/bin/wal", "/bin/nowal")]
    {
        let broken = text.replace(right, wrong);
        assert_ne!(broken, text, "{right}");
        std::fs::write(&path, broken).unwrap();
        assert_ne!(verify(&lab, &UNITS), Vec::<String>::new(), "{wrong} was not noticed");
    }
}

#[test]
fn units_name_flags_that_the_programs_have() {
    let lab = Lab::new();
    installed(&lab);
    let units = lab.path().join("usr/lib/systemd/system");
    let mut started = 0;
    for unit in UNITS.iter().filter(|unit| unit.ends_with(".service")) {
        let text = std::fs::read_to_string(units.join(unit)).unwrap();
        let command = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        let words: Vec<&str> = command.split(' ').collect();
        assert!(lab.path().join(words[0].trim_start_matches('/')).exists(), "{unit}: {command}");
        if !Path::new(words[0]).file_name().unwrap().to_string_lossy().starts_with("wal") {
            continue;
        }
        started += 1;
        // the same arguments, on a directory that does not exist: that is all that is wrong
        let directory = lab.path().join("none").display().to_string();
        let arguments: Vec<&str> = words[1..]
            .iter()
            .filter(|word| **word != "$WALSHIP_OPTIONS")
            .map(|word| if word.contains("%i") { directory.as_str() } else { word })
            .collect();
        let program = Path::new(words[0]).file_name().unwrap().to_string_lossy().into_owned();
        let output = lab.run(&program, &arguments);
        assert_eq!(output.status, Some(1), "{}", output.transcript());
        assert!(output.stderr.contains("none"), "{}", output.transcript());
    }
    assert_eq!(started, 2);
}
