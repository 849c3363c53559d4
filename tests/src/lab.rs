use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::commands::{Output, output_of};
use crate::node::{Node, Role};
use crate::port::Port;
use crate::programs::program;

/// The private directory of one test. It goes when the test ends, unless
/// `WALSHIP_TEST_KEEP` is set.
pub struct Lab {
    directory: TempDir,
}

impl Lab {
    /// A new, empty directory.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new() -> Lab {
        let mut directory =
            tempfile::Builder::new().prefix("walship-").tempdir().expect("make a temporary directory");
        if std::env::var_os("WALSHIP_TEST_KEEP").is_some() {
            directory.disable_cleanup(true);
            eprintln!("kept: {}", directory.path().display());
        }
        Lab { directory }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file into the directory and returns its path.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::write(&path, content).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path
    }

    /// A new leader named `leader`, accepting connections.
    pub fn leader(&self) -> Node {
        self.leader_with(&[])
    }

    /// The same with more arguments (`-c name=value`).
    pub fn leader_with(&self, arguments: &[&str]) -> Node {
        let mut leader = self.node(Role::Leader, "leader", arguments);
        leader.start();
        leader
    }

    /// A new follower named `follower` of `primary`, accepting connections.
    pub fn follower(&self, primary: &Node) -> Node {
        self.follower_with("follower", primary.port(), &[])
    }

    /// A new follower of whatever listens on `primary_port`.
    pub fn follower_with(&self, name: &str, primary_port: u16, arguments: &[&str]) -> Node {
        let conninfo = format!("host=127.0.0.1 port={primary_port} user=postgres");
        let mut all = vec!["--primary", conninfo.as_str(), "--name", name];
        all.extend_from_slice(arguments);
        let mut follower = self.node(Role::Follower, name, &all);
        follower.start();
        follower
    }

    /// A node that is not started yet.
    pub fn node(&self, role: Role, name: &str, arguments: &[&str]) -> Node {
        Node::new(role, name, self.path(), Port::reserve(), arguments)
    }

    /// Runs `walctl` to its end.
    pub fn walctl(&self, arguments: &[&str]) -> Output {
        self.run("walctl", arguments)
    }

    /// Brings an SQLite file into `leader` as database `name` with `walctl import`.
    pub fn import(&self, leader: &Node, file: &Path, name: &str) {
        let port = leader.port().to_string();
        let file = file.to_string_lossy();
        self.walctl(&["import", &file, "--as", name, "-h", "127.0.0.1", "-p", &port, "-U", "postgres"])
            .success();
    }

    /// Runs one of our programs to its end in the test's directory.
    pub fn run(&self, name: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program(name));
        for variable in ["PGDATA", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD"] {
            command.env_remove(variable);
        }
        output_of(command.args(arguments).current_dir(self.path()))
    }
}

impl Default for Lab {
    fn default() -> Lab {
        Lab::new()
    }
}
