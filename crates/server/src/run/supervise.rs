use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::process::ExitCode;
use std::sync::Arc;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::Mode;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use walship_disk::{RealDisk, SharedDisk};
use walship_node::{
    BackendKind, ControlFile, ControlState, DataDirectory, Interrupt, PidFile, PidStatus, create_cluster,
    create_missing_folders,
};
use walship_settings::{Settings, Typed as _};
use walship_types::Lsn;

use super::base_backup::take_base_backup;
use super::checkpointer::{checkpoint, note_running, start_checkpointer};
use super::configuration::load_settings;
use super::follower::{note_restartpoint, open_follower, start_replay};
use super::host::ReplicationDoor;
use super::leader::{create_first_database, start_leader};
use super::log::NodeLog;
use super::logging::start_logging;
use super::node::Node;
use super::promote::{NotPromoted, promote, remove_requests, remove_standby_signal};
use super::receiving::{Receiving, ReceivingEnd};
use super::role::{Role, find_role};
use super::{Failure, Init, StartOptions};
use crate::listen::{ListenConfig, ListenError, Listener, NotReady};
use crate::replication::ServerPhase;

/// Threads for start-up packets, senders and the receiver; SQL sessions have their own.
const ASYNC_THREADS: usize = 2;
/// How long a clean stop waits for followers to get everything.
const DRAIN_WAIT: Duration = Duration::from_secs(10);
/// How long a clean stop waits for sessions to end.
const SESSIONS_END_WAIT: Duration = Duration::from_secs(10);
/// The bit of a directory's mode that lets its group read.
const GROUP_READS: u32 = 0o040;
/// How often a follower looks for the file that promotes it.
const PROMOTE_FILE_INTERVAL: Duration = Duration::from_millis(50);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Runs a program until it is told to stop; the exit status.
pub fn run(options: StartOptions) -> ExitCode {
    let program = options.program;
    match run_node(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.print(program),
    }
}

fn run_node(options: StartOptions) -> Result<(), Failure> {
    let directory = DataDirectory::new(&options.directory);
    let group_reads =
        matches!(options.init, Some(Init::Cluster(new)) if new.directory_mode & GROUP_READS != 0);
    rustix::process::umask(file_creation_mask(group_reads));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(ASYNC_THREADS)
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("could not start the runtime: {e}")))?;
    create_if_asked(&options, &directory, &runtime)?;
    let control = ControlFile::read(&directory)?;
    let group_reads = control.directory_mode & GROUP_READS != 0;
    rustix::process::umask(file_creation_mask(group_reads));
    let lock = directory.lock()?;
    let role = find_role(&options, &directory, &control)?;
    create_missing_folders(&directory, control.directory_mode)?;
    let settings = load_settings(&options, &directory, &control)?;
    start_logging(&settings);
    let listen = listen_config(&settings)?;
    let listener = runtime.block_on(Listener::bind(&listen)).map_err(listen_failure)?;
    let pid_file = pid_file(&listen, &listener);
    pid_file.write(&directory, PidStatus::Starting)?;
    tracing::info!(
        event = "starting", role = role.name(), system_id = %control.system_id, timeline = %control.timeline,
        directory = %directory.root().display(), state = control.state.describe(), "starting as {}", role.name()
    );
    let listener = {
        let _runtime = runtime.enter();
        NotReady::refuse(listener)
    };
    let ended = Start { options, directory: directory.clone(), settings, control, listener, pid_file }
        .run(&runtime, role);
    PidFile::remove(&directory);
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(lock);
    ended
}

/// Keeps others away from what SQLite and we create, as PostgreSQL does.
fn file_creation_mask(group_reads: bool) -> Mode {
    Mode::from_raw_mode(if group_reads { 0o027 } else { 0o077 })
}

/// The disk whose new files have the modes that the data directory's group needs.
fn disk_of(control: &ControlFile) -> SharedDisk {
    match control.directory_mode & GROUP_READS {
        0 => Arc::new(RealDisk::new()),
        _ => Arc::new(RealDisk::group_readable()),
    }
}

