use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, oneshot};
use walship_client::{ClientError, Connection};
use walship_engine::{EngineError, HeldWriters, WaitLimits};
use walship_node::{ControlState, SyncLevel};
use walship_protocol::wire::ErrorFields;
use walship_protocol::{Command, Conninfo, SessionAttributes, Target};
use walship_replication::{SwitchedOver, Switchover, TimelineStart};
use walship_settings::{AutoConf, Typed as _};
use walship_types::{Lsn, TimelineId};
use walship_wal::{WalSink, WalWriter};

use super::Failure;
use super::faults::survives_crash;
use super::fence::{FENCED_HINT, describe};
use super::follower::start_replay;
use super::leader::{recover_log, wal_config};
use super::log::{FollowerLog, NodeLog};
use super::node::Node;
use super::peers::{self, Identity, PeerError};
use super::promote::remove_standby_signal;
use super::receiving::Receiving;

/// A follower that lacks no more than this gets the rest while writers wait.
const NEAR_BYTES: u64 = 256 << 10;
/// How often the other node is asked how far it is, while writes go on.
const CATCH_UP_LOOK: Duration = Duration::from_millis(20);
/// And while writers wait.
const LAST_BYTES_LOOK: Duration = Duration::from_millis(1);
/// How often it is asked whether it leads, when its answer was lost.
const OUTCOME_LOOK: Duration = Duration::from_millis(100);
/// For how long.
const OUTCOME_WAIT: Duration = Duration::from_secs(20);

static NEVER: AtomicBool = AtomicBool::new(false);

/// A hand-over that everything is ready for.
pub(crate) struct Ready {
    target: Target,
    connection: Connection,
    hold: Duration,
    answer: oneshot::Sender<Result<SwitchedOver, ErrorFields>>,
}

/// The one hand-over that may be asked for at a time.
#[derive(Default)]
pub(crate) struct SwitchoverRequests {
    // protects the request, which whoever runs it takes
    ready: Mutex<Option<Ready>>,
    asked: Notify,
}

impl SwitchoverRequests {
    /// Resolves when one is asked for.
    pub(crate) async fn requested(&self) -> Ready {
        loop {
            let asked = self.asked.notified();
            if let Some(ready) = self.ready.lock().take() {
                return ready;
            }
            asked.await;
        }
    }

    fn ask(&self, ready: Ready) -> Result<(), ErrorFields> {
        let mut waiting = self.ready.lock();
        if waiting.is_some() {
            return Err(refused("another switchover is under way"));
        }
        *waiting = Some(ready);
        self.asked.notify_one();
        Ok(())
    }
}

fn refused(message: impl Into<String>) -> ErrorFields {
    ErrorFields::error("55000", message)
}

fn unreachable(host: &str, error: &PeerError) -> ErrorFields {
    refused(format!("could not reach the follower at \"{host}\": {error}"))
        .with_hint("nothing has changed; check the connection string")
}

/// What can be done while writes go on: finds the follower, waits until it has nearly
/// everything, remembers it as this node's leader to be, and makes a checkpoint. Then
/// asks for the rest, and waits for the outcome.
pub(crate) async fn switch_over(node: &Arc<Node>, wanted: Switchover) -> Result<SwitchedOver, ErrorFields> {
    let deadline = Instant::now() + wanted.catch_up;
    check_leads(node)?;
    let target = target_of(&wanted.to)?;
    let host = target.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let connected = peers::connect(&target, "walship switchover").await;
    let mut connection = connected.map_err(|error| unreachable(&host, &error))?;
    if connection.parameter("in_hot_standby") != Some("on") {
        return Err(refused(format!("the server at \"{host}\" is not a follower")));
    }
    loop {
        let NodeLog::Leader(writer) = node.log() else { return Err(refused("this node is not a leader")) };
        check_leads(node)?;
        let there = peers::identify(&mut connection).await.map_err(|error| unreachable(&host, &error))?;
        let end = writer.positions().flush.get();
        check_follower(node, &writer, &there, &host)?;
        let lacks = end.saturating_distance_from(there.end);
        if lacks <= NEAR_BYTES {
            break;
        }
        if Instant::now() >= deadline {
            let waited = wanted.catch_up.as_secs_f64();
            return Err(refused(format!(
                "the follower at \"{host}\" still lacks {lacks} bytes after {waited:.1} s: it has the log up to {}, this node up to {end}",
                there.end
            ))
            .with_hint("nothing has changed; try again when it has caught up"));
        }
        tokio::time::sleep(CATCH_UP_LOOK).await;
    }
    let (checkpointing, conninfo) = (Arc::clone(node), wanted.to.clone());
    let prepared = tokio::task::spawn_blocking(move || {
        follow_from_now_on(&checkpointing, &conninfo)?;
        checkpointing.checkpoints.request_and_wait(true)
    });
    prepared
        .await
        .map_err(|error| error.to_string())
        .and_then(|prepared| prepared)
        .map_err(|error| refused(format!("the hand-over could not be prepared: {error}")))?;
    let (answer, answered) = oneshot::channel();
    node.switchovers.ask(Ready { target, connection, hold: wanted.hold, answer })?;
    answered.await.unwrap_or_else(|_| Err(refused("the server is stopping")))
}

