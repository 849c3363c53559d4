use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use walship_node::{BackendKind, ControlState, Interrupt};
use walship_replication::ServerPhase;

use super::Failure;
use super::archiver::switch_before_stop;
use super::checkpointer::checkpoint;
use super::follower::note_restartpoint;
use super::log::NodeLog;
use super::node::Node;
use super::receiving::ReceivingEnd;
use super::supervise::Running;
use super::switchover::Ready;

/// How long a clean stop waits for followers to get everything.
const DRAIN_WAIT: Duration = Duration::from_secs(10);
/// How long a clean stop waits for sessions to end.
const SESSIONS_END_WAIT: Duration = Duration::from_secs(10);
/// How often a wait in a stop looks again.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Why the node stops.
pub(super) enum Stop {
    /// Told to.
    Signal,
    /// Told to, without a clean end.
    Immediate,
    /// The receiver has given up.
    Receiver(Failure),
    /// The log cannot be written any more.
    Log(String),
    /// Nobody can connect any more.
    Accepting(String),
    /// A promotion failed halfway.
    Promotion(Failure),
    /// Not a reason: a promotion was asked for.
    Promote,
    /// Not a reason: everything is ready for a hand-over.
    SwitchOver(Box<Ready>),
}

impl Running {
    /// Stops in order: sessions first, then the last records, then those who wait for them.
    pub(super) fn stop(mut self, runtime: &Runtime, stop: Stop) -> Result<(), Failure> {
        let node = Arc::clone(&self.node);
        match &stop {
            Stop::Immediate => {
                tracing::warn!(event = "stopping", "stopping at once, without a checkpoint");
                std::process::exit(2);
            }
            Stop::Log(reason) => {
                tracing::error!(
                    event = "panic",
                    reason,
                    "the log cannot be written any more; restart to recover"
                );
                eprintln!("PANIC: the log cannot be written any more: {reason}");
                std::process::exit(3);
            }
            Stop::Accepting(reason) => {
                tracing::error!(
                    event = "panic",
                    reason,
                    "connections cannot be accepted any more; restart to recover"
                );
                eprintln!("PANIC: connections cannot be accepted any more: {reason}");
                std::process::exit(3);
            }
            Stop::Promotion(failure) => {
                tracing::error!(
                    event = "panic",
                    hint = failure.hint,
                    "the change of roles failed halfway: {}; restart to finish or undo it",
                    failure.message
                );
                eprintln!("PANIC: the change of roles failed halfway: {}", failure.message);
                std::process::exit(3);
            }
            Stop::Signal => tracing::info!(event = "stopping", "stopping"),
            Stop::Receiver(_) | Stop::Promote | Stop::SwitchOver(_) => {}
        }
        end_sessions(&node);
        let last = match node.log() {
            NodeLog::Leader(_) => self.stop_leader(&node),
            NodeLog::Follower(_) => self.stop_follower(runtime, &node),
        };
        node.phase.send_replace(ServerPhase::Draining);
        drain(&node);
        node.phase.send_replace(ServerPhase::Stopping);
        if let NodeLog::Leader(writer) = node.log() {
            writer.shutdown()?;
        }
        node.databases.close("shutting down");
        last?;
        tracing::info!(event = "stopped", "stopped");
        match stop {
            Stop::Receiver(failure) => Err(failure),
            _ => Ok(()),
        }
    }

    fn stop_leader(&mut self, node: &Arc<Node>) -> Result<(), Failure> {
        switch_before_stop(node);
        checkpoint(node, true).map_err(Failure::new)
    }

    fn stop_follower(&mut self, runtime: &Runtime, node: &Arc<Node>) -> Result<(), Failure> {
        if let Some(receiving) = self.receiving.take() {
            runtime.block_on(receiving.stop())?;
        }
        if let NodeLog::Follower(log) = node.log()
            && let Some(worker) = log.replay.and_then(|replay| replay.take())
        {
            let mut redo = worker.stop().map_err(Failure::new)?;
            if let Some(point) = redo.restartpoint().map_err(Failure::new)? {
                note_restartpoint(node, &point)?;
            }
            redo.close().map_err(Failure::new)?;
            node.control.update(|control| control.state = ControlState::ShutDownInRecovery)?;
        }
        Ok(())
    }
}

/// Ends every SQL session, and waits for them within bounds.
fn end_sessions(node: &Node) {
    let deadline = Instant::now() + SESSIONS_END_WAIT;
    while node.backends.count(BackendKind::Client) > 0 && Instant::now() < deadline {
        node.backends.interrupt_all(BackendKind::Client, Interrupt::Terminate);
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// Waits until followers have everything, within bounds.
fn drain(node: &Node) {
    let deadline = Instant::now() + DRAIN_WAIT;
    while node.backends.count(BackendKind::WalSender) > 0 && Instant::now() < deadline {
        std::thread::sleep(LOOK_INTERVAL);
    }
    let left = node.backends.count(BackendKind::WalSender);
    if left > 0 {
        tracing::warn!(
            event = "stopping",
            left,
            "stopping although not every follower has confirmed the end of the log"
        );
    }
}

impl From<ReceivingEnd> for Stop {
    fn from(end: ReceivingEnd) -> Stop {
        match end {
            ReceivingEnd::GaveUp(failure) => Stop::Receiver(failure),
            ReceivingEnd::LogFailed(reason) => Stop::Log(reason),
        }
    }
}
