use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use walship_archive::{CommandOutcome, Placeholders, run_command};
use walship_replication::ServerPhase;
use walship_settings::Typed as _;

use super::node::Node;

/// A command that a setting names and that runs beside everything else: nothing waits for
/// it, and it never runs twice at the same time.
#[derive(Debug)]
pub(crate) struct RecoveryCommand {
    setting: &'static str,
    running: AtomicBool,
}

impl RecoveryCommand {
    /// `archive_cleanup_command` or `recovery_end_command`.
    pub(crate) const fn new(setting: &'static str) -> RecoveryCommand {
        RecoveryCommand { setting, running: AtomicBool::new(false) }
    }

    /// Starts it, if it is set and does not run. `which` of the node's it is.
    pub(crate) fn start(node: &Arc<Node>, which: fn(&Node) -> &RecoveryCommand) {
        let command = which(node);
        let template = node.settings().text(command.setting);
        if template.is_empty() || command.running.swap(true, Ordering::SeqCst) {
            return;
        }
        let shell_command =
            Placeholders { restart: &oldest_needed(node), ..Placeholders::default() }.expand(&template);
        let shared = Arc::clone(node);
        let spawned = std::thread::Builder::new().name(command.setting.to_owned()).spawn(move || {
            let command = which(&shared);
            run(&shared, command.setting, &shell_command);
            command.running.store(false, Ordering::SeqCst);
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "could not start {}", command.setting);
            command.running.store(false, Ordering::SeqCst);
        }
    }
}

fn run(node: &Node, setting: &str, command: &str) {
    let phase = node.phase.subscribe();
    let stopping = move || *phase.borrow() != ServerPhase::Running;
    match run_command(command, node.directory.root(), &stopping) {
        Ok(CommandOutcome::Exited(0)) => {}
        Ok(outcome) => tracing::warn!(event = "command_failed", setting, "{setting} {outcome}: {command}"),
        Err(error) => tracing::warn!(event = "command_failed", setting, "{setting}: {error}"),
    }
}

/// `%r`: the segment in which a restart would begin to replay.
pub(crate) fn oldest_needed(node: &Node) -> String {
    let (size, redo) = (node.segment_size, node.control.get().redo);
    let segment = size.segment_of(redo);
    walship_types::segment_file_name(node.log().history().timeline_at(redo), segment, size)
}