fn check_leads(node: &Node) -> Result<(), ErrorFields> {
    if let Some(fence) = node.failover.fence() {
        let error = refused(format!("this node was fenced: {}", describe(&fence).trim_end_matches('.')));
        return Err(error.with_hint(FENCED_HINT));
    }
    match node.read_only_hint() {
        Some(hint) => Err(refused("this node is not a leader").with_hint(hint)),
        None => Ok(()),
    }
}

fn target_of(conninfo: &str) -> Result<Target, ErrorFields> {
    let invalid = |error: String| ErrorFields::error("22023", format!("invalid connection string: {error}"));
    let conninfo: Conninfo =
        conninfo.parse().map_err(|e: walship_protocol::ConninfoError| invalid(e.to_string()))?;
    let target = conninfo.target(|name| std::env::var(name).ok()).map_err(|e| invalid(e.to_string()))?;
    Ok(Target { session_attributes: SessionAttributes::Any, ..target })
}

fn check_follower(node: &Node, writer: &WalWriter, there: &Identity, host: &str) -> Result<(), ErrorFields> {
    if there.system_id != node.system_id {
        let (found, own) = (there.system_id, node.system_id);
        return Err(refused(format!(
            "the server at \"{host}\" is of another cluster: its system identifier is {found}, this node's is {own}"
        )));
    }
    let own = writer.source().history().timeline;
    if there.timeline != own {
        let found = there.timeline;
        return Err(refused(format!(
            "the follower at \"{host}\" is on timeline {found}, this node on timeline {own}"
        )));
    }
    Ok(())
}

/// This node's `primary_conninfo` has to lead to the new leader. What names it already,
/// with others, stays.
fn follow_from_now_on(node: &Node, conninfo: &str) -> Result<(), String> {
    let text = |error: walship_settings::AutoConfError| error.to_string();
    let known = node.settings().text("primary_conninfo");
    let hosts = |text: &str| target_of(text).map(|target| target.hosts).unwrap_or_default();
    let there = hosts(&known);
    if hosts(conninfo).iter().all(|host| there.contains(host)) {
        return Ok(());
    }
    let mut file = AutoConf::read(node.directory.root()).map_err(text)?;
    file.set_unchecked("primary_conninfo", conninfo).map_err(|error| error.to_string())?;
    file.save(node.directory.root()).map_err(text)?;
    node.reload_settings();
    Ok(())
}

/// How a hand-over left this node.
pub(crate) enum Outcome {
    /// It leads, as before.
    Leads,
    /// It follows.
    Follows(Receiving),
    /// It is neither: the process has to stop, and comes up as a follower.
    Halfway(Failure),
}

