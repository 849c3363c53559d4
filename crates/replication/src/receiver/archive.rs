use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use walship_archive::Fetched;
use walship_disk::OpenMode;
use walship_types::{Lsn, SegmentNo, TimelineHistory, TimelineId, history_file_name, segment_file_name};
use walship_wal::{EndReason, Next, WalConfig, WalError, WalSource, read_history};

use super::ReceiverError;
use super::attempt::cut_back;
use super::host::{ReceiverHost, RestoreSource};
use super::log::{NO_SPACE_PAUSE, ReceiverLog};

/// Bytes that are written at once: a stop is noticed between two pieces.
const PIECE_BYTES: usize = 128 << 10;
/// Folder in `pg_wal` where fetched files lie until they are checked; nothing in it is
/// needed again.
const FOLDER: &str = "restoring";

/// Takes log from an archive into the node's own, as far as the archive goes. Fetched
/// segments are checked record by record before a byte of them is taken: an archive is no
/// more to be trusted than a network.
pub(super) struct ArchiveRecovery<'a> {
    pub(super) host: &'a dyn ReceiverHost,
    pub(super) log: &'a mut ReceiverLog,
    /// The timeline that the log is on; changes as it goes.
    pub(super) history: &'a mut Arc<TimelineHistory>,
    pub(super) source: RestoreSource,
    /// Timelines of the archive that cannot be followed from here, which was told.
    pub(super) ignored: &'a mut BTreeSet<TimelineId>,
}

/// A piece of log that was found in the archive and is right.
struct Checked {
    content: Bytes,
    /// Where `content` begins.
    start: Lsn,
    /// Up to where it is valid.
    end: Lsn,
    /// Why it does not go to the end of its segment, if it does not.
    cut: Option<String>,
}

