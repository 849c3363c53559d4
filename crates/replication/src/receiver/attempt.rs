use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Notify;
use walship_client::Connection;
use walship_node::ReceiverStatus;
use walship_protocol::{Command, HostAddress, ReceiverHalf, ReceiverOptions};
use walship_types::{Lsn, TimelineHistory, TimelineId};
use walship_wal::WalError;

use super::ReceiverError;
use super::choose::{Candidate, Own, choose, leader_appears};
use super::handshake::{drop_slot, ensure_slot, fetch_histories, fetch_history, fetch_newest};
use super::host::{ReceiverHost, ReceiverReport, ReceiverSettings};
use super::log::ReceiverLog;
use super::streaming::{NextTimeline, Streaming};

/// One connection to a sender, over as many timelines as it leads through.
pub(super) struct Attempt<'a> {
    pub(super) host: &'a dyn ReceiverHost,
    pub(super) log: &'a mut ReceiverLog,
    /// The timeline that the log is on; changes as it goes.
    pub(super) history: &'a mut Arc<TimelineHistory>,
    pub(super) report: &'a mut ReceiverReport,
    /// The slot has lost its log, which this node has from the archive by now: it is made
    /// anew.
    pub(super) renew_slot: bool,
}

impl Attempt<'_> {
    /// Connects and streams until something ends it. What was received before must be
    /// durable.
    pub(super) async fn run(&mut self) -> Result<(), ReceiverError> {
        let settings = self.host.settings()?;
        if settings.conninfo.is_empty() {
            return Err(ReceiverError::NoPrimary);
        }
        *self.report = ReceiverReport {
            status: ReceiverStatus::Starting,
            conninfo: settings.conninfo.to_string(),
            slot: settings.slot.clone(),
            last_error: self.report.last_error.take(),
            ..ReceiverReport::default()
        };
        self.host.report(self.report);
        let target = settings.conninfo.target(|name| std::env::var(name).ok())?;
        let own = Own {
            history: Arc::clone(self.history),
            timeline: self.history.timeline,
            end: self.log.flushed(),
        };
        let Candidate { mut connection, primary, leads, .. } =
            choose(&target, &settings, self.host, &own).await?;
        let host = self.host;
        let may_follow = Notify::new();
        if !leads {
            may_follow.notify_one();
        }
        let leader_found = async {
            may_follow.notified().await;
            leader_appears(&target, &settings, host, &own).await;
        };
        // the rest of a stream that a better sender ends goes with its connection
        let result = tokio::select! {
            result = self.with(&mut connection, &settings, primary.timeline, &may_follow) => result,
            () = leader_found => Err(ReceiverError::LeaderFound),
        };
        connection.close().await;
        result
    }

    async fn with(
        &mut self,
        connection: &mut Connection,
        settings: &ReceiverSettings,
        timeline: TimelineId,
        may_follow: &Notify,
    ) -> Result<(), ReceiverError> {
        let end = self.log.flushed();
        let newest = fetch_newest(connection, self.host, self.history, end, timeline).await?;
        let newest = match newest {
            Some((history, fork)) => {
                if fork < end {
                    cut_back(self.log, (self.history.timeline, end), fork, timeline)?;
                }
                Some(history)
            }
            None => None,
        };
        let mut histories = fetch_histories(connection, self.host, self.history, newest).await?;
        if let Some(slot) = &settings.slot {
            if self.renew_slot {
                drop_slot(connection, slot).await?;
            }
            ensure_slot(connection, slot).await?;
        }
        self.describe(connection);
        loop {
            let own = self.history.timeline;
            let end = self.log.flushed();
            // nothing is left of a timeline that ends where we are
            let next = histories.values().next_back().and_then(|newest| newest.next_after(own));
            let next = match next {
                Some((timeline, start)) if start == end => Some(NextTimeline { timeline, start }),
                _ => self.stream(connection, settings, end, timeline).await?,
            };
            let Some(next) = next else {
                return Err(ReceiverError::EndedByPrimary(self.log.flushed()));
            };
            let history = match histories.remove(&next.timeline) {
                Some(history) => history,
                None => {
                    let history = fetch_history(connection, next.timeline).await?;
                    self.host.write_history(&history)?;
                    history
                }
            };
            self.switch(history, next)?;
            if next.timeline > timeline {
                // a leader whose timeline goes on has handed over, and nothing on this connection says so
                may_follow.notify_one();
            }
        }
    }

    async fn stream(
        &mut self,
        connection: &mut Connection,
        settings: &ReceiverSettings,
        start: Lsn,
        sender: TimelineId,
    ) -> Result<Option<NextTimeline>, ReceiverError> {
        let timeline = self.history.timeline;
        let options = ReceiverOptions {
            status_interval: settings.status_interval,
            timeout: settings.timeout,
            sign_interval: settings.sign_interval,
        };
        let applied = self.host.replay().map_or(Lsn::INVALID, |replay| replay.get());
        let half = ReceiverHalf::new(start, applied, options, Instant::now());
        (self.report.start, self.report.timeline) = (start, Some(timeline));
        let command =
            Command::StartReplication { slot: settings.slot.clone(), start, timeline: Some(timeline) };
        self.report.last_error = None;
        let (host, log, report) = (self.host, &mut *self.log, &mut *self.report);
        let mut streaming = Streaming { connection, host, half, log, report, sender, pending: None };
        streaming.run(&command.to_string()).await
    }

    /// Goes over to the next timeline, whose history file is durable by now.
    fn switch(&mut self, history: TimelineHistory, next: NextTimeline) -> Result<(), ReceiverError> {
        self.report.status = ReceiverStatus::Waiting;
        self.host.report(self.report);
        let (own, end) = (self.history.timeline, self.log.flushed());
        if history.switch_point(own) != Some(end) || next.start != end {
            let fork = history.switch_point(own);
            return Err(ReceiverError::Diverged { own, end, found: next.timeline, fork });
        }
        self.log.switch_timeline(history.clone())?;
        tracing::info!(from = %own, to = %history.timeline, at = %end, "switched to the next timeline");
        let history = Arc::new(history);
        self.host.timeline_switched(Arc::clone(&history))?;
        *self.history = history;
        Ok(())
    }

    fn describe(&mut self, connection: &Connection) {
        let host = connection.host();
        self.report.port = Some(host.port);
        self.report.host = Some(match &host.address {
            HostAddress::Tcp(name) => name.clone(),
            HostAddress::Unix(directory) => directory.display().to_string(),
        });
    }
}

/// What lies beyond the place where the cluster left our timeline may be a part of a
/// record whose rest never came: nobody was shown anything of it, so it goes. Whole
/// records are another matter.
pub(super) fn cut_back(
    log: &mut ReceiverLog,
    (own, end): (TimelineId, Lsn),
    fork: Lsn,
    found: TimelineId,
) -> Result<(), ReceiverError> {
    match log.cut_back(fork) {
        Ok(()) => {
            tracing::info!(from = %end, to = %fork, "cut off the part of a record that the cluster went on without");
            Ok(())
        }
        Err(WalError::CutsRecords { .. }) => {
            Err(ReceiverError::Diverged { own, end, found, fork: Some(fork) })
        }
        Err(error) => Err(error.into()),
    }
}