impl Ready {
    /// Hands over: writers are held up, the follower gets the rest of the log and leads
    /// from there, this node follows. Up to the moment in which the follower is asked to
    /// lead, anything that goes wrong leaves this node the leader. Before it is asked,
    /// `standby.signal` is durable, so that a crash never brings up a second leader.
    pub(crate) fn run(self, node: &Arc<Node>, runtime: &Runtime) -> Outcome {
        let Ready { target, connection, hold, answer } = self;
        let begun = Instant::now();
        let deadline = begun + hold;
        let mut other = Other { runtime, target, connection, deadline };
        let refuse = |answer: oneshot::Sender<_>, error: ErrorFields| {
            tracing::error!(event = "switchover_failed", "could not hand over: {}", error.message);
            // nobody may wait for it any more
            let _ = answer.send(Err(error));
            Outcome::Leads
        };
        let NodeLog::Leader(writer) = node.log() else {
            return refuse(answer, refused("this node is not a leader"));
        };
        tracing::info!(event = "switching_over", to = %other.host(), "handing over");
        let held = match node.databases.hold_writers(&WaitLimits { deadline: Some(deadline), cancel: &NEVER })
        {
            Ok(held) => held,
            Err(error) => return refuse(answer, not_held(&error, hold)),
        };
        let (end, timeline) = (held.end(), writer.source().history().timeline);
        if let Err(error) = held
            .flush(end)
            .map_err(|e| refused(e.to_string()))
            .and_then(|()| other.wait_for(end))
            .and_then(|()| wait_for_synchronous(node, end, deadline))
            .and_then(|()| write_standby_signal(node))
        {
            drop(held);
            return refuse(answer, error);
        }
        survives_crash("switchover: standby.signal");
        let began = match other.take_over(end, timeline) {
            Ok(began) => began,
            Err(error) => {
                // from here on a restart would come up as a follower
                if let Err(failure) = remove_standby_signal(&node.disk, &node.directory) {
                    let _ = answer.send(Err(error));
                    return Outcome::Halfway(failure);
                }
                drop(held);
                return refuse(answer, error);
            }
        };
        let waited = begun.elapsed();
        survives_crash("switchover: taken over");
        let followed = follow(node, held, &writer, &other.host(), began);
        let told = match &followed {
            Ok(_) => began.map(|began| SwitchedOver { began, held: waited }).ok_or_else(unknown_outcome),
            Err(failure) => Err(refused(format!("handed over, and could not follow: {}", failure.message))),
        };
        let _ = answer.send(told);
        match followed {
            Ok(receiving) => Outcome::Follows(receiving),
            Err(failure) => Outcome::Halfway(failure),
        }
    }
}

fn unknown_outcome() -> ErrorFields {
    refused("the follower was asked to lead and has not answered; this node follows, so that there are never two leaders")
        .with_hint("walctl status shows whether the other node leads; if it never does, promote one of them")
}

fn not_held(error: &EngineError, hold: Duration) -> ErrorFields {
    let text = format!("the writers could not be held up within {:.1} s: {error}", hold.as_secs_f64());
    ErrorFields::error("55P03", text)
        .with_hint("nothing has changed; end the transaction that writes (pg_stat_activity shows it), or allow more time")
}

/// The follower that is to lead.
struct Other<'a> {
    runtime: &'a Runtime,
    target: Target,
    connection: Connection,
    deadline: Instant,
}

