use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};
use tokio::net::UnixListener;

use super::listener::ListenError;

/// A Unix socket `.s.PGSQL.PORT`, with the lock file that keeps two servers from using it at once.
/// Both are removed when this is dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    lock: PathBuf,
}

impl SocketFile {
    /// Makes the socket. One that a dead server left is replaced.
    pub(super) fn bind(directory: &Path, port: u16) -> Result<(UnixListener, SocketFile), ListenError> {
        let path = directory.join(format!(".s.PGSQL.{port}"));
        let lock = directory.join(format!(".s.PGSQL.{port}.lock"));
        let failed = |source| ListenError::Unix { path: path.clone(), source };
        take_lock(&lock).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => ListenError::UnixInUse { path: path.clone(), lock: lock.clone() },
            _ => failed(error),
        })?;
        let file = SocketFile { path: path.clone(), lock };
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        // whoever may reach the directory may connect, as with PostgreSQL's default of 0777
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).map_err(failed)?;
        Ok((listener, file))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // the lock goes last: whoever takes it next makes a new socket
        for path in [&self.path, &self.lock] {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "could not remove the socket file");
            }
        }
    }
}

// the file holds the server's pid on its first line; a server that died leaves it behind
fn take_lock(lock: &Path) -> io::Result<()> {
    for _ in 0..2 {
        match fs::File::create_new(lock) {
            Ok(mut file) => return writeln!(file, "{}", std::process::id()),
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            Err(_) => {}
        }
        let holder = fs::read_to_string(lock)?;
        let pid = holder.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
        let own = i32::try_from(std::process::id()).ok().and_then(Pid::from_raw);
        if pid.is_some_and(|pid| Some(pid) == own || test_kill_process(pid) != Err(rustix::io::Errno::SRCH)) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        fs::remove_file(lock)?;
    }
    Err(io::ErrorKind::AddrInUse.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_servers_socket_is_replaced_and_a_live_ones_is_not() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(".s.PGSQL.7.lock"), "999999999\n").unwrap();
        fs::write(directory.path().join(".s.PGSQL.7"), "").unwrap();
        let (listener, file) = SocketFile::bind(directory.path(), 7).unwrap();
        let second = SocketFile::bind(directory.path(), 7).unwrap_err();
        assert!(matches!(second, ListenError::UnixInUse { .. }), "{second}");
        drop((listener, file));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
