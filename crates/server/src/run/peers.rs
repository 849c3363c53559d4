use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use walship_client::{ClientError, Connection, Purpose};
use walship_protocol::wire::ErrorFields;
use walship_protocol::{Command, Conninfo, Target};
use walship_settings::Typed as _;
use walship_types::{Lsn, SystemId, TimelineHistory, TimelineId};

use super::fence::{FENCED_HINT, NotFenced, describe, own_name};
use super::node::Node;

/// How long one peer may take to say which timeline it is on, or to take in a newer one.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long what a follower says of its leader waits for a leader's own word.
const SECOND_HAND_WAIT: Duration = Duration::from_millis(300);
/// How long to leave peers alone that nobody has asked to be asked.
const IDLE_INTERVAL: Duration = Duration::from_secs(1);

/// What a node says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) system_id: SystemId,
    pub(crate) timeline: TimelineId,
    /// Flushed there.
    pub(crate) end: Lsn,
}

/// Why a peer gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("server at \"{host}\" did not answer within {} s", .after.as_secs())]
    Silent { host: String, after: Duration },
    #[error("server at \"{host}\" gave no answer to {command} that can be read")]
    Response { host: String, command: &'static str },
}

impl PeerError {
    /// What the server itself said.
    pub(crate) fn server(&self) -> Option<&ErrorFields> {
        match self {
            PeerError::Client(error) => error.server(),
            _ => None,
        }
    }
}

/// The first line of a connection to another node.
pub(crate) async fn identify(connection: &mut Connection) -> Result<Identity, PeerError> {
    let command = "IDENTIFY_SYSTEM";
    let results = connection.query(command).await?;
    let wrong = || PeerError::Response { host: connection.host().to_string(), command };
    let row = results.first().ok_or_else(wrong)?;
    let field = |name| row.text(name).ok_or_else(wrong);
    Ok(Identity {
        system_id: field("systemid")?.parse().map_err(|_| wrong())?,
        timeline: TimelineId(field("timeline")?.parse().map_err(|_| wrong())?),
        end: field("xlogpos")?.parse().map_err(|_| wrong())?,
    })
}

/// The history file of a timeline that the other node has.
pub(crate) async fn history_of(
    connection: &mut Connection,
    timeline: TimelineId,
) -> Result<TimelineHistory, PeerError> {
    let results = connection.query(&Command::TimelineHistory { timeline }.to_string()).await?;
    let text = results.first().and_then(|row| row.text("content"));
    let parsed = text.and_then(|text| TimelineHistory::parse(timeline, text).ok());
    parsed.ok_or_else(|| PeerError::Response {
        host: connection.host().to_string(),
        command: "TIMELINE_HISTORY",
    })
}

/// Connects for replication commands, for a bounded time.
pub(crate) async fn connect(target: &Target, name: &str) -> Result<Connection, PeerError> {
    let mut target = target.clone();
    target.connect_timeout.get_or_insert(ANSWER_TIMEOUT);
    Ok(Connection::connect(&target, Purpose::Replication, name).await?)
}

/// Every host that the settings name, one target each: `peers`, and those that this node
/// follows, or followed before it led.
pub(crate) fn targets(node: &Node) -> Vec<Target> {
    let settings = node.settings();
    let peers = settings.text("peers");
    let primary = settings.text("primary_conninfo");
    let texts = peers.split(';').chain([primary.as_str()]).map(str::trim).filter(|text| !text.is_empty());
    let mut targets: Vec<Target> = Vec::new();
    for text in texts {
        let target = text.parse::<Conninfo>().map_err(|error| error.to_string()).and_then(|conninfo| {
            conninfo.target(|name| std::env::var(name).ok()).map_err(|error| error.to_string())
        });
        match target {
            Ok(target) => {
                for one in each_host(&target) {
                    if targets.iter().all(|known| known.hosts != one.hosts) {
                        targets.push(one);
                    }
                }
            }
            Err(error) => {
                tracing::error!(peer = text, error, "could not read the connection string of a peer");
            }
        }
    }
    targets
}

/// Any role will do, and none of them twice.
fn each_host(target: &Target) -> impl Iterator<Item = Target> + '_ {
    target.hosts.iter().map(|host| Target {
        hosts: vec![host.clone()],
        session_attributes: walship_protocol::SessionAttributes::Any,
        ..target.clone()
    })
}

/// What a peer on a newer timeline has to say.
struct Proof {
    system_id: SystemId,
    history: TimelineHistory,
    /// The leader of that timeline, as far as the peer tells.
    node: String,
    /// Whether that is the peer itself.
    leads: bool,
}

