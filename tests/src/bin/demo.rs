//! `make run`: a leader and a follower with a real database, until Ctrl-C.
//!
//! On the first run the shop of fixtures/dataset is imported; later runs resume. A few
//! orders a second are placed on the leader, so that there is something to watch; at a
//! terminal a small table shows the positions of both, otherwise nothing is printed
//! between the start and the end.

use std::fs::File;
use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use walship_tests::{Session, die_with_parent, generate_shop, program, signal_process};

/// How long a start may take (the first one copies the database).
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long a stop may take before it is reported as hanging.
const STOP_LIMIT: Duration = Duration::from_secs(60);
/// Between two orders.
const ORDER_EVERY: Duration = Duration::from_millis(200);
/// Between two looks at the positions.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOG_LINES_SHOWN: usize = 15;
/// SQLSTATE of a lock that was not had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

const ORDER: &str = "BEGIN; \
    INSERT INTO orders(customer_id, ordered_at, status) VALUES (1 + abs(random() % 12000), datetime('now'), 'open'); \
    INSERT INTO order_lines SELECT last_insert_rowid(), 1, id, 1, price_cents FROM products \
        WHERE id = 1 + abs(random() % 3000); \
    COMMIT";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let options = Options::from_arguments()?;
    let stop = stop_signal()?;
    std::fs::create_dir_all(&options.data).with_context(|| format!("create {}", options.data.display()))?;

    let mut leader = Server::start("walsender", "leader", &options, options.leader_port, &[])?;
    leader.wait_ready(&stop)?;
    import_shop(&options)?;
    let primary = format!("host=127.0.0.1 port={} user=postgres", options.leader_port);
    let mut follower =
        Server::start("walreceiver", "follower", &options, options.follower_port, &["--primary", &primary])?;
    follower.wait_ready(&stop)?;

    print_how_to_connect(&options);
    let watched = watch(&options, &stop, &mut leader, &mut follower);
    // the leader first: the follower still gets everything up to its last checkpoint
    let ended = leader.stop().and(follower.stop());
    watched.and(ended)?;
    println!("both stopped; \"make run\" resumes");
    Ok(())
}

struct Options {
    data: PathBuf,
    leader_port: u16,
    follower_port: u16,
}

impl Options {
    fn from_arguments() -> Result<Options> {
        let mut options = Options { data: PathBuf::from("data"), leader_port: 5433, follower_port: 5434 };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--data" => options.data = PathBuf::from(value),
                "--leader-port" => options.leader_port = value.parse().context("--leader-port")?,
                "--follower-port" => options.follower_port = value.parse().context("--follower-port")?,
                _ => bail!(
                    "unknown option {name}: there are --data DIR, --leader-port N and --follower-port N"
                ),
            }
        }
        Ok(options)
    }
}

/// A flag that Ctrl-C and SIGTERM raise.
fn stop_signal() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let raised = flag.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut terminate = {
        let _context = runtime.enter();
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        });
        raised.store(true, Ordering::SeqCst);
    });
    Ok(flag)
}

/// One of the two processes. It is stopped when this is dropped.
struct Server {
    name: &'static str,
    port: u16,
    dir: PathBuf,
    log: PathBuf,
    child: Child,
}