/// Makes blocking work end when whoever waits for it is gone.
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl ArchiveRecovery<'_> {
    /// Goes on until the archive has nothing more; whether it had anything. What was
    /// received before must be durable.
    pub(super) async fn run(&mut self) -> Result<bool, ReceiverError> {
        let begun = self.log.flushed();
        let newest = self.newest_history().await?;
        loop {
            let at = self.log.flushed();
            if let Some((next, switch)) = newest.next_after(self.history.timeline)
                && switch == at
            {
                self.switch(&newest, next, at)?;
                continue;
            }
            let Some(piece) = self.fetch_segment(&newest, at).await? else { break };
            let end = piece.end;
            let cut = piece.cut.clone();
            self.take(piece, at).await?;
            if let Some(reason) = cut
                && newest.switch_point(self.history.timeline) != Some(end)
            {
                return Err(ReceiverError::ArchiveEnds { at: end, reason });
            }
        }
        let end = self.log.flushed();
        if end > begun {
            tracing::info!(event = "restored_from_archive", from = %begun, to = %end, "took log from the archive, from {begun} to {end}");
        }
        let _ = fs::remove_dir_all(self.source.wal.join(FOLDER));
        Ok(end > begun)
    }

    /// The newest timeline that the archive has a history of and that goes through where
    /// this node is; else the node's own.
    async fn newest_history(&mut self) -> Result<TimelineHistory, ReceiverError> {
        let mut newest = TimelineHistory::clone(self.history);
        let mut candidate = self.history.timeline;
        loop {
            candidate = TimelineId(candidate.0.saturating_add(1));
            let source = self.source.clone();
            let found = self.blocking(move |cancelled| fetch_history(&source, candidate, &cancelled)).await?;
            let Some(history) = found else { return Ok(newest) };
            match self.leads_on(&history) {
                Ok(()) => newest = history,
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    if self.ignored.insert(candidate) {
                        tracing::warn!(event = "archive_timeline_ignored", timeline = %candidate, "a timeline of the archive is ignored: {error}");
                    }
                }
            }
        }
    }

    /// Whether a history goes through the end of the node's log, apart from a part of a
    /// record, which is cut off.
    fn leads_on(&mut self, history: &TimelineHistory) -> Result<(), ReceiverError> {
        let (own, end) = (self.history.timeline, self.log.flushed());
        match history.switch_point(own) {
            Some(fork) if fork >= end => Ok(()),
            Some(fork) => cut_back(self.log, (own, end), fork, history.timeline),
            None => Err(ReceiverError::Diverged { own, end, found: history.timeline, fork: None }),
        }
    }

    async fn fetch_segment(
        &self,
        newest: &TimelineHistory,
        at: Lsn,
    ) -> Result<Option<Checked>, ReceiverError> {
        let config = |history: &TimelineHistory, dir: PathBuf| {
            let (system_id, size) = (self.host.system_id(), self.host.segment_size());
            WalConfig::new(Arc::clone(&self.source.disk), dir, system_id, size, history.clone())
        };
        let segment = Segment {
            own: config(self.history, self.source.wal.clone()),
            staged: config(newest, self.source.wal.join(FOLDER)),
            source: self.source.clone(),
            number: self.host.segment_size().segment_of(at),
            at,
        };
        self.blocking(move |cancelled| segment.fetch(&cancelled)).await
    }

    /// Runs work that blocks; it is told to end when nobody waits for it any more.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(Arc<AtomicBool>) -> Result<T, ReceiverError> + Send + 'static,
    ) -> Result<T, ReceiverError> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let guard = CancelOnDrop(Arc::clone(&cancelled));
        let done = tokio::task::spawn_blocking(move || work(cancelled)).await;
        drop(guard);
        done.map_err(|panic| ReceiverError::Node(Box::new(panic)))?
    }

    /// Writes what is new of a piece, and makes it durable.
    async fn take(&mut self, piece: Checked, from: Lsn) -> Result<(), ReceiverError> {
        let mut at = from;
        while at < piece.end {
            let left = piece.end.saturating_distance_from(at).min(PIECE_BYTES as u64) as usize;
            let skip = at.saturating_distance_from(piece.start) as usize;
            let bytes = piece.content.slice(skip..skip + left);
            while !self.log.write(at, &bytes)? {
                tokio::time::sleep(NO_SPACE_PAUSE).await;
            }
            tokio::task::yield_now().await;
            at = Lsn(at.0 + left as u64);
        }
        Ok(self.log.flush()?)
    }

    /// Goes over to the next timeline on the way to the newest one.
    fn switch(&mut self, newest: &TimelineHistory, next: TimelineId, at: Lsn) -> Result<(), ReceiverError> {
        let leading = newest.entries.iter().take_while(|entry| entry.timeline < next).cloned();
        let history = TimelineHistory { timeline: next, entries: leading.collect() };
        self.host.write_history(&history)?;
        self.log.switch_timeline(history.clone())?;
        tracing::info!(from = %self.history.timeline, to = %next, %at, "switched to the next timeline, from the archive");
        let history = Arc::new(history);
        self.host.timeline_switched(Arc::clone(&history))?;
        *self.history = history;
        Ok(())
    }
}

fn fetch_history(
    source: &RestoreSource,
    timeline: TimelineId,
    cancelled: &AtomicBool,
) -> Result<Option<TimelineHistory>, ReceiverError> {
    let folder = source.wal.join(FOLDER);
    make_folder(&folder)?;
    let name = history_file_name(timeline);
    let cancelled = || cancelled.load(Ordering::SeqCst);
    match source.archive.fetch(&name, None, &folder.join(&name), &cancelled)? {
        Fetched::Missing => Ok(None),
        Fetched::There => Ok(Some(read_history(&*source.disk, &folder, timeline)?)),
    }
}

fn make_folder(folder: &Path) -> Result<(), ReceiverError> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(ReceiverError::Node(Box::new(walship_node::NodeError::io("create directory", folder, error))))
        }
        _ => Ok(()),
    }
}

/// One segment that is looked for in the archive.
struct Segment {
    /// The node's own log.
    own: WalConfig,
    /// Where it is put, with the history that it is on.
    staged: WalConfig,
    source: RestoreSource,
    number: SegmentNo,
    /// Where the node's own log ends.
    at: Lsn,
}

