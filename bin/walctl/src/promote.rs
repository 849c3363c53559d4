use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};
use walship_client::{Connection, Purpose};
use walship_node::{DataDirectory, PidFile, PidStatus};

use crate::candidates;
use crate::connection::{block_on, connect, server};
use crate::failure::Failure;
use crate::slot::objects;

/// How long to wait for word of the old leader, once the new one takes writes: longer than a
/// server looks for it.
const OLD_LEADER_WAIT: Duration = Duration::from_secs(3);
/// How often to ask for it.
const OLD_LEADER_LOOK: Duration = Duration::from_millis(20);

/// Make the leader of a follower that runs, and wait until it takes writes
///
/// It replays everything that it has received, starts the next timeline, and opens for
/// writes; sessions that are connected stay. It tells the old leader, if that can be
/// reached, which then takes no writes any more. If it cannot, make sure that it is stopped.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Data directory of the follower
    #[arg(short = 'D', long = "pgdata", value_name = "DIR", env = "PGDATA")]
    #[arg(required_unless_present = "best", conflicts_with = "best")]
    directory: Option<PathBuf>,

    /// Ask these followers, and promote the one that has most of the log
    #[arg(long, value_name = "CONNINFO", num_args = 1..)]
    best: Vec<String>,

    /// With --best: promote the best of those that answer, whatever the others have
    #[arg(long, requires = "best")]
    force: bool,

    /// How long to wait until it takes writes
    #[arg(short, long, value_name = "SECONDS", default_value = "60")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Promotes, and says what came of it.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    block_on(async {
        let (mut connection, asked) = match &arguments.directory {
            Some(directory) if arguments.best.is_empty() => {
                let mut connection = of_directory(&DataDirectory::new(directory)).await?;
                check_follows(&mut connection, &in_directory(directory)).await?;
                (connection, None)
            }
            _ => {
                let found = candidates::ask_all(&arguments.best).await?;
                if !arguments.json {
                    print!("{}", candidates::table(&found));
                }
                let best = match candidates::choose(&found, arguments.force) {
                    Ok(best) => best,
                    Err(failure) => {
                        candidates::release(&found).await;
                        return Err(failure);
                    }
                };
                let mut connection = connect(&best.target, Purpose::Sql).await?;
                let server = format!("at \"{}\"", connection.host());
                check_follows(&mut connection, &server).await?;
                (connection, Some(candidates::shown(&found)))
            }
        };
        let host = connection.host().to_string();
        let (promoted, took) = promote(&mut connection, arguments.timeout).await?;
        connection.close().await;
        show(arguments, &host, &promoted, took, asked);
        Ok(())
    })
}

fn show(arguments: &Arguments, host: &str, promoted: &Value, took: Duration, asked: Option<Value>) {
    let text = |member: &str| promoted.get(member).and_then(Value::as_str).unwrap_or_default();
    let number = |member: &str| text(member).parse::<u64>().unwrap_or_default();
    if arguments.json {
        let mut shown = json!({
            "server": host,
            "timeline": number("timeline"),
            "switch_lsn": text("promoted_lsn"),
            "bytes_behind_leader": number("promoted_behind_bytes"),
            "old_leader": text("old_leader"),
            "old_leader_detail": promoted.get("old_leader_detail"),
            "milliseconds": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
        if let (Some(object), Some(asked)) = (shown.as_object_mut(), asked) {
            object.insert("candidates".to_owned(), asked);
        }
        println!("{shown:#}");
        return;
    }
    if asked.is_some() {
        println!("promoted: {host}: timeline {} begins at {}", text("timeline"), text("promoted_lsn"));
    } else {
        println!("promoted: timeline {} begins at {}", text("timeline"), text("promoted_lsn"));
    }
    println!("behind the last position known of the old leader: {} bytes", number("promoted_behind_bytes"));
    println!(
        "old leader: {}",
        match (text("old_leader"), text("old_leader_detail")) {
            ("fenced", node) => format!("fenced ({node}): it takes no writes any more"),
            ("not fenced", why) =>
                format!("NOT fenced: {why}; make sure that it is stopped and stays stopped"),
            (other, _) => other.to_owned(),
        }
    );
    println!("time: {} ms", took.as_millis());
}

/// Asks the follower to lead, waits until it does, and for what became of the old leader.
async fn promote(connection: &mut Connection, timeout: u32) -> Result<(Value, Duration), Failure> {
    let begun = Instant::now();
    let asked = format!("SELECT pg_promote(true, {timeout})");
    if value(connection, &asked).await?.as_deref() != Some("t") {
        return Err(Failure::new(format!("the follower does not take writes after {timeout} seconds"))
            .hint("the promotion goes on; the server's log says how far it is"));
    }
    let took = begun.elapsed();
    let until = Instant::now() + OLD_LEADER_WAIT;
    loop {
        let row = objects(&connection.query("SELECT * FROM walship_stat_failover").await?);
        let row = row.into_iter().next().unwrap_or_default();
        let pending = row.get("old_leader").and_then(Value::as_str) == Some("pending");
        if !pending || Instant::now() >= until {
            return Ok((row, took));
        }
        tokio::time::sleep(OLD_LEADER_LOOK).await;
    }
}

/// Says which node cannot be promoted, and what it is instead.
async fn check_follows(connection: &mut Connection, server: &str) -> Result<(), Failure> {
    match candidates::fence_of(connection).await? {
        Some(fence) => Err(Failure::new(format!("the server {server} was fenced: {fence}"))
            .hint("rewind it, and let it follow the new leader; if this is a mistake, walctl unfence")),
        None if value(connection, "SELECT pg_is_in_recovery()").await?.as_deref() != Some("t") => {
            Err(Failure::new(format!("the server {server} is the leader already")))
        }
        None => Ok(()),
    }
}

fn in_directory(directory: &Path) -> String {
    format!("in directory \"{}\"", directory.display())
}

/// A connection to the server of a directory.
async fn of_directory(directory: &DataDirectory) -> Result<Connection, Failure> {
    let pid_file = running(directory)?;
    let address = match pid_file.listen_address.as_str() {
        "" => pid_file.socket_directory.display().to_string(),
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "::1".to_owned(),
        address => address.to_owned(),
    };
    let target = server(&format!("host={address} port={} user=postgres dbname=postgres", pid_file.port))?;
    connect(&target, Purpose::Sql).await
}

/// The process that serves the directory, if it can be asked.
fn running(directory: &DataDirectory) -> Result<PidFile, Failure> {
    let shown = directory.root().display();
    let Some(pid_file) = PidFile::read(directory) else {
        return Err(Failure::new(format!("no server is running in directory \"{shown}\""))
            .hint(format!("start it first: walreceiver -D {shown}")));
    };
    match PidFile::read_status(directory) {
        Some(PidStatus::Starting) => {
            Err(Failure::new(format!("the server in directory \"{shown}\" is not consistent yet"))
                .hint("it has not received the log that makes its base backup consistent"))
        }
        Some(PidStatus::Stopping) => {
            Err(Failure::new(format!("the server in directory \"{shown}\" is shutting down")))
        }
        Some(PidStatus::Ready | PidStatus::Standby) | None => Ok(pid_file),
    }
}

/// The first value of a query's result, as text; `None` if there is no row, or NULL.
async fn value(connection: &mut Connection, query: &str) -> Result<Option<String>, Failure> {
    let results = connection.query(query).await?;
    let row = results.last().and_then(|result| result.rows.first());
    let cell = row.and_then(|row| row.first().cloned().flatten());
    Ok(cell.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}
