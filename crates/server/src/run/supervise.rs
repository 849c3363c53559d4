use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use walship_node::{ControlFile, ControlState, DataDirectory, PidFile, PidStatus, create_missing_folders};
use walship_settings::Settings;
use walship_types::Lsn;

use super::archiver::start_archiver;
use super::checkpointer::{checkpoint, note_running, start_checkpointer};
use super::configuration::load_settings;
use super::create::{GROUP_READS, create_if_asked, disk_of, file_creation_mask};
use super::faults::survives_crash;
use super::follower::{open_follower, start_replay};
use super::heartbeat::watch_leader;
use super::host::{Host, ReplicationDoor};
use super::leader::{create_first_database, start_leader};
use super::listening::{
    listen_config, listen_failure, monitor_addresses, note_command_line, open_access, pid_file,
};
use super::node::Node;
use super::panic::{TASK_THREAD, stop_on_panic};
use super::peers::{keep_off_if_replaced, watch_peers};
use super::promote::{NotPromoted, promote, remove_requests, remove_standby_signal};
use super::promotion::NotDone;
use super::receiving::Receiving;
use super::recovery_command::RecoveryCommand;
use super::rewind::auto_rewind;
use super::role::{Role, find_role};
use super::scrubber::start_scrubber;
use super::service_manager;
use super::signals::{Signals, Told};
use super::stop::Stop;
use super::switchover::Outcome;
use super::{Failure, Init, StartOptions};
use crate::access::Access;
use crate::listen::{ListenError, Listener, NotReady};
use crate::logging::{current_log_file, start_logging};
use crate::monitoring::{Board, Monitor};

/// Threads for start-up packets; sessions, senders and the receiver have their own.
const ASYNC_THREADS: usize = 2;
/// How often a follower looks for the file that promotes it.
const PROMOTE_FILE_INTERVAL: Duration = Duration::from_millis(50);
/// What whoever asked for a promotion that failed is told to do.
const STILL_FOLLOWER: &str = "the node is a follower as before; mend that, and promote it again";
/// And if it failed where there is no way back.
const HALFWAY: &str = "the node stops now; its next start finishes the promotion or undoes it";

/// Runs a program until it is told to stop; the exit status.
pub fn run(options: StartOptions) -> ExitCode {
    let program = options.program;
    match run_node(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // who looks there finds why it ended
            if current_log_file().is_some() {
                failure.each().for_each(|(message, hint)| tracing::error!(hint, "{message}"));
            }
            failure.print(program)
        }
    }
}

fn run_node(options: StartOptions) -> Result<(), Failure> {
    stop_on_panic();
    let directory = DataDirectory::new(&options.directory);
    let group_reads =
        matches!(options.init, Some(Init::Cluster(new)) if new.directory_mode & GROUP_READS != 0);
    rustix::process::umask(file_creation_mask(group_reads));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(ASYNC_THREADS)
        .thread_name(TASK_THREAD)
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("could not start the runtime: {e}")))?;
    create_if_asked(&options, &directory, &runtime)?;
    if options.auto_rewind {
        auto_rewind(&options, &directory, &runtime)?;
    }
    let control = ControlFile::read(&directory)?;
    let group_reads = control.directory_mode & GROUP_READS != 0;
    rustix::process::umask(file_creation_mask(group_reads));
    let lock = directory.lock()?;
    let role = find_role(&options, &directory, &control)?;
    create_missing_folders(&directory, control.directory_mode)?;
    let settings = load_settings(&options, &directory, &control)?;
    let board = Board::new(start_logging(&settings, directory.root(), options.program)?);
    let access = open_access(&directory, &control, &settings)?;
    let listen = listen_config(&settings, &access)?;
    let listener = runtime.block_on(Listener::bind(&listen)).map_err(listen_failure)?;
    let addresses = monitor_addresses(&settings)?;
    let monitor = runtime.block_on(Monitor::bind(&addresses, &access)).map_err(listen_failure)?;
    let pid_file = pid_file(&listen, &listener);
    pid_file.write(&directory, PidStatus::Starting)?;
    service_manager::starting(role);
    note_command_line(&directory)?;
    tracing::info!(
        event = "starting", role = role.name(), system_id = %control.system_id, timeline = %control.timeline,
        directory = %directory.root().display(), state = control.state.describe(), "starting as {}", role.name()
    );
    let listener = {
        let _runtime = runtime.enter();
        NotReady::refuse(listener)
    };
    for url in monitor.urls() {
        tracing::info!(event = "listening", url, "serving metrics at {url}");
    }
    // ends with the runtime: health is asked for to the last
    runtime.spawn(monitor.run(Arc::clone(&board)));
    let directory_now = directory.clone();
    let start =
        Start { options, directory: directory_now, settings, control, listener, pid_file, access, board };
    let ended = start.run(&runtime, role);
    PidFile::remove(&directory);
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(lock);
    ended
}