impl Segment {
    fn fetch(&self, cancelled: &AtomicBool) -> Result<Option<Checked>, ReceiverError> {
        make_folder(&self.staged.dir)?;
        let cancelled = || cancelled.load(Ordering::SeqCst);
        let target = self.staged.file_path(self.number);
        let size = self.own.segment_size;
        for timeline in self.timelines() {
            let name = segment_file_name(timeline, self.number, size);
            match self.source.archive.fetch(&name, Some(size.bytes()), &target, &cancelled)? {
                Fetched::Missing => {}
                Fetched::There => return self.check(&name).map(Some).map(|c| c.filter(|c| c.end > self.at)),
            }
        }
        Ok(None)
    }

    /// Those whose file of this segment can have what comes next, the newest first: where
    /// a timeline was left within the segment, the older one's file has the first half too.
    fn timelines(&self) -> Vec<TimelineId> {
        let history = &self.staged.history;
        let last = Lsn(self.own.segment_size.start_of(self.number.next()).0 - 1);
        let (oldest, newest) = (history.timeline_at(self.at), history.timeline_at(last));
        let mut all: Vec<TimelineId> = history.entries.iter().map(|entry| entry.timeline).collect();
        all.push(history.timeline);
        all.retain(|timeline| (oldest..=newest).contains(timeline));
        all.reverse();
        all
    }

    /// How far the staged file is valid, and that it goes on from the node's own log.
    fn check(&self, name: &str) -> Result<Checked, ReceiverError> {
        let size = self.own.segment_size;
        let start = size.start_of(self.number);
        let content = self.source.disk.open(&self.staged.file_path(self.number), OpenMode::Read);
        let content = content.and_then(|file| file.map()).map_err(WalError::from)?;
        self.check_continues(name, &content)?;
        let mut reader = WalSource::offline(self.staged.clone()).reader(self.stage_before()?);
        let end = loop {
            match reader.next()? {
                Next::Record(_) => {}
                Next::End(end) => break end,
            }
        };
        let whole =
            end.reason == EndReason::MissingSegment && end.file == self.staged.file_name(self.number.next());
        let next = size.start_of(self.number.next());
        let end_of_piece = if whole { next } else { end.at.max(start) };
        // a newer timeline's file goes on where the node has to switch first
        let switch = self.staged.history.switch_point(self.own.history.timeline);
        let end_of_piece = switch.map_or(end_of_piece, |switch| end_of_piece.min(switch));
        let cut = (!whole).then(|| {
            let place = self.source.archive.place(name);
            format!("{} (archive file \"{}\", offset {})", end.reason, place.display(), end.offset)
        });
        Ok(Checked { content, start, end: end_of_piece, cut })
    }

    /// What the node has of the segment already must be what the archive has.
    fn check_continues(&self, name: &str, content: &[u8]) -> Result<(), ReceiverError> {
        let offset = self.own.segment_size.offset_of(self.at);
        if offset == 0 {
            return Ok(());
        }
        let own = self.source.disk.open(&self.own.file_path(self.number), OpenMode::Read);
        let own = own.and_then(|file| file.map()).map_err(WalError::from)?;
        let pairs = own.iter().zip(content).take(usize::try_from(offset).unwrap_or(usize::MAX));
        match pairs.into_iter().position(|(a, b)| a != b) {
            None => Ok(()),
            Some(at) => Err(ReceiverError::ArchiveDiffers {
                path: self.source.archive.place(name),
                offset: at as u64,
                lsn: Lsn(self.own.segment_size.start_of(self.number).0 + at as u64),
            }),
        }
    }

    /// Makes the segment before readable beside the staged one, for a record that began in
    /// it; where to begin to read.
    fn stage_before(&self) -> Result<Lsn, ReceiverError> {
        let size = self.own.segment_size;
        let this = size.start_of(self.number);
        let Some(before) = self.number.0.checked_sub(1).map(SegmentNo) else { return Ok(this) };
        let link = self.staged.file_path(before);
        if !link.exists() {
            let own = self.own.file_path(before);
            let Some(own) = own.canonicalize().ok().filter(|own| own.exists()) else { return Ok(this) };
            let linked = std::os::unix::fs::symlink(own, &link);
            linked
                .map_err(|e| ReceiverError::Node(Box::new(walship_node::NodeError::io("link", &link, e))))?;
        }
        // two back is never needed again
        if let Some(older) = before.0.checked_sub(1).map(SegmentNo) {
            let _ = fs::remove_file(self.staged.file_path(older));
        }
        Ok(size.start_of(before))
    }
}
