use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::wait::wait_until_within;

/// One process that was started by this program: its output goes to a file, and it is
/// killed when the handle is dropped.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
    exit: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` with its output appended to `log`.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> Process {
        let open = || File::options().create(true).append(true).open(log);
        let (out, err) = open().and_then(|out| Ok((out, open()?))).expect("open the log file of a process");
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        die_with_parent(&mut command, libc::SIGKILL);
        let child = spawn_from_lasting_thread(command).unwrap_or_else(|e| panic!("start {name}: {e}"));
        Process { child, name: name.to_owned(), log: log.to_owned(), exit: None }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal`; nothing happens when the process is gone already.
    pub fn signal(&mut self, signal: i32) {
        if self.exited().is_none() {
            signal_process(self.pid(), signal);
        }
    }

    /// The exit status, if the process has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.exit.is_none() {
            self.exit = self.child.try_wait().expect("ask for the state of a child process");
        }
        self.exit
    }

    /// Waits for the process to end by itself.
    ///
    /// # Panics
    /// When it does not within `limit`.
    pub fn wait_exit(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("{} ({}) ends", self.name, self.pid());
        wait_until_within(limit, &what, || self.exited().is_some());
        self.exit.expect("the wait ended because it exited")
    }

    /// Ends the process at once, as a crash would.
    pub fn kill(&mut self) {
        self.signal(libc::SIGKILL);
        if self.exit.is_none() {
            self.exit = self.child.wait().ok();
        }
    }

    /// Everything that the process has written.
    pub fn output(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let output = self.output();
            let lines: Vec<&str> = output.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(LOG_LINES_SHOWN)..).unwrap_or_default();
            eprintln!("---- the last lines of {} ({})\n{}", self.name, self.log.display(), tail.join("\n"));
        }
    }
}

/// Lines of a process's log that are shown when its test fails.
const LOG_LINES_SHOWN: usize = 60;

/// Sends `signal` to the process `pid`.
pub fn signal_process(pid: u32, signal: i32) {
    let pid = libc::pid_t::try_from(pid).expect("process ids fit a pid_t");
    // SAFETY: kill takes two integers and touches no memory of ours.
    unsafe { libc::kill(pid, signal) };
}

/// Makes the kernel send `signal` to the child when the thread that started it ends,
/// so that nothing stays behind even if this program is killed.
pub fn die_with_parent(command: &mut Command, signal: i32) {
    // SAFETY: between fork and exec only the async-signal-safe prctl is called.
    unsafe {
        command.pre_exec(move || match libc::prctl(libc::PR_SET_PDEATHSIG, signal) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

type Request = (Command, Sender<io::Result<Child>>);

/// Starts a process from a thread that lives as long as this program: the kernel's
/// "parent died" means the thread, and a test's own threads come and go.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Request>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (requests, inbox) = channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, answer) in inbox {
                // the asker waits for the answer, so it is there to take it
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(requests)
    });
    let (answer, result) = channel();
    let gone = |_| io::Error::other("the thread that starts processes is gone");
    spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .map_err(|_| io::Error::other("the thread that starts processes is gone"))?;
    result.recv().map_err(gone)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_alive(pid: u32) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[test]
    fn a_process_does_not_outlive_its_handle() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("1000");
        // started by a thread that ends at once, which must not end the process
        let log = dir.path().join("log");
        let mut process = std::thread::spawn(move || Process::spawn("sleep", command, &log)).join().unwrap();
        let pid = process.pid();
        assert!(process.exited().is_none() && is_alive(pid));
        drop(process);
        assert!(!is_alive(pid));
    }
}