/// Everything that a start in either role needs.
struct Start {
    options: StartOptions,
    directory: DataDirectory,
    settings: Settings,
    control: ControlFile,
    listener: NotReady,
    pid_file: PidFile,
    access: Arc<Access>,
    board: Arc<Board>,
}

impl Start {
    fn run(self, runtime: &Runtime, role: Role) -> Result<(), Failure> {
        let disk = disk_of(&self.control);
        let Start { options, directory, settings, control, listener, pid_file, access, board } = self;
        let follower = role == Role::Follower;
        let (node, receiving) = if follower {
            let (parts, sink) = open_follower(options, directory, disk, settings, control)?;
            let node = Node::new(parts, access);
            let receiving = Receiving::start(&node, sink)?;
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
            (Node::new(parts, access), None)
        };
        let mut signals = runtime.block_on(async { Signals::new() })?;
        board.show(Arc::new(Host(Arc::clone(&node))));
        let mut running = Running { node, receiving, pid_file, board };
        if follower {
            match running.wait_until_consistent(runtime, &mut signals)? {
                Some(stop) => return running.stop(runtime, stop),
                None => start_replay(&running.node)?,
            }
        } else {
            checkpoint(&running.node, false).map_err(Failure::new)?;
        }
        note_running(&running.node)?;
        if !follower {
            // before anyone can write
            runtime.block_on(keep_off_if_replaced(&running.node));
        }
        running.serve(runtime, listener, &mut signals)
    }
}