impl Server {
    fn start(
        binary: &str,
        name: &'static str,
        options: &Options,
        port: u16,
        arguments: &[&str],
    ) -> Result<Server> {
        let dir = options.data.join(name);
        let log = options.data.join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| log.display().to_string())?;
        let mut command = Command::new(program(binary));
        command.arg("-D").arg(&dir).arg("--listen").arg(format!("127.0.0.1:{port}"));
        if !dir.join("control").exists() {
            command.arg("--init").args(arguments);
        }
        // its own group: a Ctrl-C at the terminal is ours to pass on, in order
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        die_with_parent(&mut command, libc::SIGTERM);
        let child = command.spawn().with_context(|| format!("start {binary}"))?;
        Ok(Server { name, port, dir, log, child })
    }

    fn wait_ready(&mut self, stop: &AtomicBool) -> Result<()> {
        let start = Instant::now();
        while !self.answers() {
            self.check_alive()?;
            if stop.load(Ordering::SeqCst) {
                bail!("stopped before the {} was ready", self.name);
            }
            if start.elapsed() > START_LIMIT {
                bail!("the {} is not ready after {START_LIMIT:?}; see {}", self.name, self.log.display());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Whether it is this server that answers on its port: another one's databases are not
    /// ours to write to.
    fn answers(&self) -> bool {
        let Ok(session) = Session::connect(self.port, "postgres") else { return false };
        let Ok(rows) = session.query("SHOW data_directory") else { return false };
        let shown = rows.into_iter().flatten().flatten().next();
        let own = self.dir.canonicalize();
        shown.is_some_and(|shown| {
            own.is_ok_and(|own| PathBuf::from(shown).canonicalize().is_ok_and(|dir| dir == own))
        })
    }

    fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail =
                lines.get(lines.len().saturating_sub(LOG_LINES_SHOWN)..).unwrap_or_default().join("\n");
            bail!("the {} ended with {status}; the last lines of {}:\n{tail}", self.name, self.log.display());
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        signal_process(self.child.id(), libc::SIGTERM);
        let start = Instant::now();
        while self.child.try_wait()?.is_none() {
            if start.elapsed() > STOP_LIMIT {
                bail!("the {} does not stop; see {}", self.name, self.log.display());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            eprintln!("demo: {error:#}");
        }
    }
}

/// Brings the shop into the leader, unless it is there already.
fn import_shop(options: &Options) -> Result<()> {
    let session = Session::connect(options.leader_port, "postgres").map_err(|e| anyhow::anyhow!("{e}"))?;
    if session.value("SELECT count(*) FROM pg_database WHERE datname = 'shop'") != "0" {
        return Ok(());
    }
    println!("first run: importing a shop of 225,000 rows");
    let file = options.data.join("shop.db");
    remove_if_there(&file)?;
    generate_shop(&file).context("generate the shop")?;
    let status = Command::new(program("walctl"))
        .arg("import")
        .arg(&file)
        .args(["--as", "shop", "-h", "127.0.0.1", "-U", "postgres", "-p", &options.leader_port.to_string()])
        .status()
        .context("start walctl")?;
    if !status.success() {
        bail!("walctl import ended with {status}");
    }
    remove_if_there(&file)
}

fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn print_how_to_connect(options: &Options) {
    let Options { data, leader_port, follower_port } = options;
    let data = data.display();
    println!("leader     psql -h 127.0.0.1 -p {leader_port} -U postgres shop");
    println!("follower   psql -h 127.0.0.1 -p {follower_port} -U postgres shop");
    println!("           sqlite3 {data}/follower/base/shop.db");
    println!("logs       {data}/leader.log, {data}/follower.log");
    println!("Ctrl-C stops both");
}

/// Places orders and shows how they travel, until told to stop or a process ends.
fn watch(options: &Options, stop: &AtomicBool, leader: &mut Server, follower: &mut Server) -> Result<()> {
    let connect = |port, database: &str| Session::connect(port, database).map_err(|e| anyhow::anyhow!("{e}"));
    let shop = connect(options.leader_port, "shop")?;
    let (at_leader, at_follower) =
        (connect(options.leader_port, "postgres")?, connect(options.follower_port, "shop")?);
    shop.run(&format!("SET lock_timeout = {}", LOOK_EVERY.as_millis()));
    let terminal = std::io::stdout().is_terminal();
    let (mut next_order, mut next_look) = (Instant::now(), Instant::now());
    let mut table = Table::default();
    while !stop.load(Ordering::SeqCst) {
        let now = Instant::now();
        if now >= next_order {
            next_order = now + ORDER_EVERY;
            match shop.query(ORDER) {
                // whoever tries a transaction of their own holds up ours
                Err(error) if error.code == LOCK_NOT_AVAILABLE => shop.run("ROLLBACK"),
                placed => drop(placed.map_err(|e| anyhow::anyhow!("place an order: {e}"))?),
            }
        }
        if now >= next_look {
            next_look = now + LOOK_EVERY;
            leader.check_alive()?;
            follower.check_alive()?;
            if terminal {
                table.show(&shop, &at_leader, &at_follower)?;
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// The leader's position, and the follower's, as far as it has said: what was sent, what
/// readers see, how far that is behind.
const POSITIONS: &str = "SELECT pg_current_wal_flush_lsn(), sent_lsn, replay_lsn, \
    pg_wal_lsn_diff(pg_current_wal_flush_lsn(), replay_lsn), replay_lag \
    FROM (SELECT 1) LEFT JOIN pg_stat_replication ON true LIMIT 1";

/// The table at a terminal, drawn over its own last lines.
#[derive(Default)]
struct Table {
    drawn: bool,
}

impl Table {
    fn show(&mut self, shop: &Session, leader: &Session, follower: &Session) -> Result<()> {
        let row = |session: &Session, sql: &str| {
            let rows = session.query(sql).map_err(|e| anyhow::anyhow!("{sql}: {e}"))?;
            Ok::<_, anyhow::Error>(rows.into_iter().next().unwrap_or_default())
        };
        let at_leader = row(leader, POSITIONS)?;
        let column = |i: usize| at_leader.get(i).cloned().flatten().unwrap_or_else(|| "-".to_owned());
        let orders = |session: &Session| {
            let count = row(session, "SELECT count(*) FROM orders")?;
            Ok::<_, anyhow::Error>(count.into_iter().next().flatten().unwrap_or_default())
        };
        let cells = [
            ["", "log position", "replayed", "bytes", "lag", "orders"].map(str::to_owned),
            ["leader".to_owned(), column(0), String::new(), String::new(), String::new(), orders(shop)?],
            ["follower".to_owned(), column(1), column(2), column(3), column(4), orders(follower)?],
        ];
        if self.drawn {
            print!("\x1b[3A");
        }
        self.drawn = true;
        for [name, position, replayed, bytes, lag, orders] in cells {
            println!("\x1b[2K{name:<10} {position:>14} {replayed:>14} {bytes:>10} {lag:>14} {orders:>10}");
        }
        Ok(())
    }
}
