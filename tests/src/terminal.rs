use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::die_with_parent;

/// A program that runs in a pseudo-terminal, and what it has written there.
pub struct Terminal {
    program: Child,
    keyboard: File,
    written: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Terminal {
    /// Starts `command` in a terminal of that size.
    ///
    /// # Panics
    /// When there is no pseudo-terminal, or the program cannot be started.
    pub fn run(mut command: Command, columns: u16, lines: u16) -> Terminal {
        let size = libc::winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let (mut ours, mut theirs) = (0, 0);
        // SAFETY: both numbers are written before it returns; the rest is null or outlives the call
        let opened =
            unsafe { libc::openpty(&mut ours, &mut theirs, std::ptr::null_mut(), std::ptr::null(), &size) };
        assert_eq!(opened, 0, "openpty: {}", std::io::Error::last_os_error());
        // SAFETY: openpty gave us both, and nobody else has them
        let (ours, theirs) = unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
        let end = || Stdio::from(theirs.try_clone().expect("copy a descriptor"));
        command.stdin(end()).stdout(end()).stderr(end());
        // SAFETY: between fork and exec, only calls that are allowed there
        unsafe {
            command.pre_exec(|| {
                // Ctrl-C reaches the program only in a session of its own, whose terminal this is
                if libc::setsid() < 0 || libc::ioctl(0, libc::TIOCSCTTY, 0) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        die_with_parent(&mut command, libc::SIGKILL);
        let program = command.spawn().expect("start a program in a terminal");
        drop(command);
        let keyboard = File::from(ours);
        let mut screen = keyboard.try_clone().expect("copy a descriptor");
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&written);
        let reader = std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length) = screen.read(&mut chunk) {
                if length == 0 {
                    break;
                }
                sink.lock().expect("nobody panics with it").extend_from_slice(&chunk[..length]);
            }
        });
        Terminal { program, keyboard, written, reader }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("press a key");
    }

    /// Everything that was written, escape sequences among it.
    pub fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().expect("nobody panics with it")).into_owned()
    }

    /// The last whole page: from the top left corner to where the rest is cleared, without escape sequences.
    pub fn page(&self) -> String {
        let written = self.written();
        let pages: Vec<&str> = written.split("\u{1b}[H").skip(1).collect();
        let whole = pages.iter().rev().find_map(|page| page.split_once("\u{1b}[J"));
        whole.map(|(page, _)| page.replace("\u{1b}[K", "").replace('\r', "")).unwrap_or_default()
    }

    /// Waits until the program ends, and all that it wrote was read.
    ///
    /// # Panics
    /// When it does not within half a minute.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.program.try_wait().expect("wait for a program")
                && self.reader.is_finished()
            {
                return status;
            }
            assert!(Instant::now() < deadline, "the program in the terminal goes on: {}", self.page());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
