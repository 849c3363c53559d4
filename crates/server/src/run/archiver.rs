use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use walship_archive::{
    ArchiveError, ArchiveStatus, ArchivedFile, Destination, Inherited, Pending, Responsibility, Statuses,
    pending,
};
use walship_disk::DiskError;
use walship_settings::{Settings, Typed as _};
use walship_sql::catalog::ArchiverStatistics;
use walship_types::{Lsn, SegmentNo, TimelineId, Timestamp, segment_file_name};

use super::node::Node;

/// How often the archiver looks whether a segment was completed.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Pause after a first failure; it doubles with each further one, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause between attempts, as PostgreSQL's.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long a clean stop waits for what is still to be archived.
const STOP_WAIT: Duration = Duration::from_secs(10);

/// What the archiver did since the process started, and what it is told.
#[derive(Debug, Default)]
pub(crate) struct Archiver {
    // protects the fields below; held to change or copy them
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    statistics: ArchiverStatistics,
    /// The settings changed: what failed may succeed now.
    poked: bool,
    /// Set when it has to end; what is still running then is ended too.
    stop_by: Option<Instant>,
}

impl Archiver {
    /// For `pg_stat_archiver`.
    pub(crate) fn statistics(&self) -> ArchiverStatistics {
        self.state.lock().statistics.clone()
    }

    /// Makes it try again now.
    pub(crate) fn poke(&self) {
        self.state.lock().poked = true;
        self.changed.notify_all();
    }

    /// Makes it end once everything is archived, an attempt fails, or time is up.
    pub(crate) fn stop(&self) {
        self.state.lock().stop_by.get_or_insert_with(|| Instant::now() + STOP_WAIT);
        self.changed.notify_all();
    }

    /// Waits; whether it was poked. `None` is the stop.
    fn wait(&self, pause: Duration) -> Option<bool> {
        let mut state = self.state.lock();
        if !state.poked && state.stop_by.is_none() {
            self.changed.wait_for(&mut state, pause);
        }
        match state.stop_by {
            Some(_) => None,
            None => Some(std::mem::take(&mut state.poked)),
        }
    }

    fn time_is_up(&self) -> bool {
        self.state.lock().stop_by.is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn archived(&self, name: String) {
        let mut state = self.state.lock();
        state.statistics.archived += 1;
        state.statistics.last_archived = Some((name, Timestamp::now()));
    }

    fn failed(&self, name: String) {
        let mut state = self.state.lock();
        state.statistics.failed += 1;
        state.statistics.last_failed = Some((name, Timestamp::now()));
    }
}

/// How long to wait after the next failure.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        pause
    }
}

/// Whether the node archives its log in its present role.
pub(crate) fn is_archiving(node: &Node) -> bool {
    match node.settings().text("archive_mode").as_str() {
        "on" => !node.is_follower(),
        "always" => true,
        _ => false,
    }
}

/// Where to; `None`: nowhere yet, so that everything waits.
fn destination(settings: &Settings) -> Option<Destination> {
    let (command, directory) = (settings.text("archive_command"), settings.text("archive_directory"));
    match (command.is_empty(), directory.is_empty()) {
        (false, _) => Some(Destination::Command(command)),
        (true, false) => Some(Destination::Directory(PathBuf::from(directory))),
        (true, true) => None,
    }
}

fn status(node: &Node) -> ArchiveStatus {
    ArchiveStatus::new(Arc::clone(&node.disk), &node.directory.wal(), node.segment_size)
}

fn responsibility(node: &Node, destination: Option<&Destination>) -> Responsibility {
    let log = node.log();
    Responsibility {
        history: log.history(),
        flushed: log.positions().flush.get(),
        inherited: match destination {
            Some(Destination::Command(_)) => Inherited::Done,
            Some(Destination::Directory(_)) | None => Inherited::Archive,
        },
        segment_size: node.segment_size,
    }
}

