use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use crate::{DataDirectory, NodeError};

/// What `postmaster.pid` says in its last line; `pg_ctl` waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PidStatus {
    /// Recovering; takes no connections yet.
    Starting,
    /// A leader that takes connections.
    Ready,
    /// A follower that takes connections.
    Standby,
    /// Shutting down.
    Stopping,
}

impl PidStatus {
    // padded, as PostgreSQL's are, so that the file keeps its length
    fn text(self) -> &'static str {
        match self {
            PidStatus::Starting => "starting",
            PidStatus::Ready => "ready   ",
            PidStatus::Standby => "standby ",
            PidStatus::Stopping => "stopping",
        }
    }
}

/// The file `postmaster.pid` in PostgreSQL's format, so that
/// `pg_ctl status|reload|stop -D DIR` work. It informs; the lock is
/// [`crate::DirectoryLock`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PidFile {
    /// The process.
    pub pid: u32,
    /// Seconds since 1970.
    pub started_unix_seconds: u64,
    /// TCP port.
    pub port: u16,
    /// First directory with a socket; empty without one.
    pub socket_directory: PathBuf,
    /// First address listened on; empty without one.
    pub listen_address: String,
}

impl PidFile {
    /// Writes the file.
    pub fn write(&self, directory: &DataDirectory, status: PidStatus) -> Result<(), NodeError> {
        let path = directory.pid_file();
        let root = directory.root();
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let mut text = String::new();
        let _ = write!(
            text,
            "{}\n{}\n{}\n{}\n{}\n{}\n        0         0\n{}\n",
            self.pid,
            root.display(),
            self.started_unix_seconds,
            self.port,
            self.socket_directory.display(),
            self.listen_address,
            status.text()
        );
        // no sync: the file says what runs now, and is rewritten at every start
        let temporary = path.with_extension("pid.new");
        let write = || {
            use std::io::Write as _;
            let mut options = fs::OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(text.as_bytes())?;
            let mode = fs::metadata(root)?.permissions().mode();
            if mode & 0o040 != 0 {
                file.set_permissions(fs::Permissions::from_mode(0o640))?;
            }
            fs::rename(&temporary, &path)
        };
        write().map_err(|e| NodeError::io("write file", &path, e))
    }

    /// Reads the file; `None` if there is none or it is not one.
    pub fn read(directory: &DataDirectory) -> Option<PidFile> {
        let text = fs::read_to_string(directory.pid_file()).ok()?;
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok()?;
        let _root = lines.next()?;
        Some(PidFile {
            pid,
            started_unix_seconds: lines.next()?.trim().parse().ok()?,
            port: lines.next()?.trim().parse().ok()?,
            socket_directory: lines.next()?.into(),
            listen_address: lines.next()?.to_owned(),
        })
    }

    /// What the file says that the process does; `None` if it says nothing of it.
    pub fn read_status(directory: &DataDirectory) -> Option<PidStatus> {
        let text = fs::read_to_string(directory.pid_file()).ok()?;
        let line = text.lines().nth(7)?;
        let all = [PidStatus::Starting, PidStatus::Ready, PidStatus::Standby, PidStatus::Stopping];
        all.into_iter().find(|status| status.text() == line)
    }

    /// Removes the file, as the last thing that a stopping process does.
    pub fn remove(directory: &DataDirectory) {
        // a file that stays behind is overwritten at the next start
        let _ = fs::remove_file(directory.pid_file());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_lines_that_pg_ctl_reads() {
        let dir = tempfile::tempdir().unwrap();
        let directory = DataDirectory::new(dir.path());
        let file = PidFile {
            pid: 42,
            started_unix_seconds: 1_700_000_000,
            port: 5433,
            socket_directory: "/tmp".into(),
            listen_address: "127.0.0.1".to_owned(),
        };
        file.write(&directory, PidStatus::Standby).unwrap();
        assert_eq!(PidFile::read(&directory), Some(file));
        let text = fs::read_to_string(directory.pid_file()).unwrap();
        assert_eq!(text.lines().nth(7), Some("standby "));
        assert_eq!(PidFile::read_status(&directory), Some(PidStatus::Standby));
    }
}
