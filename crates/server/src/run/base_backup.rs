use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::time::{Duration, Instant};

use walship_client::{Connection, Purpose};
use walship_node::{DataDirectory, DirectoryLock, NodeError};
use walship_protocol::{BaseBackupOptions, CheckpointMode, Conninfo, ManifestMode, Target};
use walship_replication::{
    BackupFormat, Destination, FetchError, FetchedBackup, OtherLogFormat, Progress, check_log_format,
    fetch_base_backup,
};
use walship_settings::AutoConf;

use super::{Failure, StartOptions};

/// Pause before an unreachable leader is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Time between two drawings of the progress line.
const DRAW_INTERVAL: Duration = Duration::from_millis(200);
const BAR_WIDTH: u64 = 30;

/// Copies the leader's cluster into an empty directory and makes it a follower's.
pub(crate) async fn take_base_backup(
    options: &StartOptions,
    directory: &DataDirectory,
) -> Result<(), Failure> {
    let Some(primary) = &options.primary else {
        return Err(
            Failure::new("--init needs --primary").hint("name the leader: --primary \"host=... port=...\"")
        );
    };
    let conninfo: Conninfo =
        primary.parse().map_err(|e| Failure::new(format!("invalid argument for --primary: {e}")))?;
    let target = conninfo.target(|name| std::env::var(name).ok());
    let target = target.map_err(|e| Failure::new(format!("invalid argument for --primary: {e}")))?;
    let program = options.program.name();
    eprintln!("{program}: taking a base backup from {}", hosts(&target));
    let settings = remembered(options, primary)?.into_bytes();
    let extra = vec![
        ("standby.signal".to_owned(), Vec::new()),
        (walship_settings::AUTO_CONF_FILE.to_owned(), settings),
    ];
    let name = options.name.as_deref().unwrap_or("walreceiver");
    let wanted = BaseBackupOptions {
        label: format!("base backup of {name}"),
        progress: true,
        checkpoint: CheckpointMode::Fast,
        manifest: ManifestMode::Yes,
        // what is missing is streamed
        wait: false,
        ..BaseBackupOptions::default()
    };
    let lock = lock_target(directory)?;
    let mut line = ProgressLine::new();
    let fetched = loop {
        let mut draw = |received, total| line.draw(received, total);
        let to = Destination {
            directory: directory.root().to_owned(),
            format: BackupFormat::Plain,
            extra: extra.clone(),
        };
        match fetch_to_follow(&target, &wanted, to, &mut draw).await {
            Err(FetchError::Client(error)) if options.retry && error.is_unreachable() => {
                eprintln!("{program}: {error}; trying again in {} s", RETRY_PAUSE.as_secs());
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            other => break other,
        }
    };
    line.end();
    drop(lock);
    let fetched = fetched.map_err(|error| {
        let hint = matches!(error, FetchError::OtherLogFormat(_)).then(|| OtherLogFormat::HINT.to_owned());
        Failure { hint, ..Failure::new(format!("base backup failed: {error}")) }
    })?;
    eprintln!("{program}: base backup complete, from {} to {}", fetched.start, fetched.end);
    Ok(())
}

/// A backup of a leader whose log this program can read.
async fn fetch_to_follow(
    target: &Target,
    wanted: &BaseBackupOptions,
    to: Destination,
    progress: Progress<'_>,
) -> Result<FetchedBackup, FetchError> {
    let mut connection = Connection::connect(target, Purpose::Replication, "walship").await?;
    check_log_format(&mut connection).await??;
    drop(connection);
    fetch_base_backup(target, wanted, to, progress).await
}

/// Makes the directory if it is missing, and takes it: a second process that found half a
/// backup in it would remove that.
fn lock_target(directory: &DataDirectory) -> Result<DirectoryLock, Failure> {
    let root = directory.root();
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root);
    made.map_err(|e| NodeError::io("create directory", root, e))?;
    Ok(directory.lock()?)
}

fn hosts(target: &Target) -> String {
    target.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The settings that make `walreceiver -D DIR` enough from now on.
fn remembered(options: &StartOptions, primary: &str) -> Result<String, Failure> {
    let mut file = AutoConf::default();
    let name = options.name.as_deref();
    let pairs = [
        ("primary_conninfo", Some(primary)),
        ("primary_slot_name", options.slot.as_deref()),
        ("cluster_name", name),
    ];
    for (setting, value) in pairs {
        if let Some(value) = value {
            file.set_unchecked(setting, value).map_err(Failure::new)?;
        }
    }
    Ok(file.render())
}

/// A line that shows how far a backup is, to a person at a terminal only.
struct ProgressLine {
    shown: bool,
    started: Instant,
    drawn: Option<Instant>,
}

impl ProgressLine {
    fn new() -> ProgressLine {
        ProgressLine { shown: std::io::stderr().is_terminal(), started: Instant::now(), drawn: None }
    }

    fn draw(&mut self, received: u64, total: u64) {
        if !self.shown || self.drawn.is_some_and(|drawn| drawn.elapsed() < DRAW_INTERVAL) {
            return;
        }
        self.drawn = Some(Instant::now());
        let total = total.max(received).max(1);
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let rate = received as f64 / seconds;
        let left = (total - received) as f64 / rate.max(1.0);
        let filled = received * BAR_WIDTH / total;
        let bar: String = (0..BAR_WIDTH).map(|i| if i < filled { '#' } else { '-' }).collect();
        let mib = |bytes: f64| bytes / f64::from(1 << 20);
        eprint!(
            "\r[{bar}] {:.0}/{:.0} MiB  {:.0} MiB/s  {left:.0} s left ",
            mib(received as f64),
            mib(total as f64),
            mib(rate)
        );
        let _ = std::io::stderr().flush();
    }

    fn end(&mut self) {
        if self.drawn.is_some() {
            eprintln!();
        }
    }
}
