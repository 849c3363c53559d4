use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use walship_client::{ClientError, Connection, Purpose};
use walship_protocol::Target;
use walship_types::{Lsn, TimelineHistory, TimelineId};

use super::ReceiverError;
use super::handshake::{Primary, identify, tell_newer};
use super::host::{ReceiverHost, ReceiverSettings};

/// How long one of several hosts may take to answer: one that is frozen, or behind a
/// network that drops everything, must not keep us from the others.
const HOST_WAIT: Duration = Duration::from_secs(5);
/// How long the others may take once one will do: the newest leader is worth that.
const OTHERS_WAIT: Duration = Duration::from_millis(300);
/// The shortest pause between two looks for a leader.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

/// A sender that was found, connected.
pub(super) struct Candidate {
    pub(super) connection: Connection,
    pub(super) primary: Primary,
    /// Whether it is a leader.
    pub(super) leads: bool,
    /// Its place in the connection string.
    place: usize,
}

/// Where this node's log is.
#[derive(Debug, Clone)]
pub(super) struct Own {
    /// How it got there.
    pub(super) history: Arc<TimelineHistory>,
    pub(super) timeline: TimelineId,
    pub(super) end: Lsn,
}

/// Connects to the host that an attempt goes on with: the only one, or of several the one
/// on the newest timeline, a leader rather than a follower, in the order in which they are
/// given. The one that is this node itself will not do, nor a follower that is behind it.
pub(super) async fn choose(
    target: &Target,
    settings: &ReceiverSettings,
    host: &dyn ReceiverHost,
    own: &Own,
) -> Result<Candidate, ReceiverError> {
    if let [_] = target.hosts.as_slice() {
        let mut connection =
            Connection::connect(target, Purpose::Replication, &settings.application_name).await?;
        let primary = identify(&mut connection, host.system_id(), host.segment_size()).await?;
        let leads = leads(&connection);
        return Ok(Candidate { connection, primary, leads, place: 0 });
    }
    let mut failures = Vec::new();
    let mut candidates = ask_all(target, settings, host, own, &mut failures).await;
    let best = |candidate: &Candidate| {
        (candidate.primary.timeline, candidate.leads, std::cmp::Reverse(candidate.place))
    };
    candidates.sort_by_key(best);
    let chosen = candidates.pop();
    for other in candidates {
        other.connection.close().await;
    }
    chosen.ok_or_else(|| none_will_do(failures))
}

/// Narrows a target of several hosts to the one that a node without any log would follow.
pub async fn best_host(
    target: &Target,
    settings: &ReceiverSettings,
    host: &dyn ReceiverHost,
) -> Result<Target, ReceiverError> {
    let history = Arc::new(TimelineHistory::root(TimelineId::FIRST));
    let own = Own { history, timeline: TimelineId::FIRST, end: Lsn::INVALID };
    let Candidate { connection, .. } = choose(target, settings, host, &own).await?;
    let hosts = vec![connection.host().clone()];
    connection.close().await;
    Ok(Target { hosts, ..target.clone() })
}

/// Resolves when one of several hosts leads. Never if there is only one.
pub(super) async fn leader_appears(
    target: &Target,
    settings: &ReceiverSettings,
    host: &dyn ReceiverHost,
    own: &Own,
) {
    if target.hosts.len() < 2 {
        return std::future::pending().await;
    }
    // soon at first: the roles of the hosts are changing, maybe, and this one has lost its leader
    let mut pause = LOOK_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(settings.retry_interval.max(LOOK_PAUSE));
        let mut found = false;
        for candidate in ask_all(target, settings, host, own, &mut Vec::new()).await {
            found |= candidate.leads;
            candidate.connection.close().await;
        }
        if found {
            return;
        }
    }
}

/// Those of the hosts that will do, all asked at once.
async fn ask_all(
    target: &Target,
    settings: &ReceiverSettings,
    host: &dyn ReceiverHost,
    own: &Own,
    failures: &mut Vec<(usize, ReceiverError)>,
) -> Vec<Candidate> {
    let mut asked = JoinSet::new();
    for (place, one) in target.hosts.iter().enumerate() {
        let target = Target { hosts: vec![one.clone()], ..target.clone() };
        let (name, system, size) = (settings.application_name.clone(), host.system_id(), host.segment_size());
        let wait = target.connect_timeout.unwrap_or(HOST_WAIT);
        asked.spawn(async move {
            let answer = async {
                let mut connection = Connection::connect(&target, Purpose::Replication, &name).await?;
                let primary = identify(&mut connection, system, size).await?;
                let leads = leads(&connection);
                Ok(Candidate { connection, primary, leads, place })
            };
            let silent = |_| {
                let host = target.hosts.first().map(ToString::to_string).unwrap_or_default();
                Err(ReceiverError::Client(ClientError::ConnectTimeout { host, after: wait }))
            };
            let answer = tokio::time::timeout(wait, answer).await.unwrap_or_else(silent);
            (place, answer)
        });
    }
    let mut found = Vec::new();
    let mut until: Option<Instant> = None;
    loop {
        let next = match until {
            None => asked.join_next().await,
            Some(until) => match tokio::time::timeout_at(until, asked.join_next()).await {
                Ok(next) => next,
                Err(_) => break,
            },
        };
        // a task that panicked has said so itself
        let Some(Ok((place, answer))) = next else {
            match next {
                None => break,
                Some(_) => continue,
            }
        };
        let answer = match answer {
            Ok(candidate) => suitable(candidate, host, own).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(candidate) => {
                until.get_or_insert_with(|| Instant::now() + OTHERS_WAIT);
                found.push(candidate);
            }
            Err(error) => failures.push((place, error)),
        }
    }
    found
}

async fn suitable(
    mut candidate: Candidate,
    host: &dyn ReceiverHost,
    own: &Own,
) -> Result<Candidate, ReceiverError> {
    let Primary { timeline, flushed } = candidate.primary;
    if timeline < own.timeline && candidate.leads {
        tell_newer(&mut candidate.connection, host, &own.history).await;
    }
    let shown = || candidate.connection.host().to_string();
    if candidate.connection.local_address().is_some_and(|address| host.is_own_client(address)) {
        return Err(ReceiverError::Itself(shown()));
    }
    if timeline < own.timeline {
        return Err(ReceiverError::TimelineBehind { own: own.timeline, found: timeline });
    }
    if let Some(wanted) = host.oldest_timeline().filter(|&wanted| timeline < wanted) {
        return Err(ReceiverError::Pledged { wanted, found: timeline });
    }
    if !candidate.leads && timeline == own.timeline && flushed < own.end {
        return Err(ReceiverError::FollowerBehind { host: shown(), end: flushed, own: own.end });
    }
    Ok(candidate)
}

fn leads(connection: &Connection) -> bool {
    connection.parameter("in_hot_standby") != Some("on")
}

/// Why no host will do, in the order in which they are given.
fn none_will_do(mut failures: Vec<(usize, ReceiverError)>) -> ReceiverError {
    failures.sort_by_key(|(place, _)| *place);
    ReceiverError::NoHost(failures.into_iter().map(|(_, error)| error).collect())
}
