use std::time::Duration;

use walship_types::{Lsn, TimelineHistory};
use walship_wal::{WalError, WalSink};

/// Pause before a write is tried again after the disk was full.
pub(super) const NO_SPACE_PAUSE: Duration = Duration::from_secs(1);

/// This node's own log, which the receiver alone writes, on its own thread: to hand the
/// bytes to another one would cost two changes of thread for each commit that somebody
/// waits for. What the network brings during a sync waits in the socket.
pub(super) struct ReceiverLog {
    sink: WalSink,
    /// Whether it was said that there is no room.
    complained: bool,
}

impl ReceiverLog {
    pub(super) fn new(sink: WalSink) -> ReceiverLog {
        ReceiverLog { sink, complained: false }
    }

    pub(super) fn into_sink(self) -> WalSink {
        self.sink
    }

    /// End of what was written.
    pub(super) fn written(&self) -> Lsn {
        self.sink.position()
    }

    /// End of what is durable.
    pub(super) fn flushed(&self) -> Lsn {
        self.sink.positions().flush.get()
    }

    /// Writes what of `bytes`, which begin at `lsn`, was not written yet; whether that is
    /// all by now. With a full disk it is not: try again after [`NO_SPACE_PAUSE`]. The
    /// stream stands still meanwhile, the connection does not.
    pub(super) fn write(&mut self, lsn: Lsn, bytes: &[u8]) -> Result<bool, WalError> {
        let done = usize::try_from(self.written().saturating_distance_from(lsn)).unwrap_or(usize::MAX);
        let rest = bytes.get(done..).unwrap_or(&[]);
        let result = self.sink.write(Lsn(lsn.0.saturating_add(done as u64)), rest);
        let position = self.written();
        match result {
            Err(error) if error.is_no_space() => {
                if !self.complained {
                    tracing::error!(%position, "no room for the log, waiting: {error}");
                    self.complained = true;
                }
                Ok(false)
            }
            Err(error) => Err(error),
            Ok(()) => {
                if self.complained {
                    tracing::info!(%position, "there is room for the log again");
                    self.complained = false;
                }
                Ok(true)
            }
        }
    }

    /// Makes everything that was written durable.
    pub(super) fn flush(&mut self) -> Result<(), WalError> {
        self.sink.flush()
    }

    /// See [`WalSink::cut_back`].
    pub(super) fn cut_back(&mut self, to: Lsn) -> Result<(), WalError> {
        self.sink.cut_back(to)
    }

    /// See [`WalSink::switch_timeline`].
    pub(super) fn switch_timeline(&mut self, history: TimelineHistory) -> Result<(), WalError> {
        self.sink.switch_timeline(history)
    }
}
