//! The follower: replays a leader's log into SQLite files that anyone can read.
//!
//! The command line is a library, so that the manual and the completions are made from it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use walship_server::run::{Init, Program, StartOptions, run};

/// A follower of a walship cluster: copies a consistent snapshot from the leader,
/// streams its log, replays it into SQLite databases and answers reads.
///
/// A directory that is a leader's (it has no file named standby.signal) is
/// started as a leader.
#[derive(Debug, Parser)]
#[command(name = "walreceiver", version)]
struct Arguments {
    /// Data directory
    #[arg(short = 'D', long = "pgdata", value_name = "DIR", env = "PGDATA")]
    directory: PathBuf,

    /// Take a base backup from the leader if the directory is missing or empty
    #[arg(long, requires = "primary")]
    init: bool,

    /// The leader to follow, as a libpq connection string (key=value or URI, several hosts); remembered
    #[arg(long, value_name = "CONNINFO")]
    primary: Option<String>,

    /// This follower's name, the leader sees it as application_name [default: walreceiver]
    #[arg(long)]
    name: Option<String>,

    /// The replication slot to use on the leader, made if it is missing [default: one of this follower's name]
    #[arg(long, conflicts_with = "no_slot")]
    slot: Option<String>,

    /// Use no replication slot: the leader keeps log for this follower only while it is connected
    #[arg(long)]
    no_slot: bool,

    /// End with status 1, instead of trying again, when the leader cannot be reached
    #[arg(long)]
    no_retry: bool,

    /// On start, if this node has log that the node named by --primary went on without: rewind it as walctl rewind does
    #[arg(long)]
    auto_rewind: bool,

    /// Address and port to listen on, instead of the settings' listen_addresses and port [default: 127.0.0.1:5434]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,

    /// Address and port on which metrics, health checks and a status page are served over HTTP [default: none]
    #[arg(long, value_name = "ADDR:PORT")]
    metrics_listen: Option<String>,

    /// Override a setting
    #[arg(short = 'c', value_name = "NAME=VALUE")]
    setting: Vec<String>,
}

/// The command line.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Reads the command line and runs the node until it is told to stop; the exit status.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run(StartOptions {
        program: Program::WalReceiver,
        directory: arguments.directory,
        init: arguments.init.then_some(Init::BaseBackup),
        listen: arguments.listen,
        metrics_listen: arguments.metrics_listen,
        settings: arguments.setting,
        primary: arguments.primary,
        name: arguments.name,
        slot: arguments.slot,
        use_slot: !arguments.no_slot,
        retry: !arguments.no_retry,
        auto_rewind: arguments.auto_rewind,
    })
}
