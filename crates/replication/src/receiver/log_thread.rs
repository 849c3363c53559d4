use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use walship_types::{Lsn, TimelineHistory};
use walship_wal::{WalError, WalSink};

/// Pieces of log (of up to 128 KiB) between the network and the disk: 4 MiB, so that the
/// network is not idle during a sync. When it is full, the leader waits.
pub(super) const PIECES_AHEAD: usize = 32;

/// Pause before a write is tried again after the disk was full.
const NO_SPACE_PAUSE: Duration = Duration::from_secs(1);

/// What the thread is told.
pub(super) enum LogCommand {
    /// Take these bytes.
    Write(Lsn, Bytes),
    /// Make everything durable, and say which timeline the log is on then.
    Flush(oneshot::Sender<TimelineHistory>),
    /// End at this position, behind which there is only a part of a record, and say how
    /// that went.
    CutBack(Lsn, oneshot::Sender<Result<(), WalError>>),
    /// Go over to another timeline, and say how that went.
    Switch(TimelineHistory, oneshot::Sender<Result<(), WalError>>),
}

/// Gives the thread a command, and waits for its answer.
pub(super) async fn ask<T>(
    log: &mpsc::Sender<LogCommand>,
    command: impl FnOnce(oneshot::Sender<T>) -> LogCommand,
) -> Result<T, WalError> {
    let (answer, answered) = oneshot::channel();
    log.send(command(answer)).await.map_err(|_| closed())?;
    answered.await.map_err(|_| closed())
}

/// For whoever finds that the thread has ended.
pub(super) fn closed() -> WalError {
    WalError::Poisoned { reason: "the log's thread has ended".to_owned() }
}

/// The thread that alone writes this node's log. It syncs whenever nothing waits to be
/// written: under load many pieces share one sync, otherwise each has its own at once.
pub(super) struct LogThread {
    pub(super) commands: mpsc::Sender<LogCommand>,
    thread: JoinHandle<(WalSink, Result<(), WalError>)>,
    stopping: Arc<AtomicBool>,
}

impl LogThread {
    pub(super) fn start(sink: WalSink) -> std::io::Result<LogThread> {
        let (commands, received) = mpsc::channel(PIECES_AHEAD);
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let name = "wal receiver log".to_owned();
        let thread = thread::Builder::new().name(name).spawn(move || write_log(sink, received, &stop))?;
        Ok(LogThread { commands, thread, stopping })
    }

    /// Lets the thread finish what it was given, and gives the sink back; blocks.
    pub(super) fn stop(self) -> Option<(WalSink, Result<(), WalError>)> {
        self.stopping.store(true, Ordering::SeqCst);
        drop(self.commands);
        // a panic has been reported by itself
        self.thread.join().ok()
    }
}

fn write_log(
    mut sink: WalSink,
    mut commands: mpsc::Receiver<LogCommand>,
    stopping: &AtomicBool,
) -> (WalSink, Result<(), WalError>) {
    while let Some(command) = commands.blocking_recv() {
        let mut next = Some(command);
        while let Some(command) = next {
            match obey(&mut sink, command, stopping) {
                Ok(true) => {}
                Ok(false) => {
                    let flushed = sink.flush();
                    return (sink, flushed);
                }
                Err(error) => return (sink, Err(error)),
            }
            next = commands.try_recv().ok();
        }
        if let Err(error) = sink.flush() {
            return (sink, Err(error));
        }
    }
    let flushed = sink.flush();
    (sink, flushed)
}

/// Whether to go on: a disk that is full when the receiver is stopped ends it, and what
/// was not written is received again later.
fn obey(sink: &mut WalSink, command: LogCommand, stopping: &AtomicBool) -> Result<bool, WalError> {
    match command {
        LogCommand::Write(lsn, bytes) => write(sink, lsn, &bytes, stopping),
        LogCommand::Flush(answer) => {
            sink.flush()?;
            let _ = answer.send(sink.history().clone());
            Ok(true)
        }
        LogCommand::CutBack(to, answer) => {
            let _ = answer.send(sink.cut_back(to));
            Ok(true)
        }
        LogCommand::Switch(history, answer) => {
            // nobody waits for the answer any more when the receiver is being stopped
            let _ = answer.send(sink.switch_timeline(history));
            Ok(true)
        }
    }
}

/// Writes all of `bytes`. A full disk is waited out: the stream stands still meanwhile,
/// the connection does not.
fn write(sink: &mut WalSink, lsn: Lsn, bytes: &[u8], stopping: &AtomicBool) -> Result<bool, WalError> {
    let mut complained = false;
    loop {
        let done = usize::try_from(sink.position().saturating_distance_from(lsn)).unwrap_or(usize::MAX);
        let rest = bytes.get(done..).unwrap_or(&[]);
        match sink.write(Lsn(lsn.0.saturating_add(done as u64)), rest) {
            Err(error) if error.is_no_space() && !stopping.load(Ordering::SeqCst) => {
                if !complained {
                    tracing::error!(position = %sink.position(), "no room for the log, waiting: {error}");
                    complained = true;
                }
                thread::sleep(NO_SPACE_PAUSE);
            }
            Err(error) if error.is_no_space() => return Ok(false),
            Err(error) => return Err(error),
            Ok(()) => {
                if complained {
                    tracing::info!(position = %sink.position(), "there is room for the log again");
                }
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use walship_disk::SimDisk;
    use walship_types::{SegmentSize, SystemId, TimelineId};
    use walship_wal::{WalConfig, WalWriter, create_first_segment};

    use super::*;

    /// A log of one record, as a sink.
    fn log() -> WalSink {
        let history = TimelineHistory::root(TimelineId::FIRST);
        let disk = Arc::new(SimDisk::new(1));
        let config = WalConfig::new(disk, "/", SystemId(7), SegmentSize::MIN, history);
        let writer = WalWriter::start(config.clone(), create_first_segment(&config).unwrap()).unwrap();
        let end = writer.append(walship_wal::RecordKind::RestorePoint, &[b"some bytes"]).unwrap().end;
        writer.flush(end).unwrap();
        writer.shutdown().unwrap();
        WalSink::open(config, end).unwrap()
    }

    #[test]
    fn a_flush_tells_of_a_switch_whose_own_answer_nobody_waited_for() {
        let sink = log();
        let history = sink.history().branch(TimelineId(2), sink.position(), "test");
        let log = LogThread::start(sink).unwrap();
        let (nobody_waits, _) = oneshot::channel();
        log.commands.blocking_send(LogCommand::Switch(history, nobody_waits)).ok().unwrap();
        let (answer, answered) = oneshot::channel();
        log.commands.blocking_send(LogCommand::Flush(answer)).ok().unwrap();
        assert_eq!(answered.blocking_recv().unwrap().timeline, TimelineId(2));
        let (sink, ended) = log.stop().unwrap();
        ended.unwrap();
        assert_eq!(sink.history().timeline, TimelineId(2));
    }
}