/// The start of the oldest segment that is not archived yet: nothing from there on may be
/// removed. `None`: nothing waits, or nothing is archived at all.
pub(crate) fn oldest_unarchived(node: &Node) -> Result<Option<Lsn>, DiskError> {
    if !is_archiving(node) {
        return Ok(None);
    }
    let status = status(node);
    let duty = responsibility(node, destination(&node.settings()).as_ref());
    let open = pending(&status.files()?, &status.read()?, &duty);
    let oldest = open.into_iter().filter_map(Pending::keeps).min();
    Ok(oldest.map(|segment| node.segment_size.start_of(segment)))
}

/// Says that the log grows because it is not archived: at each checkpoint, as long as more
/// waits than `max_wal_size`.
pub(crate) fn tell_if_behind(node: &Node, oldest_unarchived: Option<Lsn>) {
    let Some(oldest) = oldest_unarchived else { return };
    let waiting = node.log().positions().flush.get().saturating_distance_from(oldest);
    let limit = node.settings().bytes("max_wal_size");
    if waiting <= limit {
        return;
    }
    let segment = segment_file_name(
        node.log().history().timeline_at(oldest),
        node.segment_size.segment_of(oldest),
        node.segment_size,
    );
    let (megabytes, limit) = (waiting >> 20, limit >> 20);
    tracing::warn!(
        event = "archive_behind",
        file = segment,
        megabytes,
        hint = "nothing is removed before it is archived: see pg_stat_archiver, and how much room there is",
        "pg_wal keeps {megabytes} MB of log that is not archived, from \"{segment}\" on, more than max_wal_size, which is {limit} MB"
    );
}

/// Whether everything before `end` is archived; `None` if the node archives nothing. On a
/// leader the segment in which that lies is ended.
pub(crate) fn archived_until(node: &Node, end: Lsn) -> Result<Option<bool>, DiskError> {
    if !is_archiving(node) {
        return Ok(None);
    }
    let size = node.segment_size;
    let last = size.segment_of(Lsn(end.0.saturating_sub(1)));
    let log = node.log();
    if size.segment_of(log.positions().insert.get()) == last {
        switch_segment(node);
    }
    let complete = log.positions().flush.get() >= size.start_of(last.next());
    let oldest = oldest_unarchived(node)?;
    Ok(Some(complete && oldest.is_none_or(|oldest| oldest >= size.start_of(last.next()))))
}

/// Forgets what is gone from the log: the notes of segments that were archived and
/// removed since, and incomplete segments before `keep_from` that nobody archives.
pub(crate) fn forget_removed(node: &Node, keep_from: SegmentNo) -> Result<(), DiskError> {
    let status = status(node);
    let statuses = status.read()?;
    let files: BTreeSet<ArchivedFile> = status.files()?.into_iter().collect();
    let gone = statuses.done.iter().filter(|file| file.segment_no().is_some() && !files.contains(file));
    gone.copied().try_for_each(|file| status.forget(file))?;
    for file in files.difference(&statuses.ready) {
        if matches!(file, ArchivedFile::Segment { segment, partial: true, .. } if *segment < keep_from) {
            status.remove_partial(*file)?;
        }
    }
    Ok(())
}

/// Starts the thread that archives. It is alone in changing `archive_status`, apart from
/// what is forgotten at checkpoints; nobody ever waits for it.
pub(crate) fn start_archiver(node: Arc<Node>) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("archiver".to_owned()).spawn(move || {
        let mut worker = Worker { status: status(&node), node, seen: None, backoff: Backoff::default() };
        let mut pause = Duration::ZERO;
        while let Some(poked) = worker.node.archiver.wait(pause) {
            if poked {
                worker.seen = None;
                worker.backoff = Backoff::default();
            }
            pause = worker.round().unwrap_or_else(|failure| worker.told(failure));
        }
        worker.seen = None;
        if let Err(failure) = worker.round() {
            worker.told(failure);
        }
    })
}

/// Why a round ended early.
enum RoundFailure {
    Archive(ArchivedFile, ArchiveError),
    Disk(DiskError),
}

