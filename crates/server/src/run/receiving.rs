use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use walship_archive::Archive;
use walship_node::slot_name_for;
use walship_protocol::{Conninfo, SlotName};
use walship_replication::receiver::{
    ReceiverEnd, ReceiverError, ReceiverHost, ReceiverReport, ReceiverSettings, ReceiverTask, ReceiverThread,
    RestoreSource,
};
use walship_settings::{Settings, Typed as _};
use walship_types::{SegmentSize, SystemId, TimelineHistory, TimelineId};
use walship_wal::{PositionWatch, WalSink, write_history};

use super::Failure;
use super::host::Host;
use super::node::Node;
use super::recovery_command::oldest_needed;

/// How a follower calls itself unless told otherwise.
const DEFAULT_NAME: &str = "walreceiver";

/// The receiver of a follower, running.
pub(crate) struct Receiving(ReceiverThread);

/// Why a receiver ended that nobody had told to.
pub(crate) enum ReceivingEnd {
    GaveUp(Failure),
    LogFailed(String),
}

impl Receiving {
    pub(crate) fn start(node: &Arc<Node>, sink: WalSink) -> Result<Receiving, Failure> {
        let host = Arc::new(Host(Arc::clone(node)));
        let task = ReceiverTask { host, sink, retry: node.options.retry };
        Ok(Receiving(ReceiverThread::start(task).map_err(Failure::new)?))
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> ReceivingEnd {
        match self.0.ended().await {
            ReceiverEnd::GaveUp(error) => ReceivingEnd::GaveUp(gave_up(&error)),
            ReceiverEnd::LogFailed(error) => ReceivingEnd::LogFailed(error.to_string()),
            ReceiverEnd::Stopped(_) => ReceivingEnd::GaveUp(Failure::new("the receiver was stopped")),
        }
    }

    /// Ends it and hands over the log, to which it has written everything that came.
    pub(crate) async fn take_log(self) -> Result<Box<WalSink>, Failure> {
        match self.0.stop().await {
            Some(ReceiverEnd::Stopped(sink)) => Ok(sink),
            Some(ReceiverEnd::LogFailed(error)) => Err(error.into()),
            Some(ReceiverEnd::GaveUp(error)) => Err(gave_up(&error)),
            None => Err(Failure::new("the receiver has ended")),
        }
    }

    /// Ends it; everything that was received is durable.
    pub(crate) async fn stop(self) -> Result<(), Failure> {
        match self.0.stop().await {
            Some(ReceiverEnd::LogFailed(error)) => Err(error.into()),
            Some(ReceiverEnd::Stopped(_) | ReceiverEnd::GaveUp(_)) | None => Ok(()),
        }
    }
}

fn gave_up(error: &ReceiverError) -> Failure {
    let failure = Failure::new(error);
    match error.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// What the settings tell a receiver of a sender; `name` goes before the name that they have.
pub(crate) fn receiver_settings(
    settings: &Settings,
    name: Option<&str>,
    use_slot: bool,
) -> Result<ReceiverSettings, ReceiverError> {
    let conninfo: Conninfo = settings.text("primary_conninfo").parse()?;
    let name = name.map(str::to_owned).or_else(|| conninfo.get("application_name").map(str::to_owned));
    let name = name.or_else(|| Some(settings.text("cluster_name")).filter(|name| !name.is_empty()));
    let name = name.unwrap_or_else(|| DEFAULT_NAME.to_owned());
    let slot = match settings.text("primary_slot_name") {
        _ if !use_slot => None,
        given if given.is_empty() => Some(slot_name_for(&name)),
        given => Some(given),
    };
    let slot = slot.map(|slot| slot.parse::<SlotName>()).transpose();
    Ok(ReceiverSettings {
        conninfo,
        slot: slot.map_err(|error| ReceiverError::Node(Box::new(error)))?,
        application_name: name,
        status_interval: settings.duration("wal_receiver_status_interval"),
        timeout: settings.duration("wal_receiver_timeout"),
        sign_interval: super::heartbeat::sign_interval(settings),
        retry_interval: settings.duration("wal_retrieve_retry_interval").max(Duration::from_millis(1)),
        restore: None,
    })
}

/// `restore_command`, or else `restore_directory`.
fn restore_source(node: &Node, settings: &Settings) -> Option<RestoreSource> {
    let (command, directory) = (settings.text("restore_command"), settings.text("restore_directory"));
    let archive = match (command.is_empty(), directory.is_empty()) {
        (true, true) => return None,
        (true, false) => Archive::Directory(PathBuf::from(directory)),
        (false, _) => Archive::Command {
            template: command,
            directory: node.directory.root().to_owned(),
            restart: oldest_needed(node),
        },
    };
    Some(RestoreSource { archive, disk: Arc::clone(&node.disk), wal: node.directory.wal() })
}

impl ReceiverHost for Host {
    fn system_id(&self) -> SystemId {
        self.system_id
    }

    fn segment_size(&self) -> SegmentSize {
        self.segment_size
    }

    fn settings(&self) -> Result<ReceiverSettings, ReceiverError> {
        let settings = Node::settings(self);
        let wanted = receiver_settings(&settings, self.options.name.as_deref(), self.options.use_slot)?;
        Ok(ReceiverSettings { restore: restore_source(self, &settings), ..wanted })
    }

    fn oldest_timeline(&self) -> Option<TimelineId> {
        self.failover.pledged()
    }

    fn name_of_leader(&self) -> String {
        format!("unknown to its follower {}", super::fence::own_name(self))
    }

    fn replay(&self) -> Option<Arc<PositionWatch>> {
        self.log().replay()
    }

    fn is_own_client(&self, address: SocketAddr) -> bool {
        self.backends.list().iter().any(|backend| backend.client_address == Some(address))
    }

    fn write_history(&self, history: &TimelineHistory) -> Result<(), ReceiverError> {
        Ok(write_history(&*self.disk, &self.directory.wal(), history)?)
    }

    fn timeline_switched(&self, history: Arc<TimelineHistory>) -> Result<(), ReceiverError> {
        // a restart has to find the log of the new timeline
        let noted = self.control.update(|control| control.timeline = history.timeline);
        noted.map_err(|error| ReceiverError::Node(Box::new(error)))?;
        tracing::info!(event = "timeline_switched", timeline = %history.timeline, "following timeline {}", history.timeline);
        super::service_manager::role_changed(self);
        Ok(())
    }

    fn report(&self, report: &ReceiverReport) {
        self.receiver.update(|row| {
            if report.last_message_received.is_some()
                && row.last_message_received != report.last_message_received
            {
                self.failover.heard();
            }
            row.status = report.status;
            row.start = report.start;
            row.start_timeline = report.timeline;
            row.received_timeline = report.timeline;
            row.last_message_sent = report.last_message_sent;
            row.last_message_received = report.last_message_received;
            if report.latest_end > row.latest_end {
                row.latest_end = report.latest_end;
                row.latest_end_time = report.last_message_sent;
            }
            row.slot_name = report.slot.as_ref().map(ToString::to_string);
            row.sender_host = report.host.clone();
            row.sender_port = report.port;
            row.conninfo.clone_from(&report.conninfo);
            row.last_error.clone_from(&report.last_error);
        });
    }
}
