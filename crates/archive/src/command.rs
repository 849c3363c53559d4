use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::{ArchiveError, CommandOutcome};

/// Longest time between two looks at a running command.
const LOOK_MAX: Duration = Duration::from_millis(50);
/// How long a command that was told to end may take before it is killed.
const END_WAIT: Duration = Duration::from_secs(2);

/// What `%p`, `%f` and `%r` stand for in a command; `%%` is a percent sign. Anything else
/// behind a percent sign stays as it is, as in PostgreSQL 15.
#[derive(Debug, Clone, Copy, Default)]
pub struct Placeholders<'a> {
    /// `%p`: the path, relative to the data directory.
    pub path: &'a str,
    /// `%f`: the file's name.
    pub file: &'a str,
    /// `%r`: the name of the oldest segment that a restart needs.
    pub restart: &'a str,
}

impl Placeholders<'_> {
    /// The command for the shell.
    pub fn expand(&self, template: &str) -> String {
        let mut out = String::with_capacity(template.len() + self.path.len());
        let mut rest = template;
        while let Some(at) = rest.find('%') {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let value = match from.as_bytes().get(1) {
                Some(b'p') => self.path,
                Some(b'f') => self.file,
                Some(b'r') => self.restart,
                Some(b'%') => "%",
                _ => {
                    out.push('%');
                    rest = from.get(1..).unwrap_or_default();
                    continue;
                }
            };
            out.push_str(value);
            rest = from.get(2..).unwrap_or_default();
        }
        out.push_str(rest);
        out
    }
}

/// Runs `command` with the shell in `directory`; what it prints goes where this process's
/// own messages go. It gets a process group of its own, which is ended as a whole when
/// `cancelled` turns true.
pub fn run_command(
    command: &str,
    directory: &Path,
    cancelled: &dyn Fn() -> bool,
) -> Result<CommandOutcome, ArchiveError> {
    let shell = Path::new("/bin/sh");
    let mut shell_command = Command::new(shell);
    shell_command.arg("-c").arg(command).current_dir(directory).stdin(Stdio::null()).process_group(0);
    let mut child = shell_command.spawn().map_err(ArchiveError::io("run", shell))?;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait().map_err(ArchiveError::io("wait for", shell))? {
            return Ok(status.into());
        }
        if cancelled() {
            end(&mut child);
            return Err(ArchiveError::Cancelled);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(LOOK_MAX);
    }
}

/// Ends the command and what it has started, kindly at first.
fn end(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let tell = |signal| group.map(|group| kill_process_group(group, signal));
    // a group that is gone already needs no telling
    let _ = tell(Signal::TERM);
    let deadline = Instant::now() + END_WAIT;
    while Instant::now() < deadline {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        std::thread::sleep(LOOK_MAX);
    }
    let _ = tell(Signal::KILL);
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn placeholders_are_replaced_as_in_postgresql() {
        let names = Placeholders { path: "pg_wal/X", file: "X", restart: "R" };
        let expand = |template| names.expand(template);
        assert_eq!(expand("cp %p /a/%f"), "cp pg_wal/X /a/X");
        assert_eq!(expand("100%% %x %f% %"), "100% %x X% %");
        assert_eq!(expand("%%p %r"), "%p R");
        assert_eq!(expand("é%fé"), "éXé");
    }

    #[test]
    fn a_command_runs_in_its_directory_and_says_how_it_ended() {
        let scratch = tempfile::tempdir().unwrap();
        let run = |command: &str| run_command(command, scratch.path(), &|| false).unwrap();
        assert_eq!(run("test -d . && echo x > here"), CommandOutcome::Exited(0));
        assert!(scratch.path().join("here").exists());
        assert_eq!(run("exit 3"), CommandOutcome::Exited(3));
        assert_eq!(run("kill -9 $$"), CommandOutcome::Killed(9));
    }

    #[test]
    fn a_cancelled_command_is_ended_with_its_children() {
        let scratch = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let seen = AtomicBool::new(false);
        let pid_file = scratch.path().join("pid");
        let cancelled = || {
            let there = pid_file.exists();
            seen.store(there, Ordering::Relaxed);
            there
        };
        let ended =
            run_command("sleep 60 & echo $! > pid.tmp; mv pid.tmp pid; wait", scratch.path(), &cancelled);
        assert!(matches!(ended, Err(ArchiveError::Cancelled)));
        assert!(seen.load(Ordering::Relaxed));
        assert!(begun.elapsed() < Duration::from_secs(30));
        let pid: i32 = std::fs::read_to_string(&pid_file).unwrap().trim().parse().unwrap();
        let gone = || {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.is_empty() || state.contains(") Z ")
        };
        while !gone() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the child lives on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