/// A node that has recovered.
pub(super) struct Running {
    pub(super) node: Arc<Node>,
    pub(super) receiving: Option<Receiving>,
    pid_file: PidFile,
    board: Arc<Board>,
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
        service_manager::waiting(&format!("follower: waiting for the log up to {wanted}"));
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
        let scrubber = start_scrubber(Arc::clone(&node))
            .map_err(|e| Failure::new(format!("could not start the scrubber: {e}")))?;
        let archiver = start_archiver(Arc::clone(&node))
            .map_err(|e| Failure::new(format!("could not start the archiver: {e}")))?;
        let listener = runtime.block_on(listener.into_listener());
        let listener = listener.map_err(|e| Failure::new(format!("could not accept connections: {e}")))?;
        let (stop_listening, listening_stops) = watch::channel(false);
        for address in listener.addresses() {
            tracing::info!(event = "listening", %address, "listening on {address}");
        }
        for socket in listener.sockets() {
            tracing::info!(event = "listening", socket = %socket.display(), "listening on {}", socket.display());
        }
        let door = Arc::new(ReplicationDoor { host: Host(Arc::clone(&node)) });
        let mut accepting =
            runtime.spawn(listener.run(Arc::new(Host(Arc::clone(&node))), door, listening_stops));
        runtime.spawn(watch_peers(Arc::clone(&node)));
        runtime.spawn(watch_leader(Arc::clone(&node)));
        let status = if node.is_follower() { PidStatus::Standby } else { PidStatus::Ready };
        self.pid_file.write(&node.directory, status)?;
        self.board.ready();
        service_manager::ready(&node);
        tracing::info!(event = "ready", "ready to accept connections");
        let stop = loop {
            match runtime.block_on(self.until_stop(signals, &mut accepting)) {
                Stop::Promote => {
                    if let Some(stop) = self.promote(runtime)? {
                        break stop;
                    }
                }
                Stop::SwitchOver(ready) => match ready.run(&node, runtime) {
                    // it may have learned of another one meanwhile
                    Outcome::Leads if node.failover.is_fenced() => node.databases.fence(),
                    Outcome::Leads => {}
                    Outcome::Follows(receiving) => {
                        self.receiving = Some(receiving);
                        self.pid_file.write(&node.directory, PidStatus::Standby)?;
                        service_manager::role_changed(&node);
                    }
                    Outcome::Halfway(failure) => break Stop::Promotion(failure),
                },
                stop => break stop,
            }
        };
        self.board.stopping();
        self.pid_file.write(&node.directory, PidStatus::Stopping)?;
        service_manager::stopping();
        node.scrubs.stop();
        // a panic there has been reported by its own thread
        let _ = scrubber.join();
        let ended = match stop {
            Stop::Signal => self.stop(runtime, Stop::Signal),
            other => self.stop(runtime, other),
        };
        node.checkpoints.stop();
        // a panic there has been reported by its own thread
        let _ = checkpointer.join();
        // last: the log is complete now
        node.archiver.stop();
        let _ = archiver.join();
        let _ = stop_listening.send(true);
        let _ = runtime.block_on(accepting);
        ended
    }

    /// Makes the leader of this node. A reason to stop if it is neither any more.
    fn promote(&mut self, runtime: &Runtime) -> Result<Option<Stop>, Failure> {
        let node = Arc::clone(&self.node);
        match promote(&node, runtime, &mut self.receiving) {
            Ok(()) => {
                node.promotions.end(None);
                node.archiver.poke();
                RecoveryCommand::start(&node, |node| &node.recovery_end);
                self.pid_file.write(&node.directory, PidStatus::Ready)?;
                service_manager::role_changed(&node);
                survives_crash("promote: answered");
                // until it has come about, a restart finishes the promotion
                if let Err(error) = node.checkpoints.request_and_wait(true) {
                    tracing::error!(
                        error,
                        "the checkpoint after the promotion failed; the next one replaces it"
                    );
                }
                Ok(None)
            }
            Err(NotPromoted::StillFollower(failure)) => {
                let hint = failure.hint.unwrap_or_else(|| STILL_FOLLOWER.to_owned());
                let reason = failure.message;
                tracing::error!(event = "promotion_failed", hint, "could not promote: {reason}");
                remove_requests(&node.directory);
                node.promotions.end(Some(NotDone { reason, hint }));
                Ok(None)
            }
            Err(NotPromoted::Halfway(failure)) => {
                let (reason, hint) = (failure.message.clone(), HALFWAY.to_owned());
                node.promotions.end(Some(NotDone { reason, hint }));
                Ok(Some(Stop::Promotion(failure)))
            }
        }
    }

    async fn until_stop(&mut self, signals: &mut Signals, accepting: &mut Accepting) -> Stop {
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
                    Told::Reload => service_manager::reload(&node),
                    Told::Stop => return Stop::Signal,
                    Told::Quit => return Stop::Immediate,
                },
                end = receiver_ends => return end.into(),
                reason = log_fails => return Stop::Log(reason),
                () = promotion_asked(&node) => return Stop::Promote,
                ended = &mut *accepting => return Stop::Accepting(why_ended(ended)),
                ready = node.switchovers.requested() => return Stop::SwitchOver(Box::new(ready)),
            }
        }
    }
}

/// The task that accepts connections.
type Accepting = JoinHandle<Result<(), ListenError>>;

/// Why it ended although nobody had told it to.
fn why_ended(ended: Result<Result<(), ListenError>, JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "its task has ended".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
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
