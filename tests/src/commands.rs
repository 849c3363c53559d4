use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use crate::process::signal_process;
use crate::programs::postgres_program;

/// What a program that ran to its end has said.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit status; `None` when a signal ended it.
    pub status: Option<i32>,
    /// Standard output, without the last line break.
    pub stdout: String,
    /// Standard error, without the last line break.
    pub stderr: String,
}

impl Output {
    /// Standard output of a program that must have succeeded.
    ///
    /// # Panics
    /// With both outputs, when it has not.
    pub fn success(self) -> String {
        assert_eq!(self.status, Some(0), "failed\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout
    }

    /// Standard error of a program that must have failed.
    ///
    /// # Panics
    /// With the output, when it succeeded.
    pub fn failure(self) -> String {
        assert_ne!(self.status, Some(0), "succeeded\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stderr
    }

    /// Standard error without the log, whose lines begin with the time: what a server
    /// says when it gives up.
    pub fn without_log(mut self) -> Output {
        let lines = self.stderr.lines().filter(|line| !line.starts_with("20"));
        self.stderr = lines.collect::<Vec<_>>().join("\n");
        self
    }

    /// Everything, as a golden file keeps it.
    pub fn transcript(&self) -> String {
        let status = self.status.map_or("killed".to_owned(), |code| code.to_string());
        let mut text = String::new();
        for (name, output) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !output.is_empty() {
                text += &format!("{name}:\n{output}\n");
            }
        }
        text + &format!("exit status: {status}\n")
    }
}

/// Runs `command` to its end; its input is empty.
///
/// # Panics
/// When it cannot be started.
pub fn output_of(command: &mut Command) -> Output {
    let name = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.unwrap_or_else(|e| panic!("start {name}: {e}"));
    let (done, watch) = std::sync::mpsc::channel::<()>();
    let pid = child.id();
    let watchdog = std::thread::spawn(move || {
        if watch.recv_timeout(RUN_LIMIT) == Err(RecvTimeoutError::Timeout) {
            signal_process(pid, libc::SIGKILL);
        }
    });
    let output = child.wait_with_output().unwrap_or_else(|e| panic!("wait for {name}: {e}"));
    drop(done);
    watchdog.join().expect("the watchdog ends");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end_matches('\n').to_owned();
    Output { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A program that was to come to its end by itself and does not is killed after this
/// time; its status is then none.
const RUN_LIMIT: Duration = Duration::from_secs(300);

/// Runs SQL in the stock `sqlite3` program on a database file and returns its output;
/// it waits for locks, as programs do.
pub fn sqlite3(database: &Path, sql: &str) -> Output {
    let options = ["-batch", "-init", "/dev/null", "-cmd", ".timeout 10000"];
    output_of(Command::new("sqlite3").args(options).arg(database).arg(sql))
}

/// Runs the stock `pgbench` with one script against a port: `-n -f`, with `arguments`.
pub fn pgbench(port: u16, script: &Path, arguments: &[&str]) -> Output {
    output_of(
        Command::new(postgres_program("pgbench"))
            .args(["-h", "127.0.0.1", "-U", "postgres", "-n", "-p"])
            .arg(port.to_string())
            .arg("-f")
            .arg(script)
            .args(arguments)
            .arg("postgres"),
    )
}
