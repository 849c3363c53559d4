use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::NodeError;

/// The names in a data directory. Those that PostgreSQL's tools create or expect
/// are PostgreSQL's, so that what `pg_basebackup` writes can be started as it is.
#[derive(Debug, Clone)]
pub struct DataDirectory {
    root: PathBuf,
}

impl DataDirectory {
    /// Names a directory; nothing is read or created.
    pub fn new(root: impl Into<PathBuf>) -> DataDirectory {
        DataDirectory { root: root.into() }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The node's durable state: see [`crate::ControlFile`].
    pub fn control(&self) -> PathBuf {
        self.root.join("control")
    }

    /// The SQLite databases and their page hashes.
    pub fn base(&self) -> PathBuf {
        self.root.join("base")
    }

    /// The log's segments and timeline histories.
    pub fn wal(&self) -> PathBuf {
        self.root.join("pg_wal")
    }

    /// Log that the cluster went on without, a folder for each time.
    pub fn abandoned(&self) -> PathBuf {
        self.wal().join("abandoned")
    }

    /// Replication slots, a folder each.
    pub fn slots(&self) -> PathBuf {
        self.root.join("pg_replslot")
    }

    /// Settings that people write.
    pub fn config(&self) -> PathBuf {
        self.root.join("postgresql.conf")
    }

    /// Settings that programs write (`ALTER SYSTEM`, `pg_basebackup -R`).
    pub fn auto_config(&self) -> PathBuf {
        self.root.join("postgresql.auto.conf")
    }

    /// Who may connect from where.
    pub fn access_rules(&self) -> PathBuf {
        self.root.join("pg_hba.conf")
    }

    /// Its presence makes the directory a follower's.
    pub fn standby_signal(&self) -> PathBuf {
        self.root.join("standby.signal")
    }

    /// PostgreSQL's targeted recovery, which is not done this way here.
    pub fn recovery_signal(&self) -> PathBuf {
        self.root.join("recovery.signal")
    }

    /// Where replay of a base backup has to start.
    pub fn backup_label(&self) -> PathBuf {
        self.root.join("backup_label")
    }

    /// The running process, in PostgreSQL's format.
    pub fn pid_file(&self) -> PathBuf {
        self.root.join("postmaster.pid")
    }

    /// How the running process was started, for `pg_ctl status` and `pg_ctl restart`.
    pub fn options_file(&self) -> PathBuf {
        self.root.join("postmaster.opts")
    }

    /// The major version whose tools may handle the directory.
    pub fn version_file(&self) -> PathBuf {
        self.root.join("PG_VERSION")
    }

    /// Asks a follower to become the leader.
    pub fn promote_signal(&self) -> PathBuf {
        self.root.join("promote")
    }

    /// Whether the directory is missing or has nothing in it; `lost+found` and
    /// hidden files do not count, since a fresh mount point has them.
    pub fn is_missing_or_empty(&self) -> Result<bool, NodeError> {
        let entries = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
            Err(error) => return Err(NodeError::io("read directory", &self.root, error)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| NodeError::io("read directory", &self.root, e))?;
            let name = entry.file_name();
            if name != "lost+found" && !name.as_encoded_bytes().starts_with(b".") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes the directory for this process, until the returned lock is dropped.
    /// The operating system lets go of it when the process ends, however it ends.
    pub fn lock(&self) -> Result<DirectoryLock, NodeError> {
        let file = OpenOptions::new()
            .read(true)
            .open(&self.root)
            .map_err(|e| NodeError::io("open directory", &self.root, e))?;
        match flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(DirectoryLock { _file: file }),
            Err(error) if error == rustix::io::Errno::WOULDBLOCK => {
                let pid = crate::PidFile::read(self).map(|p| p.pid);
                Err(NodeError::DirectoryInUse { directory: self.root.clone(), pid })
            }
            Err(error) => Err(NodeError::io("lock directory", &self.root, error.into())),
        }
    }
}

/// Holds a data directory for one process.
#[derive(Debug)]
pub struct DirectoryLock {
    _file: File,
}
