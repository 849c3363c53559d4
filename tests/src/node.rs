use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use walship_types::Lsn;

use crate::commands::{Output, output_of};
use crate::pages;
use crate::port::Port;
use crate::process::Process;
use crate::programs::{postgres_program, program};
use crate::session::Session;
use crate::user::OrdinaryUser;
use crate::wait::{wait_until, wait_until_within};

/// How long a node may take to start or to stop: recovery of a large log included.
const START_LIMIT: Duration = Duration::from_secs(120);

/// What a node is when it is made; a promotion changes what it does, not this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Started with `walsender`.
    Leader,
    /// Started with `walreceiver`.
    Follower,
}

/// One data directory and the process that serves it, if it runs.
pub struct Node {
    role: Role,
    name: String,
    dir: PathBuf,
    sockets: PathBuf,
    log: PathBuf,
    port: Port,
    /// Instead of 127.0.0.1 alone.
    addresses: Option<String>,
    arguments: Vec<String>,
    /// Variables of the process, besides this one's own.
    environment: Vec<(String, String)>,
    process: Option<Process>,
    /// Where copies of the programs lie that an ordinary user may run.
    programs: Option<PathBuf>,
}

impl Node {
    pub(crate) fn new(role: Role, name: &str, root: &Path, port: Port, arguments: &[&str]) -> Node {
        let sockets = root.join("sockets");
        std::fs::create_dir_all(&sockets).expect("create the directory for sockets");
        Node {
            role,
            name: name.to_owned(),
            dir: root.join(name),
            sockets,
            log: root.join(format!("{name}.log")),
            port,
            addresses: None,
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            environment: Vec::new(),
            process: None,
            programs: None,
        }
    }

    /// Runs the process as an ordinary user from now on, with copies of the programs,
    /// because root's own directories are closed to it.
    ///
    /// # Panics
    /// When a file cannot be copied.
    pub fn run_as_ordinary_user(&mut self) {
        let root = self.dir.parent().expect("the data directory lies in the test's").to_path_buf();
        let user = OrdinaryUser::get();
        for directory in [&root.join("programs"), &self.sockets, &self.dir] {
            std::fs::create_dir_all(directory).expect("create a directory for the ordinary user");
            user.own(directory, &root);
        }
        std::fs::set_permissions(&self.dir, PermissionsExt::from_mode(0o700))
            .expect("close the data directory");
        for name in ["walsender", "walreceiver"] {
            std::fs::copy(program(name), root.join("programs").join(name)).expect("copy a program");
        }
        self.programs = Some(root.join("programs"));
    }

    /// The command that serves the directory; with `--init` as long as there is none.
    pub fn command(&self) -> Command {
        let name = match self.role {
            Role::Leader => "walsender",
            Role::Follower => "walreceiver",
        };
        let mut command =
            Command::new(self.programs.as_ref().map_or_else(|| program(name), |dir| dir.join(name)));
        if self.programs.is_some() {
            OrdinaryUser::get().run(&mut command);
        }
        command.arg("-D").arg(&self.dir);
        match &self.addresses {
            None => command.arg("--listen").arg(format!("127.0.0.1:{}", self.port())),
            Some(list) => command.args([
                "-c",
                &format!("listen_addresses={list}"),
                "-c",
                &format!("port={}", self.port()),
            ]),
        };
        command.arg("-c").arg(format!("unix_socket_directories={}", self.sockets.display()));
        if !self.dir.join("control").exists() {
            command.arg("--init");
        }
        command.args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Sets a variable for the next starts; an empty value takes it away again.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.environment.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Waits until the process has ended by itself.
    ///
    /// # Panics
    /// When it goes on running.
    pub fn wait_ended(&mut self) {
        self.process().wait_exit(START_LIMIT);
        self.process = None;
    }

    /// Whether the process runs.
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Whether the process runs, and has not ended by itself.
    pub fn is_alive(&mut self) -> bool {
        if self.process.as_mut().is_some_and(|process| process.exited().is_some()) {
            self.process = None;
        }
        self.process.is_some()
    }

    /// Starts the directory with the other role's program from now on.
    pub fn set_role(&mut self, role: Role) {
        self.role = role;
    }

    /// Listens on these addresses, separated by commas, from the next start on; 127.0.0.1 has to be one.
    pub fn listen_on(&mut self, addresses: &str) {
        self.addresses = Some(addresses.to_owned());
    }

    /// Adds arguments for the next start.
    pub fn add_arguments(&mut self, arguments: &[&str]) {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
    }

    /// Starts the process and waits until it accepts connections.
    ///
    /// # Panics
    /// When it ends instead, or does not within two minutes.
    pub fn start(&mut self) {
        self.spawn();
        self.wait_ready();
    }

    /// Starts it unless it runs.
    pub fn start_if_down(&mut self) {
        if self.process.is_none() {
            self.start();
        }
    }

    /// Starts the process without waiting for it.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn spawn(&mut self) {
        self.process = Some(Process::spawn(&self.name, self.command(), &self.log));
    }

    /// Waits until the process accepts connections.
    ///
    /// # Panics
    /// When it ends instead, or does not within two minutes.
    pub fn wait_ready(&mut self) {
        let what = format!("{} accepts connections", self.name);
        wait_until_within(START_LIMIT, &what, || {
            if let Some(status) = self.process().exited() {
                panic!("{} ended with {status} instead of accepting connections", self.name);
            }
            self.is_ready()
        });
    }

    /// Whether `pg_isready` says that it accepts connections.
    pub fn is_ready(&self) -> bool {
        self.pg_isready().status == Some(0)
    }

