use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde_json::json;
use walship_protocol::{
    BaseBackupOptions, CheckpointMode, Conninfo, Host, HostAddress, ManifestChecksum, ManifestMode, Target,
};
use walship_replication::{BackupFormat, Destination, FetchError, FetchedBackup, fetch_base_backup};
use walship_settings::{AUTO_CONF_FILE, AutoConf};

use crate::byte_size::byte_size;
use crate::clock::span;
use crate::connection::{ConnectionOptions, block_on};
use crate::failure::Failure;
use crate::import::interruptible;
use crate::progress::Progress;

/// Compression levels of zstd, and its own default.
const ZSTD_LEVELS: std::ops::RangeInclusive<i32> = 1..=22;
const ZSTD_LEVEL: i32 = 3;

/// Rates that a server takes, in KiB/s, as PostgreSQL's.
const RATE_KIB: std::ops::RangeInclusive<u64> = 32..=1 << 20;

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

    /// How the backup is kept
    #[arg(short = 'F', long, value_name = "HOW", default_value = "plain")]
    format: Format,

    /// Compress a tar file: zstd or zstd:LEVEL (1 to 22, 3 if not given)
    #[arg(short = 'Z', long, value_name = "METHOD", default_value = "none")]
    compress: Compression,

    /// Name of the backup, for people
    #[arg(short = 'l', long, value_name = "TEXT", default_value = "walctl basebackup")]
    label: String,

    /// Whether the server's checkpoint hurries
    #[arg(short = 'c', long, value_name = "HOW", default_value = "fast")]
    checkpoint: Checkpoint,

    /// Most bytes per second: a number of KiB, or with k or M behind it
    #[arg(short = 'r', long, value_name = "RATE", value_parser = rate_kib)]
    max_rate: Option<u32>,

    /// How the manifest's files are hashed: none, crc32c, sha224, sha256, sha384 or sha512
    #[arg(long, value_name = "KIND", default_value = "crc32c", value_parser = checksum)]
    manifest_checksums: ManifestChecksum,

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

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// As a data directory
    Plain,
    /// As base.tar, with the manifest beside it
    Tar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Zstd(i32),
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Compression, String> {
        let wrong =
            || format!("expected none, zstd, or zstd:LEVEL with a level of 1 to 22, found \"{text}\"");
        match text.split_once(':') {
            None if text == "none" => Ok(Compression::None),
            None if text == "zstd" => Ok(Compression::Zstd(ZSTD_LEVEL)),
            Some(("zstd", level)) => {
                let level = level.parse().ok().filter(|level| ZSTD_LEVELS.contains(level));
                level.map(Compression::Zstd).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }
}

fn rate_kib(text: &str) -> Result<u32, String> {
    let (number, unit) = match text.strip_suffix('M') {
        Some(number) => (number, 1024),
        None => (text.strip_suffix('k').unwrap_or(text), 1),
    };
    let kib = number.parse().ok().and_then(|number: u64| number.checked_mul(unit));
    let kib = kib.filter(|kib| RATE_KIB.contains(kib)).and_then(|kib| u32::try_from(kib).ok());
    kib.ok_or_else(|| format!("expected 32 to 1048576 KiB per second, found \"{text}\""))
}

fn checksum(text: &str) -> Result<ManifestChecksum, String> {
    text.parse().map_err(|error: walship_protocol::OptionError| error.to_string())
}

/// Takes the backup.
pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let target = arguments.connection.target()?;
    let mut extra = Vec::new();
    if arguments.write_recovery_conf {
        extra.push(("standby.signal".to_owned(), Vec::new()));
        extra.push((AUTO_CONF_FILE.to_owned(), recovery_settings(&target)?.into_bytes()));
    }
    let to = Destination { directory: arguments.directory.clone(), format: format(arguments)?, extra };
    let options = BaseBackupOptions {
        label: arguments.label.clone(),
        progress: true,
        checkpoint: match arguments.checkpoint {
            Checkpoint::Fast => CheckpointMode::Fast,
            Checkpoint::Spread => CheckpointMode::Spread,
        },
        // with its log, it needs no archive
        wal: true,
        wait: false,
        max_rate_kib: arguments.max_rate,
        manifest: ManifestMode::Yes,
        manifest_checksums: arguments.manifest_checksums,
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
        Ok(fetch_base_backup(&target, &options, to, &mut draw).await?)
    }));
    drop(progress);
    report(arguments, &fetched?, bytes, started);
    Ok(())
}

fn format(arguments: &Arguments) -> Result<BackupFormat, Failure> {
    match (arguments.format, arguments.compress) {
        (Format::Plain, Compression::None) => Ok(BackupFormat::Plain),
        (Format::Plain, Compression::Zstd(_)) => {
            Err(Failure::usage("only a tar file can be compressed").hint("add --format=tar"))
        }
        (Format::Tar, Compression::None) => Ok(BackupFormat::Tar { zstd_level: None }),
        (Format::Tar, Compression::Zstd(level)) => Ok(BackupFormat::Tar { zstd_level: Some(level) }),
    }
}

fn report(arguments: &Arguments, fetched: &FetchedBackup, bytes: u64, started: Instant) {
    let FetchedBackup { start, end, timeline } = fetched;
    let directory = arguments.directory.display();
    if arguments.json {
        let format = if arguments.format == Format::Tar { "tar" } else { "plain" };
        let done = json!({
            "directory": directory.to_string(), "format": format, "start_lsn": start, "end_lsn": end,
            "timeline": timeline.0, "bytes": bytes, "seconds": started.elapsed().as_secs_f64(),
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

    #[test]
    fn what_is_written_on_the_command_line_is_understood() {
        assert_eq!("zstd:19".parse(), Ok(Compression::Zstd(19)));
        assert_eq!("zstd".parse(), Ok(Compression::Zstd(3)));
        assert!("zstd:23".parse::<Compression>().is_err() && "gzip".parse::<Compression>().is_err());
        assert_eq!((rate_kib("32"), rate_kib("100k"), rate_kib("2M")), (Ok(32), Ok(100), Ok(2048)));
        for wrong in ["31", "2G", "", "1025M", "-1"] {
            assert!(rate_kib(wrong).is_err(), "{wrong}");
        }
    }
}
