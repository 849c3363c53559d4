use std::path::{Path, PathBuf};
use std::process::Command;

use crate::commands::output_of;
use crate::port::Port;
use crate::process::Process;
use crate::programs::postgres_program;
use crate::session::Session;
use crate::user::OrdinaryUser;
use crate::wait::wait_until;

/// A real PostgreSQL on a private directory and a loopback port: the reference for
/// what stock programs see, and the other side of the benchmark.
pub struct Oracle {
    port: Port,
    data: PathBuf,
    process: Process,
}

impl Oracle {
    /// Creates a cluster below `root` and starts it with the given `name=value` settings.
    /// PostgreSQL refuses to run as root, so root becomes the user `postgres`.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    pub fn start(root: &Path, settings: &[&str]) -> Oracle {
        let home = root.join("postgresql");
        std::fs::create_dir_all(&home).expect("create PostgreSQL's directory");
        let user = OrdinaryUser::get();
        user.own(&home, root);
        let data = home.join("data");
        let mut initdb = Command::new(postgres_program("initdb"));
        user.run(&mut initdb);
        initdb.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D"]).arg(&data);
        output_of(initdb.current_dir(&home)).success();
        Oracle::serve(&home, data, settings)
    }

    /// A streaming standby of this one, below another `root`.
    ///
    /// # Panics
    /// When the base backup fails or the standby does not start.
    pub fn standby(&self, root: &Path, settings: &[&str]) -> Oracle {
        let home = root.join("postgresql-standby");
        std::fs::create_dir_all(&home).expect("create the standby's directory");
        let user = OrdinaryUser::get();
        user.own(&home, root);
        let data = home.join("data");
        let mut backup = Command::new(postgres_program("pg_basebackup"));
        user.run(&mut backup);
        backup
            .args(["-h", "127.0.0.1", "-U", "postgres", "-c", "fast", "-R", "-p"])
            .arg(self.port().to_string());
        output_of(backup.arg("-D").arg(&data).current_dir(&home)).success();
        Oracle::serve(&home, data, settings)
    }

    fn serve(home: &Path, data: PathBuf, settings: &[&str]) -> Oracle {
        let port = Port::reserve();
        let mut postgres = Command::new(postgres_program("postgres"));
        OrdinaryUser::get().run(&mut postgres);
        postgres.arg("-D").arg(&data).arg("-p").arg(port.number().to_string()).arg("-k").arg(home);
        for setting in ["listen_addresses=127.0.0.1"].iter().chain(settings) {
            postgres.arg("-c").arg(setting);
        }
        postgres.current_dir(home);
        let log = home.with_extension("log");
        let mut oracle = Oracle { process: Process::spawn("postgresql", postgres, &log), port, data };
        wait_until("PostgreSQL accepts connections", || {
            assert!(oracle.process.exited().is_none(), "PostgreSQL ended: {}", oracle.process.output());
            Session::connect(oracle.port(), "postgres").is_ok()
        });
        oracle
    }

    /// Stops it cleanly, as `pg_ctl stop -m fast` does.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn stop(&mut self) {
        self.process.signal(libc::SIGINT);
        wait_until("PostgreSQL stops", || self.process.exited().is_some());
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The process id of the postmaster.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        if self.process.exited().is_some() {
            return;
        }
        // an immediate stop, so that the postmaster takes its children with it
        self.process.signal(libc::SIGQUIT);
        wait_until("PostgreSQL ends", || self.process.exited().is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::pgbench;

    #[test]
    fn a_real_postgresql_with_a_standby_starts_and_stops() {
        let root = tempfile::tempdir().unwrap();
        let oracle = Oracle::start(root.path(), &["max_connections=20"]);
        let standby = oracle.standby(root.path(), &[]);
        let session = Session::connect(standby.port(), "postgres").unwrap();
        assert_eq!(session.value("SELECT pg_is_in_recovery()"), "t");
        assert_eq!(session.error("CREATE TABLE t()").code, "25006");
        let script = root.path().join("one.sql");
        std::fs::write(&script, "SELECT 1;\n").unwrap();
        let said = pgbench(oracle.port(), &script, &["-c", "2", "-t", "10"]).success();
        assert!(said.contains("20/20"), "{said}");
    }
}
