use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

use crate::commands::output_of;
use crate::golden::normalize;
use crate::lab::Lab;
use crate::port::Port;
use crate::process::Process;
use crate::programs::{program, repository_root};
use crate::session::Session;
use crate::wait::wait_until;

const END: &str = "```\n";

/// Commands of a page, run as a reader would, with what the page says that they print.
/// They follow a line that names the test: `<!-- tour: run by tests/tests/NAME.rs -->`.
pub struct Tour {
    lab: Lab,
    /// Ports as the page has them, and those of this run.
    ports: Vec<(&'static str, Port)>,
    servers: Vec<Process>,
}

impl Tour {
    /// Runs the commands of a page, with these ports, and holds what they print against it.
    /// With `UPDATE_GOLDEN=1` in the environment, writes it there instead.
    ///
    /// # Panics
    /// When they print something else.
    pub fn check(page: &str, test: &str, ports: &[&'static str]) {
        let begin = format!("<!-- tour: run by tests/tests/{test}.rs -->\n```console\n");
        let path = repository_root().join(page);
        let text = std::fs::read_to_string(&path).expect("read the page");
        let (before, rest) = text.split_once(&begin).expect("the page has a tour");
        let (tour, after) = rest.split_once(END).expect("the tour ends");
        let ports = ports.iter().map(|&shown| (shown, Port::reserve())).collect();
        let mut run = Tour { lab: Lab::new(), ports, servers: Vec::new() };
        let mut found = String::new();
        for command in tour.lines().filter_map(|line| line.strip_prefix("$ ")) {
            found += &format!("$ {command}\n{}", run.execute(command));
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, format!("{before}{begin}{found}{END}{after}")).expect("write the page");
            return;
        }
        assert_eq!(comparable(&found), comparable(tour), "run with UPDATE_GOLDEN=1 and read what changed");
    }

    /// Runs one line. A server, which ends in `&`, is waited for.
    fn execute(&mut self, command: &str) -> String {
        self.servers.retain_mut(|server| server.exited().is_none());
        self.settle();
        let line = self
            .ports
            .iter()
            .fold(command.to_owned(), |line, (shown, port)| line.replace(shown, &port.number().to_string()));
        let Some(server) = line.strip_suffix(" &") else {
            let output = output_of(self.shell(&format!("{{ {line}\n}} 2>&1")).env("PAGER", "cat"));
            return if output.stdout.is_empty() { String::new() } else { self.show(&output.stdout) + "\n" };
        };
        let listens = |port: &&(_, Port)| line.contains(&format!("--listen 127.0.0.1:{}", port.1.number()));
        let port = self.ports.iter().find(listens).expect("a server says where it listens").1.number();
        let log = self.log(port);
        self.servers.push(Process::spawn("server", self.shell(&format!("exec {server}")), &log));
        wait_until("the server of the tour accepts connections", || {
            Session::connect(port, "postgres").is_ok()
        });
        String::new()
    }

    /// Followers have what the leader has, so that each run finds the same.
    fn settle(&self) {
        let roles = |wanted: &str| {
            let sessions =
                self.ports.iter().filter_map(|(_, port)| Session::connect(port.number(), "postgres").ok());
            let is = |session: &Session| session.value("SELECT role FROM walship_stat_failover") == wanted;
            sessions.filter(is).collect::<Vec<_>>()
        };
        wait_until("the followers of the tour have caught up", || {
            let ends: Vec<String> =
                roles("leader").iter().map(|leader| leader.value("SELECT pg_current_wal_lsn()")).collect();
            let has_all =
                |follower: &Session| ends.contains(&follower.value("SELECT pg_last_wal_replay_lsn()"));
            ends.is_empty() || roles("follower").iter().all(has_all)
        });
    }

    fn shell(&self, line: &str) -> Command {
        let programs = program("walsender").parent().expect("programs are in a directory").to_owned();
        let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
        let mut shell = Command::new("bash");
        shell.args(["-c", line]).current_dir(self.lab.path()).env("PATH", &path);
        shell.env_remove("PGUSER").env("PSQLRC", "/dev/null").env("PGHOST", "127.0.0.1");
        shell
    }

    fn log(&self, port: u16) -> PathBuf {
        self.lab.path().join(format!("{port}.log"))
    }

    fn show(&self, output: &str) -> String {
        let shown = self
            .ports
            .iter()
            .fold(output.to_owned(), |text, (shown, port)| text.replace(&port.number().to_string(), shown));
        shown.replace(&*self.lab.path().to_string_lossy(), "/srv")
    }
}

/// What is another one each time, beside what every golden text has: times, and what depends
/// on when a checkpoint comes.
const RULES: [(&str, &str); 3] = [
    (r"time: (\$N|[0-9.]+) m?s\b", "time: $$N"),
    (r"abandoned/[0-9A-F]{8}_[0-9A-F]+-[0-9A-F]+", "abandoned/$$FOLDER"),
    (r"\d+ bytes of log", "$$N bytes of log"),
];

/// Widths of columns depend on the values in them.
fn comparable(text: &str) -> String {
    let mut text = normalize(text, Path::new("/srv"));
    for (pattern, replacement) in RULES {
        let rule = Regex::new(pattern).expect("the rules are valid");
        text = rule.replace_all(&text, replacement).into_owned();
    }
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let lines = lines.map(|line| line.replace("--", "-").trim_matches('-').to_owned());
    lines.collect::<Vec<_>>().join("\n")
}