    /// Runs the stock `pg_isready`.
    pub fn pg_isready(&self) -> Output {
        output_of(
            Command::new(postgres_program("pg_isready"))
                .args(["-h", "127.0.0.1", "-U", "postgres", "-p"])
                .arg(self.port().to_string()),
        )
    }

    /// Stops the process with SIGTERM and waits for its clean end.
    ///
    /// # Panics
    /// When it fails, or does not end within two minutes.
    pub fn stop(&mut self) {
        self.process().signal(libc::SIGTERM);
        let status = self.process().wait_exit(START_LIMIT);
        assert!(status.success(), "{} stopped with {status}", self.name);
        self.process = None;
    }

    /// Kills the process as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Stops and starts again.
    pub fn restart(&mut self) {
        self.stop();
        self.start();
    }

    /// Freezes the process (SIGSTOP).
    pub fn pause(&mut self) {
        self.process().signal(libc::SIGSTOP);
    }

    /// Lets a frozen process go on (SIGCONT).
    pub fn resume(&mut self) {
        self.process().signal(libc::SIGCONT);
    }

    /// The running process.
    ///
    /// # Panics
    /// When there is none.
    pub fn process(&mut self) -> &mut Process {
        match self.process.as_mut() {
            Some(process) => process,
            None => panic!("{} is not running", self.name),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory of its Unix socket.
    pub fn socket_dir(&self) -> &Path {
        &self.sockets
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The SQLite file of a database.
    pub fn database(&self, name: &str) -> PathBuf {
        self.dir.join("base").join(format!("{name}.db"))
    }

    /// Everything that its processes have written so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Runs the stock `psql` with `arguments` on a database.
    pub fn psql(&self, database: &str, arguments: &[&str]) -> Output {
        output_of(self.psql_command(database).args(arguments))
    }

    /// The stock `psql`, unaligned and without headers, for a database.
    pub fn psql_command(&self, database: &str) -> Command {
        let mut command = Command::new(postgres_program("psql"));
        command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres"]);
        command.arg("-p").arg(self.port().to_string()).args(["-d", database]);
        command
    }

    /// The stock `psql` for another user of `database`, with more of a connection string.
    /// What the environment could add is taken away.
    pub fn psql_as(&self, user: &str, password: Option<&str>, more: &str, sql: &str) -> Output {
        let mut command = Command::new(postgres_program("psql"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PG")) {
            command.env_remove(name);
        }
        if let Some(password) = password {
            command.env("PGPASSWORD", password);
        }
        let host = if more.contains("host=") { "" } else { "host=127.0.0.1" };
        let database = if more.contains("dbname=") { "" } else { "dbname=postgres" };
        let conninfo = format!("{host} port={} user={user} {database} {more}", self.port());
        // without a terminal psql must not ask for a password
        output_of(
            command
                .args(["-X", "-A", "-t", "-q", "-w", "-v", "ON_ERROR_STOP=1"])
                .args(["-c", sql])
                .arg(conninfo),
        )
    }

    /// Replaces the access rules and puts them in force. The first line always lets the
    /// user `postgres` in over TCP, whom the tests themselves use.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn set_access_rules(&self, rules: &str) {
        const OWN: &str = "host all,replication postgres 127.0.0.1/32 trust\n";
        std::fs::write(self.dir.join("pg_hba.conf"), format!("{OWN}{rules}\n")).expect("write pg_hba.conf");
        assert_eq!(self.sql("SELECT pg_reload_conf()"), "t");
    }

    /// Runs statements in `postgres` through psql; they must succeed.
    pub fn sql(&self, sql: &str) -> String {
        self.psql("postgres", &["-c", sql]).success()
    }

    /// A session in `postgres`.
    ///
    /// # Panics
    /// When the connection is refused.
    pub fn connect(&self) -> Session {
        self.connect_to("postgres")
    }

    /// A session in a database.
    ///
    /// # Panics
    /// When the connection is refused.
    pub fn connect_to(&self, database: &str) -> Session {
        Session::connect(self.port(), database).unwrap_or_else(|e| panic!("connect to {}: {e}", self.name))
    }
}

/// A position that a node reports through an SQL function.
fn position(session: &Session, function: &str) -> Lsn {
    let text = session.value(&format!("SELECT {function}()"));
    text.parse().unwrap_or_else(|e| panic!("{function}() gave {text:?}: {e}"))
}

/// Waits until `follower` has replayed everything that `leader` has made durable by now,
/// and returns that position. `leader` may be a follower itself.
///
/// # Panics
/// When it does not catch up in time.
pub fn wait_caught_up(leader: &Node, follower: &Node) -> Lsn {
    let session = leader.connect();
    let function = match session.value("SELECT pg_is_in_recovery()").as_str() {
        "f" => "pg_current_wal_flush_lsn",
        _ => "pg_last_wal_replay_lsn",
    };
    let target = position(&session, function);
    let what = format!("{} replays up to {target} of {}", follower.name(), leader.name());
    let mut session = None;
    wait_until(&what, || {
        if session.is_none() {
            session = Session::connect(follower.port(), "postgres").ok();
        }
        let replayed = session.as_ref().and_then(|s| s.query("SELECT pg_last_wal_replay_lsn()").ok());
        let Some(rows) = replayed else {
            session = None;
            return false;
        };
        let text = rows.into_iter().next().and_then(|row| row.into_iter().next().flatten());
        text.and_then(|text| text.parse::<Lsn>().ok()).is_some_and(|replayed| replayed >= target)
    });
    target
}

/// Waits for the follower and holds the two files of `database` against each other,
/// page for page, and each against SQLite's own integrity check.
///
/// # Panics
/// When they differ, naming the first pages that do.
pub fn assert_identical(leader: &Node, follower: &Node, database: &str) {
    wait_caught_up(leader, follower);
    pages::assert_same(&leader.database(database), &follower.database(database));
}