fn create_if_asked(
    options: &StartOptions,
    directory: &DataDirectory,
    runtime: &Runtime,
) -> Result<(), Failure> {
    let interrupted = directory.root().join(walship_basebackup::INCOMPLETE_MARKER).exists();
    match options.init {
        // taking it again begins with removing what there is
        Some(Init::BaseBackup) if interrupted => {}
        _ if interrupted => {
            let shown = directory.root().display();
            let problem = format!("directory \"{shown}\" holds a base backup that was not completed");
            return Err(Failure::new(problem).hint("take it again: walreceiver --init --primary CONNINFO"));
        }
        _ if !directory.is_missing_or_empty()? => return Ok(()),
        _ => {}
    }
    match options.init {
        None => Ok(()),
        Some(Init::Cluster(wanted)) => Ok(create_cluster(directory, wanted).map(drop)?),
        Some(Init::BaseBackup) => runtime.block_on(take_base_backup(options, directory)),
    }
}

/// Everything that a start in either role needs.
struct Start {
    options: StartOptions,
    directory: DataDirectory,
    settings: Settings,
    control: ControlFile,
    listener: NotReady,
    pid_file: PidFile,
}

impl Start {
    fn run(self, runtime: &Runtime, role: Role) -> Result<(), Failure> {
        let disk = disk_of(&self.control);
        let Start { options, directory, mut settings, control, listener, pid_file } = self;
        let follower = role == Role::Follower;
        let fact = if follower { "on" } else { "off" };
        settings.set_fact("in_hot_standby", fact).map_err(Failure::new)?;
        let (node, receiving) = if follower {
            let (parts, sink) = open_follower(options, directory, disk, settings, control)?;
            let node = Node::new(parts);
            let receiving = Receiving::start(runtime, &node, sink);
            (node, Some(receiving))
        } else {
            let promoting = control.state == ControlState::Promoting;
            let parts = start_leader(options, directory, disk, settings, control)?;
            if promoting {
                tracing::info!(event = "promoted", timeline = %parts.control.timeline, "finished the promotion that was interrupted");
                remove_standby_signal(&parts.disk, &parts.directory)?;
                remove_requests(&parts.directory);
            }
            create_first_database(&parts)?;
            (Node::new(parts), None)
        };
        let mut signals = runtime.block_on(async { Signals::new() })?;
        let mut running = Running { node, receiving, pid_file };
        if follower {
            match running.wait_until_consistent(runtime, &mut signals)? {
                Some(stop) => return running.stop(runtime, stop),
                None => start_replay(&running.node)?,
            }
        } else {
            checkpoint(&running.node, false).map_err(Failure::new)?;
        }
        note_running(&running.node)?;
        running.serve(runtime, listener, &mut signals)
    }
}

/// Why the node stops.
enum Stop {
    /// Told to.
    Signal,
    /// Told to, without a clean end.
    Immediate,
    /// The receiver has given up.
    Receiver(Failure),
    /// The log cannot be written any more.
    Log(String),
    /// A promotion failed halfway.
    Promotion(Failure),
    /// Not a reason: a promotion was asked for.
    Promote,
}

struct Running {
    node: Arc<Node>,
    receiving: Option<Receiving>,
    pid_file: PidFile,
}