impl Other<'_> {
    fn host(&self) -> String {
        self.connection.host().to_string()
    }

    fn bounded<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Connection) -> Result<T, PeerError>,
    ) -> Result<T, PeerError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let host = self.host();
        let connection = &mut self.connection;
        self.runtime.block_on(async {
            let done = tokio::time::timeout(left, work(connection)).await;
            done.unwrap_or(Err(PeerError::Silent { host, after: left }))
        })
    }

    /// Waits until it has the log up to `end`.
    fn wait_for(&mut self, end: Lsn) -> Result<(), ErrorFields> {
        let host = self.host();
        loop {
            let there = self.bounded(peers::identify).map_err(|error| unreachable(&host, &error))?;
            if there.end >= end {
                return Ok(());
            }
            if Instant::now() >= self.deadline {
                return Err(refused(format!(
                    "the follower at \"{host}\" has the log up to {} only, this node up to {end}",
                    there.end
                ))
                .with_hint("nothing has changed; try again, or allow more time"));
            }
            std::thread::sleep(LAST_BYTES_LOOK);
        }
    }

    /// Asks it to lead. An error means that it does not, and will not. `None`: it may.
    fn take_over(&mut self, end: Lsn, timeline: TimelineId) -> Result<Option<TimelineStart>, ErrorFields> {
        let command = Command::TakeOver { end, timeline }.to_string();
        // what it has begun it must be given the time to end
        self.deadline = self.deadline.max(Instant::now() + OUTCOME_WAIT);
        let answer = self.bounded(async |connection| Ok(connection.query(&command).await?));
        match answer {
            Ok(results) => {
                let row = results.first();
                let field = |name| row.and_then(|row| row.text(name));
                let timeline = field("timeline").and_then(|text| text.parse().ok()).map(TimelineId);
                let start = field("switch_lsn").and_then(|text| text.parse().ok());
                Ok(timeline.zip(start).map(|(timeline, start)| TimelineStart { timeline, start }))
            }
            Err(PeerError::Client(ClientError::Server(error))) if error.sqlstate == "55000" => Err(*error),
            Err(error) => {
                tracing::error!(event = "switchover_unanswered", %error, "the follower was asked to lead and did not answer: {error}");
                self.find_out(end, timeline)
            }
        }
    }

    /// Looks whether it leads. If it is there and still follows after a restart, it has
    /// forgotten that it was asked.
    fn find_out(&mut self, end: Lsn, timeline: TimelineId) -> Result<Option<TimelineStart>, ErrorFields> {
        let until = Instant::now() + OUTCOME_WAIT;
        while Instant::now() < until {
            std::thread::sleep(OUTCOME_LOOK);
            let target = self.target.clone();
            self.deadline = until;
            let found = self.runtime.block_on(async {
                let mut connection = peers::connect(&target, "walship switchover").await?;
                let follows = connection.parameter("in_hot_standby") == Some("on");
                let there = peers::identify(&mut connection).await?;
                connection.close().await;
                Ok::<_, PeerError>((follows, there))
            });
            match found {
                Ok((false, there)) if there.timeline > timeline => {
                    return Ok(Some(TimelineStart { timeline: there.timeline, start: end }));
                }
                Ok((true, _)) if self.was_restarted() => {
                    return Err(refused("the follower was restarted before it led; this node leads on"));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// The connection over which it was asked has ended, and it answers on another: a
    /// process that still had the request in hand would keep the first one open.
    fn was_restarted(&mut self) -> bool {
        let asked = self.bounded(async |connection| Ok(connection.query("IDENTIFY_SYSTEM").await?));
        matches!(asked, Err(PeerError::Client(ClientError::Closed { .. } | ClientError::Broken { .. })))
    }
}

/// A commit that waits for another follower too must not be acknowledged by the change.
fn wait_for_synchronous(node: &Node, end: Lsn, deadline: Instant) -> Result<(), ErrorFields> {
    let synchronous = node.senders.synchronous();
    if synchronous.names().is_none() {
        return Ok(());
    }
    let released = synchronous.released(SyncLevel::Flush);
    match released.wait_blocking(end, Some(deadline), || false) {
        walship_wal::WaitOutcome::Reached => Ok(()),
        _ => Err(refused(format!(
            "synchronous_standby_names is satisfied up to {} only, the log ends at {end}",
            released.get()
        ))
        .with_hint("nothing has changed; see pg_stat_replication for the follower that is behind")),
    }
}

fn write_standby_signal(node: &Node) -> Result<(), ErrorFields> {
    let path = node.directory.standby_signal();
    let written = walship_disk::replace_atomically(&*node.disk, &path, b"");
    written.map_err(|error| refused(format!("could not write \"{}\": {error}", path.display())))
}

/// Becomes a follower of the node that leads now: the log's writer becomes a receiver's
/// sink, and replay goes on from the last checkpoint. Sessions stay.
fn follow(
    node: &Arc<Node>,
    held: HeldWriters,
    writer: &WalWriter,
    host: &str,
    began: Option<TimelineStart>,
) -> Result<Receiving, Failure> {
    node.failover.leave(match began {
        Some(began) => {
            format!("Node \"{host}\" leads timeline {}, which began at {}.", began.timeline, began.start)
        }
        None => format!("Node \"{host}\" was asked to lead."),
    });
    writer.shutdown()?;
    let mut control = node.control.get();
    control.timeline = writer.source().history().timeline;
    let config = wal_config(&node.disk, &node.directory, &node.settings(), &control)?;
    let end = recover_log(&config, &control)?.position;
    let sink = WalSink::open(config, end)?;
    node.set_log(NodeLog::Follower(FollowerLog {
        source: sink.source(),
        positions: Arc::clone(sink.positions()),
        recycler: sink.recycler(),
        replay: None,
    }));
    node.tell_role();
    // writers that wait are told now, and find the other node leading
    held.follow();
    // a peer may have proven meanwhile what this node knows best itself; in this order, since
    // whoever learned it writes it down only while it holds
    node.failover.clear_fence();
    node.control.update(|control| {
        control.state = ControlState::InRecovery;
        control.minimum_recovery = end;
        control.known_flush = end;
        control.fence = None;
    })?;
    survives_crash("switchover: control file");
    node.failover.heard();
    let receiving = Receiving::start(node, sink)?;
    start_replay(node)?;
    tracing::info!(event = "switched_over", to = host, %end, "this node follows");
    Ok(receiving)
}
