use std::fs;
use std::path::{Path, PathBuf};

use crate::commands::Output;
use crate::lab::Lab;
use crate::node::Node;
use crate::wait::wait_until;

/// A directory that a leader archives to.
pub struct TestArchive {
    path: PathBuf,
}

impl TestArchive {
    /// A new, empty one named `archive` in the test's directory.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(lab: &Lab) -> TestArchive {
        let path = lab.path().join("archive");
        fs::create_dir(&path).expect("create the archive");
        TestArchive { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `archive_directory=PATH`, for `-c`.
    pub fn setting(&self) -> String {
        format!("archive_directory={}", self.path.display())
    }

    /// A leader of small segments that archives here.
    pub fn leader(&self, lab: &Lab) -> Node {
        let setting = self.setting();
        lab.leader_with(&["--wal-segment-size", "1MB", "-c", "archive_mode=on", "-c", &setting])
    }

    /// Makes `leader` end its segment, and waits until that is archived.
    pub fn complete(&self, leader: &Node) {
        let last = leader.sql("SELECT pg_walfile_name(pg_switch_wal())");
        self.wait_for(&last);
    }

    /// Waits until a file is archived.
    pub fn wait_for(&self, name: &str) {
        wait_until(&format!("{name} is archived"), || self.path.join(name).exists());
    }
}

impl Lab {
    /// `walctl basebackup` of a node, into the directory `name`.
    pub fn base_backup(&self, node: &Node, name: &str) -> PathBuf {
        let port = node.port().to_string();
        let host = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres"];
        self.walctl(&[&["basebackup", "-D", name], host.as_slice()].concat()).success();
        self.path().join(name)
    }
    /// `walctl restore` of the backup and archive of those names, into the directory `to`.
    pub fn restore(&self, backup: &str, to: &str, more: &[&str]) -> Output {
        self.walctl(&[&["restore", "-B", backup, "-A", "archive", "-D", to], more].concat())
    }
}