impl Running {
    /// Waits until a follower's log reaches the point where its databases are consistent.
    fn wait_until_consistent(
        &mut self,
        runtime: &Runtime,
        signals: &mut Signals,
    ) -> Result<Option<Stop>, Failure> {
        let wanted = self.node.control.get().minimum_recovery;
        let positions = self.node.log().positions();
        if positions.flush.get() >= wanted {
            return Ok(None);
        }
        tracing::info!(received = %positions.flush.get(), %wanted, "waiting for the log that makes the base backup consistent");
        let Some(receiving) = &mut self.receiving else { return Ok(None) };
        Ok(runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = positions.flush.reached(wanted) => return None,
                    stop = signals.next() => match stop {
                        Told::Reload => {}
                        Told::Stop => return Some(Stop::Signal),
                        Told::Quit => return Some(Stop::Immediate),
                    },
                    end = receiving.ended() => return Some(end.into()),
                }
            }
        }))
    }

    fn serve(mut self, runtime: &Runtime, listener: NotReady, signals: &mut Signals) -> Result<(), Failure> {
        let node = Arc::clone(&self.node);
        let checkpointer = start_checkpointer(Arc::clone(&node))
            .map_err(|e| Failure::new(format!("could not start the checkpointer: {e}")))?;
        let listener = runtime.block_on(listener.into_listener());
        let listener = listener.map_err(|e| Failure::new(format!("could not accept connections: {e}")))?;
        let (stop_listening, listening_stops) = watch::channel(false);
        for address in listener.addresses() {
            tracing::info!(event = "listening", %address, "listening on {address}");
        }
        for socket in listener.sockets() {
            tracing::info!(event = "listening", socket = %socket.display(), "listening on {}", socket.display());
        }
        let door = Arc::new(ReplicationDoor { node: Arc::clone(&node) });
        let accepting = runtime.spawn(listener.run(Arc::new(Arc::clone(&node)), door, listening_stops));
        let status = if node.is_follower() { PidStatus::Standby } else { PidStatus::Ready };
        self.pid_file.write(&node.directory, status)?;
        tracing::info!(event = "ready", "ready to accept connections");
        let stop = loop {
            match runtime.block_on(self.until_stop(signals)) {
                Stop::Promote => {
                    if let Some(stop) = self.promote(runtime)? {
                        break stop;
                    }
                }
                stop => break stop,
            }
        };
        self.pid_file.write(&node.directory, PidStatus::Stopping)?;
        let ended = match stop {
            Stop::Signal => self.stop(runtime, Stop::Signal),
            other => self.stop(runtime, other),
        };
        node.checkpoints.stop();
        // a panic there has been reported by its own thread
        let _ = checkpointer.join();
        let _ = stop_listening.send(true);
        let _ = runtime.block_on(accepting);
        ended
    }

    /// Makes the leader of this node. A reason to stop if it is neither any more.
    fn promote(&mut self, runtime: &Runtime) -> Result<Option<Stop>, Failure> {
        let node = Arc::clone(&self.node);
        match promote(&node, runtime, &mut self.receiving) {
            Ok(_) => {
                node.promotions.end(None);
                self.pid_file.write(&node.directory, PidStatus::Ready)?;
                // until it has come about, a restart finishes the promotion
                if let Err(error) = node.checkpoints.request_and_wait() {
                    tracing::error!(
                        error,
                        "the checkpoint after the promotion failed; the next one replaces it"
                    );
                }
                Ok(None)
            }
            Err(NotPromoted::StillFollower(failure)) => {
                tracing::error!(
                    event = "promotion_failed",
                    hint = failure.hint,
                    "could not promote: {}",
                    failure.message
                );
                remove_requests(&node.directory);
                node.promotions.end(Some(failure.message));
                Ok(None)
            }
            Err(NotPromoted::Halfway(failure)) => {
                node.promotions.end(Some(failure.message.clone()));
                Ok(Some(Stop::Promotion(failure)))
            }
        }
    }

    async fn until_stop(&mut self, signals: &mut Signals) -> Stop {
        let node = Arc::clone(&self.node);
        loop {
            let receiver_ends = async {
                match &mut self.receiving {
                    Some(receiving) => receiving.ended().await,
                    None => std::future::pending().await,
                }
            };
            let log_fails = async {
                let positions = node.log().positions();
                // nothing reaches the largest position: this ends when the log is closed
                positions.flush.reached(Lsn::MAX).await;
                positions.flush.closed_reason().unwrap_or_default()
            };
            tokio::select! {
                told = signals.next() => match told {
                    Told::Reload => { node.reload_settings(); }
                    Told::Stop => return Stop::Signal,
                    Told::Quit => return Stop::Immediate,
                },
                end = receiver_ends => return end.into(),
                reason = log_fails => return Stop::Log(reason),
                () = promotion_asked(&node) => return Stop::Promote,
            }
        }
    }

    /// Stops in order: sessions first, then the last records, then those who wait for them.
    fn stop(mut self, runtime: &Runtime, stop: Stop) -> Result<(), Failure> {
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
            Stop::Promotion(failure) => {
                tracing::error!(
                    event = "panic",
                    hint = failure.hint,
                    "promotion failed halfway: {}; restart to finish or undo it",
                    failure.message
                );
                eprintln!("PANIC: promotion failed halfway: {}", failure.message);
                std::process::exit(3);
            }
            Stop::Signal => tracing::info!(event = "stopping", "stopping"),
            Stop::Receiver(_) | Stop::Promote => {}
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

/// Resolves when a follower is asked to become the leader: over SQL, or by the file.
async fn promotion_asked(node: &Node) {
    let file = node.directory.promote_signal();
    while !(node.promotions.is_pending() || file.exists() && node.is_follower()) {
        tokio::select! {
            () = node.promotions.requested() => {}
            () = tokio::time::sleep(PROMOTE_FILE_INTERVAL) => {}
        }
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

/// What a signal asks for.
enum Told {
    Reload,
    Stop,
    Quit,
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    fn new() -> Result<Signals, Failure> {
        let install = |kind| signal(kind).map_err(|e| Failure::new(format!("could not catch signals: {e}")));
        Ok(Signals {
            hangup: install(SignalKind::hangup())?,
            terminate: install(SignalKind::terminate())?,
            interrupt: install(SignalKind::interrupt())?,
            quit: install(SignalKind::quit())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.hangup.recv() => Told::Reload,
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.quit.recv() => Told::Quit,
        }
    }
}

fn listen_config(settings: &Settings) -> Result<ListenConfig, Failure> {
    let port = u16::try_from(settings.integer("port"))
        .map_err(|_| Failure::new(format!("invalid port {}", settings.integer("port"))))?;
    let mut addresses = Vec::new();
    for host in settings.list("listen_addresses") {
        let resolved = (host.as_str(), port).to_socket_addrs();
        let resolved = resolved
            .map_err(|e| Failure::new(format!("could not translate listen address \"{host}\": {e}")))?;
        for address in resolved {
            if !is_loopback(address.ip()) {
                return Err(Failure::new(format!("refusing to listen on {address}: it is not a loopback address"))
                    .hint("there is no authentication yet: anyone who can connect could read and write everything; listen on 127.0.0.1, ::1 or a Unix socket"));
            }
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    let unix_directories = settings.list("unix_socket_directories").into_iter().map(Into::into).collect();
    let authentication_timeout = settings.duration("authentication_timeout");
    Ok(ListenConfig { addresses, unix_directories, port, authentication_timeout })
}

fn is_loopback(address: IpAddr) -> bool {
    address.is_loopback()
}

fn listen_failure(error: ListenError) -> Failure {
    let hint = error.hint();
    Failure { hint, ..Failure::new(error) }
}

fn pid_file(listen: &ListenConfig, listener: &Listener) -> PidFile {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    PidFile {
        pid: std::process::id(),
        started_unix_seconds: started,
        port: listener.addresses().first().map_or(listen.port, SocketAddr::port),
        socket_directory: listen.unix_directories.first().cloned().unwrap_or_default(),
        listen_address: listen.addresses.first().map(|a| a.ip().to_string()).unwrap_or_default(),
    }
}

impl Node {
    /// Reads the settings files again; what changed is in force from now on.
    pub(crate) fn reload_settings(&self) -> Option<walship_settings::Reload> {
        match load_settings(&self.options, &self.directory, &self.control.get()) {
            Ok(mut loaded) => {
                let fact = if self.is_follower() { "on" } else { "off" };
                if let Err(error) = loaded.set_fact("in_hot_standby", fact) {
                    tracing::error!(%error, "could not reload the settings");
                    return None;
                }
                let reload = walship_settings::reload(&self.settings, loaded);
                *self.settings_loaded.lock() = walship_types::Timestamp::now();
                self.judge_by_settings();
                tracing::info!(event = "reload", "settings were read again");
                Some(reload)
            }
            Err(failure) => {
                tracing::error!(
                    error = failure.message,
                    hint = failure.hint,
                    "settings files have errors; unchanged settings stay in force"
                );
                None
            }
        }
    }
}
