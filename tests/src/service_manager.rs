use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::wait::wait_until;

/// How long one look waits for a notice.
const LOOK: Duration = Duration::from_millis(10);

/// What systemd is to a service: a socket that hears of its state.
pub struct ServiceManager {
    path: PathBuf,
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl ServiceManager {
    /// One that listens at `path`: the service's `NOTIFY_SOCKET`.
    ///
    /// # Panics
    /// When the socket cannot be made.
    pub fn listen(path: &Path) -> ServiceManager {
        let socket = UnixDatagram::bind(path).expect("make the notify socket");
        socket.set_read_timeout(Some(LOOK)).expect("limit reads");
        ServiceManager { path: path.to_owned(), socket, heard: Vec::new() }
    }

    /// Where it listens.
    pub fn path(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// Waits for a notice that has all of these lines (or beginnings of lines), and forgets
    /// what came before it.
    ///
    /// # Panics
    /// With all that was heard, when it does not come in time.
    pub fn wait_for(&mut self, lines: &[&str]) -> String {
        let mut found = None;
        let mut all = Vec::new();
        wait_until(&format!("the notice {lines:?}"), || {
            self.hear();
            all.append(&mut self.heard);
            found = all.iter().position(|notice| {
                lines.iter().all(|wanted| notice.lines().any(|line| line.starts_with(wanted)))
            });
            found.is_some()
        });
        let at = found.expect("the wait ended because it came");
        self.heard = all.split_off(at + 1);
        all.pop().expect("it is the last of those before")
    }

    /// What came since, and was not waited for.
    pub fn rest(&mut self) -> Vec<String> {
        self.hear();
        std::mem::take(&mut self.heard)
    }

    fn hear(&mut self) {
        let mut notice = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut notice) {
            self.heard.push(String::from_utf8_lossy(&notice[..length]).into_owned());
        }
    }
}
