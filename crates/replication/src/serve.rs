use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use walship_protocol::wire::{ErrorFields, FrontendMessage, put_error, put_result_set};
use walship_protocol::{Command, CommandError, ResultSet, SlotKind};
use walship_types::{TimelineId, history_file_name};

use super::channel::{ConnectionError, Inbound, Outbound};
use super::failover::Switchover;
use super::host::{ReplicationHost, ReplicationSession, SenderRow, ServerPhase};
use super::{base_backup, databases, failover, pages, slots, stream};

/// A replication connection that was let in.
pub(super) struct Serving<S> {
    pub(super) inbound: Inbound<S>,
    pub(super) outbound: Outbound<S>,
    pub(super) session: ReplicationSession,
    pub(super) host: Arc<dyn ReplicationHost>,
    pub(super) row: Box<dyn SenderRow>,
    /// Whether the log was told why the connection ends.
    pub(super) lost_told: bool,
}

/// What becomes of the connection after a command.
pub(super) enum After {
    /// It takes the next one.
    Continue,
    /// It ends.
    Close,
}

/// Serves a connection that asked for `replication=true`, from after its first
/// ReadyForQuery until it ends. `unread` is what the start-up has read too much.
pub async fn serve_replication<S>(
    stream: S,
    unread: BytesMut,
    session: ReplicationSession,
    host: Arc<dyn ReplicationHost>,
) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (read, write) = tokio::io::split(stream);
    let (inbound, mut outbound) = (Inbound::new(read, unread), Outbound::new(write));
    let row = match host.register_sender(&session) {
        Ok(row) => row,
        Err(error) => return tell_and_close(&mut outbound, error.fatal()).await,
    };
    let pid = session.pid;
    let mut serving = Serving { inbound, outbound, session, host: Arc::clone(&host), row, lost_told: false };
    let mut result = serving.commands().await;
    if let Err(
        error @ (ConnectionError::Violation(_) | ConnectionError::Frame(_) | ConnectionError::Malformed(_)),
    ) = &result
    {
        let error = ErrorFields::error("08P01", error.to_string()).fatal();
        result = tell_and_close(&mut serving.outbound, error).await;
    }
    host.slots().drop_temporary(pid);
    if let Err(error) = &result
        && !serving.lost_told
        && !matches!(error, ConnectionError::Closed)
    {
        let (name, client) = (&serving.session.application_name, &serving.session.client);
        tracing::warn!(event = "replication_ended", name, ?client, %error, "replication connection ended");
    }
    result
}

/// The last words of a connection.
pub(super) async fn tell_and_close<S: AsyncWrite>(
    outbound: &mut Outbound<S>,
    error: ErrorFields,
) -> Result<(), ConnectionError> {
    put_error(&mut outbound.buffer, &error);
    outbound.flush().await?;
    outbound.close().await;
    Err(ConnectionError::Told(Box::new(error)))
}

impl<S: AsyncRead + AsyncWrite + Send> Serving<S> {
    async fn commands(&mut self) -> Result<(), ConnectionError> {
        let mut phase = self.host.phase();
        loop {
            let frame = tokio::select! {
                frame = self.inbound.next() => frame,
                () = phase_reached(&mut phase, ServerPhase::Draining) => {
                    let text = "terminating connection due to administrator command";
                    return tell_and_close(&mut self.outbound, ErrorFields::error("57P01", text).fatal()).await;
                }
            };
            let frame = match frame {
                Err(ConnectionError::Closed) => return Ok(()),
                frame => frame?,
            };
            match self.message(FrontendMessage::of(&frame)?).await? {
                After::Continue => self.outbound.flush().await?,
                After::Close => return Ok(()),
            }
        }
    }

    async fn message(&mut self, message: FrontendMessage<'_>) -> Result<After, ConnectionError> {
        match message {
            FrontendMessage::Query(query) => self.command(query).await,
            FrontendMessage::Terminate => Ok(After::Close),
            // left over from a copy stream that an error has ended
            FrontendMessage::CopyData(_)
            | FrontendMessage::CopyDone
            | FrontendMessage::CopyFail(_)
            | FrontendMessage::Flush
            | FrontendMessage::Sync => Ok(After::Continue),
            FrontendMessage::Password(_) => Err(ConnectionError::Violation("unexpected message".to_owned())),
            _ => {
                let text = "extended query protocol not supported in a replication connection";
                Err(ConnectionError::Violation(text.to_owned()))
            }
        }
    }

