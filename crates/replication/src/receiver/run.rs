use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use walship_node::ReceiverStatus;
use walship_types::TimelineHistory;
use walship_wal::{WalError, WalSink};

use super::ReceiverError;
use super::archive::ArchiveRecovery;
use super::attempt::Attempt;
use super::host::{ReceiverHost, ReceiverReport};
use super::log::ReceiverLog;

/// Pause after the first failed attempt; it doubles up to `wal_retrieve_retry_interval`.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause when the settings cannot be read.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How often the same failure is logged again.
const REPEAT_INTERVAL: Duration = Duration::from_secs(60);

/// How the receiver ended.
#[derive(Debug)]
pub enum ReceiverEnd {
    /// It was told to; everything received is durable. The log may be taken over.
    Stopped(Box<WalSink>),
    /// An attempt failed and it was told not to try again.
    GaveUp(ReceiverError),
    /// The node's own log failed: the process has to stop, and recover when it starts.
    LogFailed(WalError),
}

/// What a receiver is started with.
pub struct ReceiverTask {
    /// The node.
    pub host: Arc<dyn ReceiverHost>,
    /// Its log; the receiver has it alone until it ends.
    pub sink: WalSink,
    /// Whether a failed attempt is followed by another.
    pub retry: bool,
}

/// A receiver at work, on a thread of its own, which reads the network and writes the log.
#[derive(Debug)]
pub struct ReceiverThread {
    stop: watch::Sender<bool>,
    end: oneshot::Receiver<ReceiverEnd>,
}

impl ReceiverThread {
    /// Starts one.
    pub fn start(task: ReceiverTask) -> std::io::Result<ReceiverThread> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = watch::channel(false);
        let (ended, end) = oneshot::channel();
        std::thread::Builder::new().name("wal receiver".to_owned()).spawn(move || {
            let result = runtime.block_on(run_receiver(task, stopped));
            // whoever started it may be gone
            let _ = ended.send(result);
        })?;
        Ok(ReceiverThread { stop, end })
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) -> ReceiverEnd {
        (&mut self.end).await.unwrap_or_else(|_| ReceiverEnd::LogFailed(panicked()))
    }

    /// Tells it to end, and waits until it has; `None` if [`ended`](Self::ended) has said how.
    pub async fn stop(mut self) -> Option<ReceiverEnd> {
        if self.end.is_terminated() {
            return None;
        }
        self.stop.send_replace(true);
        Some(self.ended().await)
    }
}

/// What is left of a receiver that ended without a word: it had the log.
fn panicked() -> WalError {
    WalError::Poisoned { reason: "the receiver's thread has panicked".to_owned() }
}

/// Streams into the node's log until it is told to stop.
async fn run_receiver(task: ReceiverTask, mut stop: watch::Receiver<bool>) -> ReceiverEnd {
    let ReceiverTask { host, sink, retry } = task;
    let history = Arc::new(sink.history().clone());
    let mut log = ReceiverLog::new(sink);
    let mut report = ReceiverReport::default();
    let failed = tokio::select! {
        error = attempts(host.as_ref(), &mut log, history, retry, &mut report) => Some(error),
        _ = stop.wait_for(|stop| *stop) => None,
    };
    report.status = ReceiverStatus::Stopped;
    report.last_error = failed.as_ref().map(ToString::to_string);
    host.report(&report);
    match (log.flush(), failed) {
        (Err(error), _) | (Ok(()), Some(ReceiverError::Log(error))) => ReceiverEnd::LogFailed(error),
        (Ok(()), Some(error)) => ReceiverEnd::GaveUp(error),
        (Ok(()), None) => ReceiverEnd::Stopped(Box::new(log.into_sink())),
    }
}

/// One attempt after the other; the error is the one that ends them.
async fn attempts(
    host: &dyn ReceiverHost,
    log: &mut ReceiverLog,
    mut history: Arc<TimelineHistory>,
    retry: bool,
    report: &mut ReceiverReport,
) -> ReceiverError {
    let mut pause = FIRST_PAUSE;
    let mut complaint = Complaint::default();
    let mut archive_complaint = Complaint::default();
    let mut renew_slot = false;
    let mut ignored = BTreeSet::new();
    loop {
        // what the attempt before has received and not synced yet counts
        if let Err(error) = log.flush() {
            return error.into();
        }
        let settings = host.settings();
        let archive = settings.as_ref().ok().and_then(|settings| settings.restore.clone());
        let has_archive = archive.is_some();
        let mut restored = false;
        if let Some(source) = archive {
            let mut archive =
                ArchiveRecovery { host, log, history: &mut history, source, ignored: &mut ignored };
            match archive.run().await {
                Ok(more) => restored = more,
                Err(error) if error.is_fatal() => return error,
                Err(error) => archive_complaint.about("not restoring from the archive", &error),
            }
        }
        if has_archive && settings.as_ref().is_ok_and(|settings| settings.conninfo.is_empty()) {
            // a follower that is fed by the archive alone
            if !restored {
                tokio::time::sleep(settings.map_or(PAUSE_MAX, |settings| settings.retry_interval)).await;
            }
            continue;
        }
        let mut attempt = Attempt { host, log, history: &mut history, report, renew_slot };
        let Err(error) = attempt.run().await else { continue };
        renew_slot = has_archive && error.is_slot_lost();
        // a sender that no longer has our log refuses only after the stream has begun
        if report.last_message_received.is_some() {
            pause = FIRST_PAUSE;
        }
        if matches!(error, ReceiverError::LeaderFound) {
            tracing::info!("one of the other hosts leads now: going over to it");
            continue;
        }
        complaint.about("not streaming", &error);
        if error.is_fatal() || !retry {
            return error;
        }
        report.status = ReceiverStatus::Stopped;
        report.last_error = Some(error.to_string());
        host.report(report);
        tokio::time::sleep(pause).await;
        let longest = host.settings().map_or(PAUSE_MAX, |settings| settings.retry_interval);
        pause = (pause * 2).min(longest.max(FIRST_PAUSE));
    }
}

/// Says once why there is no stream, or nothing from the archive, and again only when the
/// reason changes or a while has passed: a leader that is away for a night must not fill
/// the disk with messages.
#[derive(Default)]
struct Complaint {
    last: Option<(String, Instant)>,
}

impl Complaint {
    fn about(&mut self, what: &str, error: &ReceiverError) {
        let text = error.to_string();
        let repeated =
            self.last.as_ref().is_some_and(|(last, at)| *last == text && at.elapsed() < REPEAT_INTERVAL);
        if repeated {
            tracing::debug!("{what}: {text}");
            return;
        }
        match error.hint() {
            Some(hint) => tracing::warn!(event = "streaming_stopped", hint, "{what}: {text}"),
            None => tracing::warn!(event = "streaming_stopped", "{what}: {text}"),
        }
        self.last = Some((text, Instant::now()));
    }
}