impl From<DiskError> for RoundFailure {
    fn from(error: DiskError) -> RoundFailure {
        RoundFailure::Disk(error)
    }
}

struct Worker {
    node: Arc<Node>,
    status: ArchiveStatus,
    /// Timeline and segment of the log's end when everything before it was archived.
    seen: Option<(TimelineId, SegmentNo)>,
    backoff: Backoff,
}

impl Worker {
    /// Archives everything that is complete; how long to wait before the next look.
    fn round(&mut self) -> Result<Duration, RoundFailure> {
        if !is_archiving(&self.node) {
            return Ok(LOOK_INTERVAL);
        }
        let Some(destination) = destination(&self.node.settings()) else { return Ok(LOOK_INTERVAL) };
        loop {
            let duty = responsibility(&self.node, Some(&destination));
            let end = (duty.history.timeline, self.node.segment_size.segment_of(duty.flushed));
            if self.seen == Some(end) {
                return Ok(LOOK_INTERVAL);
            }
            for file in self.settle(&duty)? {
                self.archive(&destination, file)?;
            }
            self.seen = Some(end);
        }
    }

    /// Brings the notes up to date with the log; what is ready then.
    fn settle(&self, duty: &Responsibility) -> Result<BTreeSet<ArchivedFile>, DiskError> {
        let statuses = self.status.read()?;
        let files = self.status.files()?;
        let mut ready = BTreeSet::new();
        for pending in pending(&files, &statuses, duty) {
            let file = match pending {
                Pending::MarkDone(file) => {
                    self.status.set_done(file)?;
                    continue;
                }
                Pending::ArchiveAsPartial(file) => self.status.make_partial(file)?,
                Pending::Archive(file) => file,
            };
            if !statuses.ready.contains(&file) {
                self.status.set_ready(file)?;
            }
            ready.insert(file);
        }
        self.forget_orphans(&statuses, &files)?;
        Ok(ready)
    }

    /// A note about a file that is not there cannot be acted on.
    fn forget_orphans(&self, statuses: &Statuses, files: &[ArchivedFile]) -> Result<(), DiskError> {
        for file in statuses.ready.iter().filter(|file| !files.contains(file)) {
            let name = file.name(self.node.segment_size);
            tracing::warn!(
                event = "archive_orphan",
                file = name,
                "removed the archive status file \"{name}.ready\": there is no such file to archive"
            );
            self.status.forget(*file)?;
        }
        Ok(())
    }

    fn archive(&mut self, destination: &Destination, file: ArchivedFile) -> Result<(), RoundFailure> {
        let name = file.name(self.node.segment_size);
        let archiver = &self.node.archiver;
        let put = destination.put(self.node.directory.root(), &name, &|| archiver.time_is_up());
        put.map_err(|error| RoundFailure::Archive(file, error))?;
        self.status.set_done(file)?;
        if matches!(file, ArchivedFile::Segment { partial: true, .. }) {
            // nobody reads it here, and it is in the archive
            self.status.remove_partial(file)?;
            self.status.forget(file)?;
        }
        if self.backoff.failures > 0 {
            tracing::info!(event = "archive_recovered", file = name, "archiving works again");
            self.backoff = Backoff::default();
        }
        tracing::debug!(event = "archived", file = name, "archived \"{name}\"");
        archiver.archived(name);
        Ok(())
    }