    async fn command(&mut self, query: &str) -> Result<After, ConnectionError> {
        let command = match Command::parse(query) {
            Ok(command) => command,
            Err(error) => {
                self.outbound.refuse(&command_error(&error));
                return Ok(After::Continue);
            }
        };
        let answer = match command {
            Command::StartReplication { slot, start, timeline } => {
                return stream::start_replication(self, slot, start, timeline).await;
            }
            Command::BaseBackup(options) => {
                base_backup::serve(self, options).await?;
                return Ok(After::Continue);
            }
            Command::ExportDatabase { name } => {
                databases::export(self, name).await?;
                return Ok(After::Continue);
            }
            Command::ReadPages { keep_from } => {
                pages::serve(self, keep_from).await?;
                return Ok(After::Continue);
            }
            Command::Switchover { .. } if !self.session.superuser => {
                Err(ErrorFields::error("42501", "must be superuser to hand the leadership over"))
            }
            Command::ImportDatabase { .. } if !self.session.superuser => {
                Err(ErrorFields::error("42501", "must be superuser to import a database"))
            }
            Command::ImportDatabase { name } => {
                databases::import(self, name).await?;
                return Ok(After::Continue);
            }
            Command::IdentifySystem => Ok(self.identify_system()),
            Command::Show { name } => self.show(&name),
            Command::ReadReplicationSlot { slot } => Ok(slots::read(self.host.as_ref(), &slot)),
            Command::CreateReplicationSlot { kind: SlotKind::Logical { .. }, .. }
            | Command::StartLogicalReplication { .. } => Err(ErrorFields::error(
                "0A000",
                "logical decoding is not supported: only physical replication is",
            )),
            Command::CreateReplicationSlot { slot, temporary, reserve_wal, .. } => {
                slots::create(&self.host, slot, temporary.then_some(self.session.pid), reserve_wal).await
            }
            Command::DropReplicationSlot { slot, wait } => {
                return slots::drop_slot(self, slot, wait).await.map(|()| After::Continue);
            }
            Command::Fence { system_id, timeline, history, node } => {
                failover::fence(Arc::clone(&self.host), system_id, timeline, history, node).await
            }
            Command::Pledge { timeline, for_ms } => {
                failover::pledge(self.host.as_ref(), timeline, Duration::from_millis(for_ms))
            }
            Command::TakeOver { end, timeline } => {
                failover::take_over(Arc::clone(&self.host), end, timeline).await
            }
            Command::Switchover { to, catch_up_ms, hold_ms } => {
                let (catch_up, hold) = (Duration::from_millis(catch_up_ms), Duration::from_millis(hold_ms));
                failover::switch_over(Arc::clone(&self.host), Switchover { to, catch_up, hold }).await
            }
            Command::TimelineHistory { timeline } => timeline_history(Arc::clone(&self.host), timeline).await,
        };
        match answer {
            Ok(set) => {
                put_result_set(&mut self.outbound.buffer, &set);
                self.outbound.ready();
            }
            Err(error) => self.outbound.refuse(&error),
        }
        Ok(After::Continue)
    }

    fn identify_system(&self) -> ResultSet {
        let timeline = self.host.history().timeline;
        ResultSet::identify_system(self.host.system_id(), timeline, self.host.log().flushed(), None)
    }

    fn show(&self, name: &str) -> Result<ResultSet, ErrorFields> {
        let unknown =
            || ErrorFields::error("42704", format!("unrecognized configuration parameter \"{name}\""));
        let shown = self.host.show(name).ok_or_else(unknown)?;
        Ok(ResultSet::show(name, &shown))
    }
}

async fn timeline_history(
    host: Arc<dyn ReplicationHost>,
    timeline: TimelineId,
) -> Result<ResultSet, ErrorFields> {
    let history = blocking(move || host.read_history(timeline)).await??;
    let missing = || {
        let file = history_file_name(timeline);
        ErrorFields::error(
            "58P01",
            format!("could not open file \"pg_wal/{file}\": no such file or directory"),
        )
    };
    Ok(ResultSet::timeline_history(&history.ok_or_else(missing)?))
}

/// Waits until the server is as far on its way out, or gone.
pub(super) async fn phase_reached(phase: &mut watch::Receiver<ServerPhase>, least: ServerPhase) {
    // an error means that the node itself is gone
    let _ = phase.wait_for(|phase| *phase >= least).await;
}

/// Runs what may wait for a disk where that holds nobody up.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ErrorFields> {
    let panicked = |error: tokio::task::JoinError| ErrorFields::error("XX000", error.to_string());
    tokio::task::spawn_blocking(work).await.map_err(panicked)
}

fn command_error(error: &CommandError) -> ErrorFields {
    let mut fields = ErrorFields::error(error.sqlstate(), error.to_string());
    fields.hint = error.hint().map(str::to_owned);
    fields.position = error.position();
    fields
}
