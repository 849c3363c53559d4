use std::path::Path;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use walship_settings::{Settings, Typed as _};

use super::node::Node;

/// How often the silence is looked at, at most.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How often at least, however short the time-out is.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(20);
/// A leader is asked for a sign of life this many times before it counts as gone.
const SIGNS_PER_TIMEOUT: u32 = 4;

/// How long the leader may be silent before it is asked for a sign of life; `None` leaves it
/// to `wal_receiver_timeout`.
pub(crate) fn sign_interval(settings: &Settings) -> Option<Duration> {
    settings.timeout("failover_timeout").map(|timeout| timeout / SIGNS_PER_TIMEOUT)
}

/// What has been said and done about one silence.
#[derive(Default)]
struct Silence {
    told: bool,
    commanded: bool,
}

/// Watches how long a follower's leader is silent, for as long as the process runs: says so,
/// and runs `failover_command` once when `failover_timeout` has passed.
pub(crate) async fn watch_leader(node: Arc<Node>) {
    let mut state = Silence::default();
    loop {
        let timeout = node.settings().timeout("failover_timeout");
        let look = timeout.map_or(LOOK_INTERVAL, |timeout| timeout / (2 * SIGNS_PER_TIMEOUT));
        tokio::time::sleep(look.clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL)).await;
        if !node.is_follower() {
            // what a promotion leaves behind begins to count when the node follows again
            node.failover.heard();
            state = Silence::default();
            continue;
        }
        let silence = node.failover.silence();
        let limit =
            timeout.map(|timeout| timeout / 2).or_else(|| node.settings().timeout("wal_receiver_timeout"));
        let silent = limit.is_some_and(|limit| silence >= limit);
        if silent && !state.told {
            tracing::warn!(
                event = "leader_silent", silent_ms = silence.as_millis(), received = %node.log().positions().flush.get(),
                "nothing was heard of the leader for {:.1} s", silence.as_secs_f64()
            );
        }
        if !silent && state.told {
            tracing::info!(event = "leader_heard", "the leader is heard again");
            state.commanded = false;
        }
        state.told = silent;
        if timeout.is_some_and(|timeout| silence >= timeout) && !state.commanded {
            state.commanded = true;
            run_command(&node, silence);
        }
    }
}

/// Runs the command beside everything else, and says how it ended.
fn run_command(node: &Arc<Node>, silence: Duration) {
    let command = node.settings().text("failover_command");
    if command.is_empty() {
        tracing::warn!(
            event = "failover_timeout",
            silent_ms = silence.as_millis(),
            "failover_timeout has passed, and failover_command is not set"
        );
        return;
    }
    tracing::warn!(
        event = "failover_command",
        command,
        silent_ms = silence.as_millis(),
        "failover_timeout has passed: running failover_command"
    );
    let environment = environment(node, silence);
    let directory = node.directory.root().to_owned();
    tokio::task::spawn_blocking(move || match shell(&command, &directory, environment) {
        Ok(status) if status.success() => {
            tracing::info!(event = "failover_command_ended", "failover_command has ended");
        }
        Ok(status) => {
            tracing::error!(event = "failover_command_ended", %status, "failover_command failed: {status}");
        }
        Err(error) => {
            tracing::error!(event = "failover_command_ended", %error, "could not run failover_command: {error}");
        }
    });
}

fn shell(
    command: &str,
    directory: &Path,
    environment: Vec<(&'static str, String)>,
) -> std::io::Result<ExitStatus> {
    Command::new("/bin/sh").arg("-c").arg(command).current_dir(directory).envs(environment).status()
}

/// Where this node and its leader are, for the command.
fn environment(node: &Node, silence: Duration) -> Vec<(&'static str, String)> {
    let settings = node.settings();
    let (log, receiver) = (node.log(), node.receiver.get());
    let replayed = log.replay().map(|watch| watch.get()).unwrap_or_default();
    let directory = node.directory.root();
    vec![
        ("PGDATA", directory.canonicalize().unwrap_or_else(|_| directory.to_owned()).display().to_string()),
        ("PGHOST", settings.list("listen_addresses").into_iter().next().unwrap_or_default()),
        ("PGPORT", settings.integer("port").to_string()),
        ("WALSHIP_SYSTEM_ID", node.system_id.to_string()),
        ("WALSHIP_TIMELINE", log.history().timeline.to_string()),
        ("WALSHIP_RECEIVED_LSN", log.positions().flush.get().to_string()),
        ("WALSHIP_REPLAYED_LSN", replayed.to_string()),
        ("WALSHIP_LEADER_LSN", receiver.latest_end.to_string()),
        ("WALSHIP_LEADER_HOST", receiver.sender_host.unwrap_or_default()),
        ("WALSHIP_LEADER_PORT", receiver.sender_port.map(|port| port.to_string()).unwrap_or_default()),
        ("WALSHIP_SILENT_MS", silence.as_millis().to_string()),
    ]
}
