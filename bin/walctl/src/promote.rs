use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use walship_client::{Connection, Purpose};
use walship_disk::RealDisk;
use walship_node::{DataDirectory, PidFile, PidStatus};
use walship_types::{Lsn, TimelineId};
use walship_wal::read_history;

use crate::connection::{block_on, connect, server};
use crate::failure::Failure;

/// Make the leader of a follower that runs, and wait until it takes writes
///
/// It replays everything that it has received, starts the next timeline, and opens for
/// writes; sessions that are connected stay. Make sure that the old leader is stopped
/// before: nothing keeps it from taking writes.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Data directory of the follower
    #[arg(short = 'D', long = "pgdata", value_name = "DIR", env = "PGDATA")]
    directory: PathBuf,

    /// How long to wait until it takes writes
    #[arg(short, long, value_name = "SECONDS", default_value = "60")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of it.
struct Promoted {
    timeline: TimelineId,
    switch: Lsn,
    /// Bytes from there to the last position that the old leader told of.
    behind: u64,
    took: Duration,
}

/// Promotes, and says what came of it.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let directory = DataDirectory::new(&arguments.directory);
    let promoted = block_on(promote(&directory, arguments.timeout))?;
    let Promoted { timeline, switch, behind, took } = promoted;
    if arguments.json {
        let shown = json!({
            "timeline": timeline.0,
            "switch_lsn": switch,
            "bytes_behind_leader": behind,
            "milliseconds": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
        println!("{shown:#}");
        return Ok(());
    }
    println!("promoted: timeline {timeline} begins at {switch}");
    println!("behind the last position known of the old leader: {behind} bytes");
    println!("time: {} ms", took.as_millis());
    Ok(())
}

async fn promote(directory: &DataDirectory, timeout: u32) -> Result<Promoted, Failure> {
    let begun = Instant::now();
    let pid_file = running(directory)?;
    let address = match pid_file.listen_address.as_str() {
        "" => pid_file.socket_directory.display().to_string(),
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "::1".to_owned(),
        address => address.to_owned(),
    };
    let target = server(&format!("host={address} port={} user=postgres dbname=postgres", pid_file.port))?;
    let mut connection = connect(&target, Purpose::Sql).await?;
    if value(&mut connection, "SELECT pg_is_in_recovery()").await?.as_deref() != Some("t") {
        return Err(leads_already(directory.root()));
    }
    let told = value(&mut connection, "SELECT latest_end_lsn FROM pg_stat_wal_receiver").await?;
    let asked = format!("SELECT pg_promote(true, {timeout})");
    if value(&mut connection, &asked).await?.as_deref() != Some("t") {
        return Err(Failure::new(format!("the follower does not take writes after {timeout} seconds"))
            .hint("the promotion goes on; the server's log says how far it is"));
    }
    let took = begun.elapsed();
    let query = "SELECT pg_walfile_name(pg_current_wal_insert_lsn())";
    let file = value(&mut connection, query).await?;
    connection.close().await;
    let timeline = file.as_deref().and_then(|name| u32::from_str_radix(name.get(..8)?, 16).ok());
    let timeline = timeline.ok_or_else(|| Failure::new(format!("no answer to \"{query}\"")))?;
    let history = read_history(&RealDisk::new(), &directory.wal(), TimelineId(timeline))?;
    let switch = history.entries.last().map_or(Lsn::INVALID, |entry| entry.switch_lsn);
    let told: Lsn = told.and_then(|text| text.parse().ok()).unwrap_or(Lsn::INVALID);
    let behind = told.saturating_distance_from(switch);
    Ok(Promoted { timeline: history.timeline, switch, behind, took })
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
        Some(PidStatus::Ready) => Err(leads_already(directory.root())),
        Some(PidStatus::Standby) | None => Ok(pid_file),
    }
}

fn leads_already(directory: &Path) -> Failure {
    Failure::new(format!("the server in directory \"{}\" is the leader already", directory.display()))
}

/// The first value of a query's result, as text; `None` if there is no row, or NULL.
async fn value(connection: &mut Connection, query: &str) -> Result<Option<String>, Failure> {
    let results = connection.query(query).await?;
    let row = results.last().and_then(|result| result.rows.first());
    let cell = row.and_then(|row| row.first().cloned().flatten());
    Ok(cell.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}
