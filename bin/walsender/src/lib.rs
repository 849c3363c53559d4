//! The leader: takes writes over PostgreSQL's protocol and ships its log.
//!
//! The command line is a library, so that the manual and the completions are made from it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};
use walship_node::NewCluster;
use walship_server::run::{Init, Program, StartOptions, run};
use walship_types::{PageSize, SegmentSize};

/// The leader of a walship cluster: takes writes over PostgreSQL's protocol into
/// SQLite databases, logs every commit and ships the log to followers.
///
/// A directory that is a follower's (it has a file named standby.signal) is
/// started as a follower.
#[derive(Debug, Parser)]
#[command(name = "walsender", version)]
struct Arguments {
    /// Data directory
    #[arg(short = 'D', long = "pgdata", value_name = "DIR", env = "PGDATA")]
    directory: PathBuf,

    /// Create a new cluster if the directory is missing or empty
    #[arg(long)]
    init: bool,

    /// Size of the log's segment files, a power of two from 1MB to 1GB; only with --init
    #[arg(long, value_name = "SIZE", default_value = "16MB", value_parser = SegmentSize::parse)]
    wal_segment_size: SegmentSize,

    /// Page size of new databases in bytes, a power of two from 512 to 65536; only with --init
    #[arg(long, value_name = "BYTES", default_value = "4096", value_parser = PageSize::parse)]
    page_size: PageSize,

    /// Let the directory's group read everything; only with --init
    #[arg(long)]
    allow_group_access: bool,

    /// Address and port to listen on, instead of the settings' listen_addresses and port [default: 127.0.0.1:5433]
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
    let init = arguments.init.then_some(Init::Cluster(NewCluster {
        segment_size: arguments.wal_segment_size,
        page_size: arguments.page_size,
        directory_mode: if arguments.allow_group_access { 0o750 } else { 0o700 },
    }));
    run(StartOptions {
        init,
        listen: arguments.listen,
        metrics_listen: arguments.metrics_listen,
        settings: arguments.setting,
        ..StartOptions::in_directory(Program::WalSender, &arguments.directory)
    })
}
