use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use walship_protocol::Target;
use walship_types::TimelineHistory;

use super::failover::OldLeader;
use super::node::Node;
use super::peers::{self, Told};

/// How long a promotion looks for the old leader, beside its other work and after it.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long it waits for the outcome before the first session may write: enough for a
/// leader that is reachable to be fenced, or for its machine to refuse.
const FIRST_WRITE_WAIT: Duration = Duration::from_millis(50);

/// The old leader, being told.
pub(crate) struct Fencing {
    found: watch::Receiver<OldLeader>,
}

impl Fencing {
    /// Tells every node that could still be the leader, all at once. The new timeline must
    /// be durable: whoever is fenced has lost to it.
    pub(crate) fn start(runtime: &Runtime, node: &Arc<Node>, history: &TimelineHistory) -> Fencing {
        let (found_sender, found) = watch::channel(OldLeader::Pending);
        let targets = peers::targets(node);
        let (node, history) = (Arc::clone(node), history.clone());
        runtime.spawn(async move {
            let outcome = fence_all(&node, targets, &history).await;
            match &outcome {
                OldLeader::Fenced(host) => {
                    tracing::info!(
                        event = "old_leader_fenced",
                        host,
                        "the old leader takes no writes any more"
                    );
                }
                OldLeader::NotFenced(error) => tracing::warn!(
                    event = "old_leader_not_fenced",
                    error,
                    hint = "make sure that it is stopped and stays stopped",
                    "the old leader could not be fenced: {error}"
                ),
                _ => {}
            }
            // in this order: whoever has missed the one finds the other
            let _ = found_sender.send(outcome.clone());
            node.failover.set_old_leader(outcome);
        });
        Fencing { found }
    }

    /// Waits for the outcome, for a moment; what is known then.
    pub(crate) fn wait(&mut self, runtime: &Runtime) -> OldLeader {
        runtime.block_on(async {
            let known = self.found.wait_for(|found| *found != OldLeader::Pending);
            // either way the receiver has what there is
            let _ = tokio::time::timeout(FIRST_WRITE_WAIT, known).await;
        });
        self.found()
    }

    /// What is known now.
    pub(crate) fn found(&self) -> OldLeader {
        self.found.borrow().clone()
    }
}

async fn fence_all(node: &Arc<Node>, targets: Vec<Target>, history: &TimelineHistory) -> OldLeader {
    let mut told = JoinSet::new();
    for target in targets {
        let (node, history) = (Arc::clone(node), history.clone());
        told.spawn(async move {
            let host = target.hosts.iter().map(ToString::to_string).collect::<String>();
            let answer = tokio::time::timeout(LOOK_TIMEOUT, peers::tell(&node, &target, &history)).await;
            answer.unwrap_or(Err(peers::PeerError::Silent { host, after: LOOK_TIMEOUT }))
        });
    }
    let mut fenced = None;
    let mut errors = Vec::new();
    while let Some(answer) = told.join_next().await {
        match answer {
            Ok(Ok(Told::Fenced(host))) => fenced = Some(host),
            Ok(Ok(Told::NotConcerned)) | Err(_) => {}
            // a follower has nothing to give up
            Ok(Err(error))
                if error.server().is_some_and(|said| said.message.ends_with("is not a leader")) => {}
            Ok(Err(error)) => errors.push(error.to_string()),
        }
    }
    match (fenced, errors.is_empty()) {
        (Some(host), _) => OldLeader::Fenced(host),
        (None, false) => OldLeader::NotFenced(errors.join("; ")),
        (None, true) => OldLeader::Unknown,
    }
}