    /// Says what failed; how long to wait.
    fn told(&mut self, failure: RoundFailure) -> Duration {
        let pause = self.backoff.next();
        let (attempts, seconds) = (self.backoff.failures, pause.as_secs());
        match failure {
            RoundFailure::Archive(_, ArchiveError::Cancelled) => tracing::warn!(
                event = "archive_unfinished",
                "stopping although not everything is archived; the next start goes on with it"
            ),
            RoundFailure::Archive(file, error) => {
                let name = file.name(self.node.segment_size);
                let waiting = self.status.read().map_or(0, |statuses| statuses.ready.len());
                let files = if waiting == 1 { "file waits" } else { "files wait" };
                tracing::warn!(
                    event = "archive_failed",
                    file = name,
                    attempts,
                    waiting,
                    hint = error.hint(),
                    "could not archive \"{name}\": {error}; {waiting} {files}; trying again in {seconds} s"
                );
                self.node.archiver.failed(name);
            }
            RoundFailure::Disk(error) => tracing::warn!(
                event = "archive_failed",
                attempts,
                "could not look for what is to be archived: {error}; trying again in {seconds} s"
            ),
        }
        pause
    }
}

/// The segment that is written, and since when it has content: for `archive_timeout`.
#[derive(Debug, Default)]
pub(crate) struct SegmentAge {
    begun: Option<(SegmentNo, Instant)>,
}

impl SegmentAge {
    /// Goes on in a new segment when the present one has had content for longer than
    /// `archive_timeout`. A checkpoint alone is no content: an idle leader stays idle.
    pub(crate) fn switch_if_due(&mut self, node: &Node) {
        let timeout = node.settings().timeout("archive_timeout");
        let (Some(timeout), false) = (timeout, node.is_follower()) else {
            self.begun = None;
            return;
        };
        let Some(segment) = segment_with_content(node) else {
            self.begun = None;
            return;
        };
        let (_, since) = *self.begun.get_or_insert_with(|| (segment, Instant::now()));
        if self.begun.is_some_and(|(begun, _)| begun != segment) {
            self.begun = Some((segment, Instant::now()));
        } else if since.elapsed() >= timeout {
            switch_segment(node);
            self.begun = None;
        }
    }
}

/// The segment in which the log ends, if there is more in it than a checkpoint.
fn segment_with_content(node: &Node) -> Option<SegmentNo> {
    let size = node.segment_size;
    let end = node.log().positions().insert.get();
    let first = walship_wal::record_start(size.start_of(size.segment_of(end)), size);
    let control = node.control.get();
    let only_checkpoint = control.known_flush == end && control.checkpoint == first;
    (end > first && !only_checkpoint).then(|| size.segment_of(end))
}

/// Ends the segment that is written, so that it is archived.
pub(crate) fn switch_segment(node: &Node) {
    let super::log::NodeLog::Leader(writer) = node.log() else { return };
    let switched = writer.switch_segment().and_then(|end| writer.flush(end));
    if let Err(error) = switched {
        tracing::error!(%error, "could not go on in a new segment");
    }
}

/// Before a clean stop: what the segment in progress holds is archived too.
pub(crate) fn switch_before_stop(node: &Node) {
    if is_archiving(node) && segment_with_content(node).is_some() {
        switch_segment(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_of_failures_is_spent_in_pauses_that_grow_to_a_minute() {
        let mut backoff = Backoff::default();
        let first: Vec<u64> = (0..8).map(|_| backoff.next().as_secs()).collect();
        assert_eq!(first, [1, 2, 4, 8, 16, 32, 60, 60]);
        let mut clock = Duration::from_secs(first.iter().sum());
        while clock < Duration::from_secs(3600) {
            clock += backoff.next();
        }
        // each of them is one line in the log
        assert_eq!(backoff.failures, 65);
        assert_eq!(Backoff { failures: u32::MAX }.next(), PAUSE_MAX);
    }

    #[test]
    fn a_poke_ends_a_long_pause_and_a_stop_ends_it_for_good() {
        let archiver = Arc::new(Archiver::default());
        let waiting = Arc::clone(&archiver);
        let waiter = std::thread::spawn(move || waiting.wait(Duration::from_secs(600)));
        archiver.poke();
        assert_eq!(waiter.join().unwrap(), Some(true));
        assert_eq!(archiver.wait(Duration::ZERO), Some(false));
        archiver.stop();
        assert_eq!(archiver.wait(Duration::from_secs(600)), None);
        assert!(!archiver.time_is_up());
    }
}