/// Asks every peer, all at once, for a newer timeline; whether one was proven. A leader knows
/// best who leads, so that a follower's word waits for the others' for a moment.
pub(crate) async fn ask_peers(node: &Arc<Node>) -> bool {
    let mut asked = JoinSet::new();
    for target in targets(node) {
        let node = Arc::clone(node);
        asked.spawn(async move {
            let host = target.hosts.iter().map(ToString::to_string).collect::<String>();
            match tokio::time::timeout(ANSWER_TIMEOUT, ask_peer(&node, &target)).await {
                Ok(Ok(proof)) => proof,
                Ok(Err(error)) => {
                    tracing::debug!(host, %error, "peer not asked");
                    None
                }
                Err(_) => None,
            }
        });
    }
    let mut fenced = false;
    let mut second_hand = None;
    let mut patience: Option<Instant> = None;
    loop {
        let next = match patience {
            None => asked.join_next().await,
            // those that are silent must not hold up what is known
            Some(until) => match tokio::time::timeout_at(until, asked.join_next()).await {
                Ok(next) => next,
                Err(_) => break,
            },
        };
        let Some(answer) = next else { break };
        match answer.ok().flatten() {
            Some(proof) if proof.leads => fenced |= learn(node, proof).await,
            Some(proof) => {
                second_hand.get_or_insert(proof);
                patience.get_or_insert_with(|| Instant::now() + SECOND_HAND_WAIT);
            }
            None => {}
        }
    }
    match second_hand {
        Some(proof) if !fenced => learn(node, proof).await,
        _ => fenced,
    }
}

async fn ask_peer(node: &Arc<Node>, target: &Target) -> Result<Option<Proof>, PeerError> {
    let mut connection = connect(target, "walship peer check").await?;
    let peer = identify(&mut connection).await?;
    let own = node.log().history().timeline;
    if peer.system_id == node.system_id && peer.timeline == own && leads_too(node, &connection) {
        tracing::error!(
            event = "timeline_conflict", peer = %connection.host(), timeline = %own,
            hint = "one of them is a copy of the other's directory: stop it, and take a base backup for it instead",
            "another node leads timeline {own} of this cluster too"
        );
    }
    if peer.system_id != node.system_id || peer.timeline < own || peer.timeline == TimelineId::FIRST {
        connection.close().await;
        return Ok(None);
    }
    let history = history_of(&mut connection, peer.timeline).await?;
    let leads = connection.parameter("in_hot_standby") != Some("on");
    let host = connection.host();
    let node_name = if leads { format!("\"{host}\"") } else { format!("followed by \"{host}\"") };
    connection.close().await;
    let proof = Proof { system_id: peer.system_id, history, node: node_name, leads };
    if peer.timeline == own {
        // it proves nothing; that it contradicts this node's history is said where it is found
        learn(node, proof).await;
        return Ok(None);
    }
    Ok(Some(proof))
}

/// Whether it is believed.
async fn learn(node: &Arc<Node>, proof: Proof) -> bool {
    let node = Arc::clone(node);
    let Proof { system_id, history, node: leader, .. } = proof;
    let learned = tokio::task::spawn_blocking(move || node.learn_of(system_id, &history, &leader)).await;
    match learned {
        Ok(Ok(_)) => true,
        // it is said loudly where it is found; that a peer follows us is no news
        Ok(Err(NotFenced::Node(error))) => {
            tracing::error!(%error, "the fence could not be written down");
            true
        }
        _ => false,
    }
}

/// Whether the other one writes as this node does, and is another one.
fn leads_too(node: &Node, connection: &Connection) -> bool {
    let own = |address| node.backends.list().iter().any(|backend| backend.client_address == Some(address));
    !node.is_read_only()
        && connection.parameter("in_hot_standby") == Some("off")
        && connection.local_address().is_some_and(|address| !own(address))
}

/// Before a leader lets anyone write: whether it was fenced, or is now that its peers are asked.
pub(crate) async fn keep_off_if_replaced(node: &Arc<Node>) {
    if !node.failover.is_fenced() {
        ask_peers(node).await;
    }
    if let Some(fence) = node.failover.fence() {
        tracing::error!(
            event = "fenced", timeline = %fence.timeline, switch_lsn = %fence.switch_lsn, node = fence.node,
            hint = FENCED_HINT, "this node takes no writes: {}", describe(&fence).trim_end_matches('.')
        );
    }
}

/// Asks the peers again and again while this node leads.
pub(crate) async fn watch_peers(node: Arc<Node>) {
    loop {
        let interval = node.settings().timeout("peers_check_interval");
        tokio::time::sleep(interval.unwrap_or(IDLE_INTERVAL)).await;
        if interval.is_some() && !node.is_read_only() {
            ask_peers(&node).await;
        }
    }
}

/// Tells another node that this one leads the timeline of `history`.
pub(crate) async fn tell(
    node: &Arc<Node>,
    target: &Target,
    history: &TimelineHistory,
) -> Result<Told, PeerError> {
    let mut connection = connect(target, "walship promotion").await?;
    let peer = identify(&mut connection).await?;
    let told = if peer.system_id != node.system_id || peer.timeline >= history.timeline {
        Told::NotConcerned
    } else {
        let command = Command::Fence {
            system_id: node.system_id,
            timeline: history.timeline,
            history: history.to_text(),
            node: own_name(node),
        };
        connection.query(&command.to_string()).await?;
        Told::Fenced(connection.host().to_string())
    };
    connection.close().await;
    Ok(told)
}

/// What another node made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// It takes no writes any more.
    Fenced(String),
    /// It is this node, or one that has followed it already, or another cluster's.
    NotConcerned,
}
