use std::path::PathBuf;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde_json::json;
use walship_protocol::{
    BaseBackupOptions, CheckpointMode, Conninfo, Host, HostAddress, ManifestMode, Target,
};
use walship_server::replication::{FetchError, FetchedBackup, fetch_base_backup};
use walship_settings::{AUTO_CONF_FILE, AutoConf};

use crate::byte_size::byte_size;
use crate::clock::span;
use crate::connection::{ConnectionOptions, block_on};
use crate::failure::Failure;
use crate::import::interruptible;
use crate::progress::Progress;

/// Take a base backup of a running leader or follower
///
/// Copies the cluster into DIR, which must be missing or empty, with the log that makes the copy consistent and a
/// manifest that `walctl verifybackup` and pg_verifybackup check. Everything is durable and was held against the manifest
/// when the command ends; a backup that failed or was interrupted is removed.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Directory to write the backup to
    #[arg(short = 'D', long = "pgdata", value_name = "DIR")]
    directory: PathBuf,

    /// Name of the backup, for people
    #[arg(short = 'l', long, value_name = "TEXT", default_value = "walctl basebackup")]
    label: String,

    /// Whether the server's checkpoint hurries
    #[arg(short = 'c', long, value_name = "HOW", default_value = "fast")]
    checkpoint: Checkpoint,

    /// Make the copy a follower's directory: `walreceiver -D DIR` starts it
    #[arg(short = 'R', long)]
    write_recovery_conf: bool,

    /// Print what was done as JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    connection: ConnectionOptions,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Checkpoint {
    /// As soon as possible
    Fast,
    /// Spread over time, with less load
    Spread,
}

/// Takes the backup.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let target = arguments.connection.target()?;
    let mut files = Vec::new();
    if arguments.write_recovery_conf {
        files.push(("standby.signal".to_owned(), Vec::new()));
        files.push((AUTO_CONF_FILE.to_owned(), recovery_settings(&target)?.into_bytes()));
    }
    let options = BaseBackupOptions {
        label: arguments.label.clone(),
        progress: true,
        checkpoint: match arguments.checkpoint {
            Checkpoint::Fast => CheckpointMode::Fast,
            Checkpoint::Spread => CheckpointMode::Spread,
        },
        wal: true,
        manifest: ManifestMode::Yes,
        ..BaseBackupOptions::default()
    };
    let started = Instant::now();
    let progress = Progress::start("base backup", Some(0));
    let mut bytes = 0;
    let fetched = block_on(interruptible(async {
        let mut draw = |done: u64, total: u64| {
            bytes = done;
            progress.set(done, total.max(done));
        };
        Ok(fetch_base_backup(&target, &options, &arguments.directory, files, &mut draw).await?)
    }));
    drop(progress);
    report(arguments, &fetched?, bytes, started);
    Ok(())
}

fn report(arguments: &Arguments, fetched: &FetchedBackup, bytes: u64, started: Instant) {
    let FetchedBackup { start, end, timeline } = fetched;
    let directory = arguments.directory.display();
    if arguments.json {
        let done = json!({
            "directory": directory.to_string(), "start_lsn": start, "end_lsn": end, "timeline": timeline.0,
            "bytes": bytes, "seconds": started.elapsed().as_secs_f64(),
        });
        println!("{done:#}");
    } else {
        let (size, time) = (byte_size(bytes), span(started.elapsed()));
        println!(
            "base backup in \"{directory}\": {size} in {time}, from {start} to {end} on timeline {timeline}"
        );
    }
}

/// The settings that make a follower of the server that was copied.
fn recovery_settings(target: &Target) -> Result<String, Failure> {
    let list = |part: fn(&Host) -> String| target.hosts.iter().map(part).collect::<Vec<_>>().join(",");
    let address = |host: &Host| match &host.address {
        HostAddress::Tcp(name) => name.clone(),
        HostAddress::Unix(directory) => directory.display().to_string(),
    };
    let mut conninfo = Conninfo::default();
    let parts = [
        ("host", list(address)),
        ("port", list(|host| host.port.to_string())),
        ("user", target.user.clone()),
    ];
    for (keyword, value) in parts {
        conninfo.set(keyword, &value).map_err(Failure::new)?;
    }
    let mut file = AutoConf::default();
    file.set_unchecked("primary_conninfo", &conninfo.to_string()).map_err(Failure::new)?;
    Ok(file.render())
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Failure {
        match error {
            FetchError::Client(error) => error.into(),
            other => Failure::new(format!("base backup failed: {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_is_told_where_the_copy_came_from() {
        let conninfo: Conninfo = "host=a,/run port=1,2 user=ann".parse().unwrap();
        let target = conninfo.target(|_| None).unwrap();
        let text = recovery_settings(&target).unwrap();
        assert!(text.contains("primary_conninfo = "), "{text}");
        assert!(text.contains("host=a,/run port=1,2 user=ann"), "{text}");
    }
}
