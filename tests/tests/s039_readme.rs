//! The README's tour is what happens: its commands are run, and what they print is held
//! against what it says. `UPDATE_GOLDEN=1` writes the real output into it.

use std::process::Command;

use walship_tests::{Lab, Port, Process, normalize, output_of, program, repository_root, wait_until};

const BEGIN: &str = "<!-- tour: run by tests/tests/s039_readme.rs -->\n```console\n";
const END: &str = "```\n";
/// What the tour needs, as the README says.
const NEEDS: &str = "export PATH=\"$PWD/target/release:$PATH\" PGHOST=127.0.0.1";

/// The ports that the README names, and those of this run.
struct Ports {
    leader: Port,
    follower: Port,
}

impl Ports {
    fn hide(&self, text: &str) -> String {
        text.replace("5433", &self.leader.number().to_string())
            .replace("5434", &self.follower.number().to_string())
    }

    fn show(&self, text: &str) -> String {
        text.replace(&self.leader.number().to_string(), "5433")
            .replace(&self.follower.number().to_string(), "5434")
    }
}

#[test]
fn the_tour_prints_what_the_readme_says() {
    let path = repository_root().join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("the README has a tour");
    let (tour, after) = rest.split_once(END).expect("the tour ends");
    assert!(before.contains(NEEDS), "the README says what the tour needs");
    let lab = Lab::new();
    let ports = Ports { leader: Port::reserve(), follower: Port::reserve() };
    let mut servers = Vec::new();
    let mut found = String::new();
    for command in tour.lines().filter_map(|line| line.strip_prefix("$ ")) {
        found += &format!("$ {command}\n");
        let output = execute(&lab, &ports, command, &mut servers);
        found += &ports.show(&output).replace(&*lab.path().to_string_lossy(), "/srv");
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{found}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(comparable(&found), comparable(tour), "run with UPDATE_GOLDEN=1 and read what changed");
}

/// Widths of columns depend on the values in them.
fn comparable(text: &str) -> String {
    let text = normalize(text, std::path::Path::new("/srv"));
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let lines = lines.map(|line| line.replace("--", "-").trim_matches('-').to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// Runs one line of the tour. A server, which ends in `&`, is waited for.
fn execute(lab: &Lab, ports: &Ports, command: &str, servers: &mut Vec<Process>) -> String {
    let programs = program("walsender").parent().unwrap().to_owned();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let shell = |line: &str| {
        let mut shell = Command::new("bash");
        shell.args(["-c", line]).current_dir(lab.path()).env("PATH", &path);
        shell.env_remove("PGUSER").env("PSQLRC", "/dev/null").env("PGHOST", "127.0.0.1");
        shell
    };
    let line = ports.hide(command);
    let Some(server) = line.strip_suffix(" &") else {
        let output = output_of(shell(&format!("{{ {line}\n}} 2>&1")).env("PAGER", "cat"));
        return if output.stdout.is_empty() { String::new() } else { output.stdout + "\n" };
    };
    let port = if server.contains("walreceiver") { ports.follower.number() } else { ports.leader.number() };
    let log = lab.path().join(format!("{port}.log"));
    servers.push(Process::spawn("server", shell(&format!("exec {server}")), &log));
    wait_until("the server of the tour accepts connections", || {
        walship_tests::Session::connect(port, "postgres").is_ok()
    });
    String::new()
}
