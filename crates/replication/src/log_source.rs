use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use walship_protocol::wire::ErrorFields;
use walship_types::{Lsn, SegmentNo};
use walship_wal::{CheckedBytes, WaitOutcome, WalError, WalSource};

use super::host::{CheckedLog, LogSource, LogWait};

impl LogSource for WalSource {
    fn read(&self, from: Lsn, to: Lsn) -> Result<Bytes, ErrorFields> {
        let max = usize::try_from(to.saturating_distance_from(from)).unwrap_or(usize::MAX);
        WalSource::read(self, from, max, to).map_err(|error| log_error(&error))
    }

    fn checked(&self, start: Lsn) -> Result<Box<dyn CheckedLog>, ErrorFields> {
        match WalSource::checked(self, start) {
            Ok(bytes) => Ok(Box::new(bytes)),
            Err(error) => Err(log_error(&error)),
        }
    }

    fn flushed(&self) -> Lsn {
        self.positions().map_or(Lsn::INVALID, |positions| positions.flush.get())
    }

    fn oldest_segment(&self) -> SegmentNo {
        WalSource::oldest_segment(self).unwrap_or(SegmentNo(0))
    }

    fn wait_flushed(&self, lsn: Lsn) -> Pin<Box<dyn Future<Output = LogWait> + Send + '_>> {
        Box::pin(async move {
            match self.positions() {
                Some(positions) => match positions.flush.reached(lsn).await {
                    WaitOutcome::Reached => LogWait::Reached,
                    WaitOutcome::TimedOut | WaitOutcome::Cancelled | WaitOutcome::Closed => LogWait::Closed,
                },
                None => LogWait::Closed,
            }
        })
    }
}

impl CheckedLog for CheckedBytes {
    fn position(&self) -> Lsn {
        CheckedBytes::position(self)
    }

    fn next(&mut self, to: Lsn) -> Result<Bytes, ErrorFields> {
        let wanted = to.saturating_distance_from(CheckedBytes::position(self));
        let max = usize::try_from(wanted).unwrap_or(usize::MAX);
        CheckedBytes::next(self, max, to).map_err(|error| log_error(&error))
    }
}

/// The error as a client is told it.
pub(super) fn log_error(error: &WalError) -> ErrorFields {
    match error {
        WalError::Removed { file, .. } => {
            ErrorFields::error("58P01", format!("requested WAL segment {file} has already been removed"))
                .with_hint("Take a new base backup, or bring the segment back from an archive; a slot or a larger wal_keep_size keeps the log for longer.")
        }
        WalError::CorruptBelowFlush { .. } => ErrorFields::error("XX001", error.to_string())
            .with_hint("The log of this server is damaged there and goes no further: promote a follower that has all of it, or restore a base backup."),
        other => ErrorFields::error("XX000", other.to_string()),
    }
}
