use std::net::SocketAddr;
use std::sync::Arc;

use walship_disk::SharedDisk;
use walship_node::DataDirectory;
use walship_replication::receiver::{
    ReceiverEnd, ReceiverError, ReceiverHost, ReceiverReport, ReceiverSettings, ReceiverTask, ReceiverThread,
};
use walship_types::{Lsn, SegmentSize, SystemId, TimelineHistory};
use walship_wal::{PositionWatch, WaitOutcome, WalConfig, WalSink, WalSource, write_history};

use crate::run::Failure;

/// What the receiver of a node that is rewound has to know of it.
#[derive(Clone)]
pub(super) struct RewindHost {
    pub(super) system_id: SystemId,
    pub(super) segment_size: SegmentSize,
    pub(super) disk: SharedDisk,
    pub(super) directory: DataDirectory,
    pub(super) settings: ReceiverSettings,
    /// Nothing is visible to anybody.
    pub(super) replay: Arc<PositionWatch>,
}

impl ReceiverHost for RewindHost {
    fn system_id(&self) -> SystemId {
        self.system_id
    }

    fn segment_size(&self) -> SegmentSize {
        self.segment_size
    }

    fn settings(&self) -> Result<ReceiverSettings, ReceiverError> {
        Ok(self.settings.clone())
    }

    fn replay(&self) -> Option<Arc<PositionWatch>> {
        Some(Arc::clone(&self.replay))
    }

    fn is_own_client(&self, _address: SocketAddr) -> bool {
        // nobody is let in here
        false
    }

    fn write_history(&self, history: &TimelineHistory) -> Result<(), ReceiverError> {
        Ok(write_history(&*self.disk, &self.directory.wal(), history)?)
    }

    fn timeline_switched(&self, _history: Arc<TimelineHistory>) -> Result<(), ReceiverError> {
        // the control file is written when everything is in place
        Ok(())
    }

    fn report(&self, _report: &ReceiverReport) {}
}

/// Receives the source's log from the fork on, while pages are fetched.
pub(super) struct Receiving {
    thread: ReceiverThread,
    source: WalSource,
}

impl Receiving {
    pub(super) fn start(host: &RewindHost, config: WalConfig, at: Lsn) -> Result<Receiving, Failure> {
        let sink = WalSink::open(config, at)?;
        let source = sink.source();
        let task = ReceiverTask { host: Arc::new(host.clone()), sink, retry: false };
        Ok(Receiving { thread: ReceiverThread::start(task).map_err(Failure::new)?, source })
    }

    /// What came so far.
    pub(super) fn source(&self) -> &WalSource {
        &self.source
    }

    /// Waits until everything before `lsn` has come.
    pub(super) async fn reached(&mut self, lsn: Lsn) -> Result<(), Failure> {
        let Some(positions) = self.source.positions().cloned() else { return Ok(()) };
        tokio::select! {
            biased;
            outcome = positions.flush.reached(lsn) => match outcome {
                WaitOutcome::Reached => Ok(()),
                _ => Err(Failure::new(positions.flush.closed_reason().unwrap_or_default())),
            },
            ended = self.thread.ended() => Err(failure(Some(ended))),
        }
    }

    /// Ends it; everything that came is durable.
    pub(super) async fn finish(self) -> Result<Box<WalSink>, Failure> {
        match self.thread.stop().await {
            Some(ReceiverEnd::Stopped(sink)) => Ok(sink),
            ended => Err(failure(ended)),
        }
    }
}

fn failure(ended: Option<ReceiverEnd>) -> Failure {
    match ended {
        Some(ReceiverEnd::GaveUp(error)) => {
            let failure = Failure::new(format!("could not receive the source's log: {error}"));
            match error.hint() {
                Some(hint) => failure.hint(hint),
                None => failure.hint("run the rewind again"),
            }
        }
        Some(ReceiverEnd::LogFailed(error)) => Failure::new(error),
        Some(ReceiverEnd::Stopped(_)) | None => Failure::new("the receiver has ended"),
    }
}
