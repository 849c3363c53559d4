//! `walctl status`: what nodes say of themselves, and what is wrong with that.

mod page;
mod problems;
mod query;
mod rates;
mod terminal;
mod text;
mod topology;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};
use walship_node::{DataDirectory, PidFile};
use walship_protocol::{Host, HostAddress, Target};

use crate::connection::{ConnectionOptions, block_on, server};
use crate::failure::Failure;

/// Longest time that a node may take to say everything.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Nodes are not to be asked more often.
const WATCH_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Show the state of one or more running nodes
///
/// Role, timeline, positions, databases, followers, slots and receiver. Ends with status 1, and says why, if something
/// is wrong: a node that does not answer, a follower that does not stream, replay that a checksum has stopped, a slot
/// that lost its log.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The nodes: connection strings (key=value or URI), HOST or HOST:PORT
    #[arg(value_name = "CONNINFO")]
    servers: Vec<String>,

    /// The node that runs on this data directory
    #[arg(short = 'D', long = "pgdata", value_name = "DIR")]
    directory: Option<PathBuf>,

    /// Print JSON; with --watch one object on each line
    #[arg(long)]
    json: bool,

    /// Show it again every so many seconds, as a live page on a terminal, until q or Ctrl-C; elsewhere only when
    /// something has changed
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2")]
    watch: Option<f64>,

    /// With --watch: end after so many looks
    #[arg(long, value_name = "N", requires = "watch")]
    count: Option<u64>,

    #[command(flatten)]
    connection: ConnectionOptions,
}

/// Asks every node and prints what it says.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut targets = arguments.servers.iter().map(|text| server(text)).collect::<Result<Vec<_>, _>>()?;
    if let Some(directory) = &arguments.directory {
        targets.push(running_on(directory, &arguments.connection)?);
    } else if targets.is_empty() {
        targets.push(arguments.connection.target()?);
    }
    if let Some(seconds) = arguments.watch {
        let every = Duration::try_from_secs_f64(seconds).ok().filter(|every| *every >= WATCH_INTERVAL_MIN);
        let every = every
            .ok_or_else(|| Failure::usage(format!("--watch takes 0.1 or more seconds, not {seconds}")))?;
        return watch::run(targets, &watch::Options { every, json: arguments.json, count: arguments.count });
    }
    let nodes = block_on(async {
        let mut nodes = Vec::new();
        for target in &targets {
            nodes.push(ask(target, ANSWER_TIMEOUT).await);
        }
        Ok(nodes)
    })?;
    report(&nodes, arguments.json)
}

/// Prints what the nodes say; a failure if something is wrong.
fn report(nodes: &[Value], json: bool) -> Result<(), Failure> {
    let problems = problems::all(nodes);
    if json {
        println!("{:#}", json!({ "nodes": nodes, "problems": problems }));
    } else {
        print!("{}", nodes.iter().map(text::node).collect::<Vec<_>>().join("\n"));
    }
    verdict(&problems)
}

fn verdict(problems: &[String]) -> Result<(), Failure> {
    match problems {
        [] => Ok(()),
        [only] => Err(Failure::new(only)),
        several => Err(Failure::new(several.join("; "))),
    }
}

/// The server of a data directory, as its postmaster.pid says.
fn running_on(directory: &Path, connection: &ConnectionOptions) -> Result<Target, Failure> {
    let running = PidFile::read(&DataDirectory::new(directory));
    let running = running.ok_or_else(|| {
        Failure::new(format!("no server is running on data directory \"{}\"", directory.display()))
    })?;
    let mut target = connection.target()?;
    // what listens on every address listens on this one
    let address = match running.listen_address.as_str() {
        "" | "*" | "0.0.0.0" | "::" => "127.0.0.1",
        address => address,
    };
    target.hosts =
        vec![Host { address: HostAddress::Tcp(address.to_owned()), port: running.port, name: None }];
    Ok(target)
}

/// What a node says, or that it does not.
async fn ask(target: &Target, limit: Duration) -> Value {
    let hosts = target.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let unreachable = |why: String| json!({ "server": hosts, "role": Value::Null, "error": why });
    match tokio::time::timeout(limit, query::node(target)).await {
        Ok(Ok(node)) => node,
        Ok(Err(failure)) => unreachable(failure.message().to_owned()),
        Err(_) => unreachable(format!("server at \"{hosts}\" did not answer within {} s", limit.as_secs())),
    }
}
