use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use walship_basebackup::{
    BACKUP_LABEL_FILE, BackupFile, BackupLabel, BackupSink, FileContent, ManifestWriter, Modes, Taker,
};
use walship_node::SenderState;
use walship_protocol::wire::{
    CopyDirection, ErrorFields, put_command_complete, put_copy_data, put_copy_done, put_copy_response,
    put_result_set,
};
use walship_protocol::{BaseBackupOptions, CheckpointMode, CompressionChoice, ManifestMode, ResultSet};
use walship_types::{Lsn, SegmentNo, Timestamp, history_file_name, segment_file_name};

use super::channel::ConnectionError;
use super::host::{BackupStart, LogSource, ReplicationHost, RunningBackup, SenderReport, ServerPhase};
use super::serve::{Serving, phase_reached, tell_and_close};

/// Pieces (of up to 256 KiB) between the thread that reads files and the task that
/// sends: enough that neither waits for the other's every step.
const PIECES_AHEAD: usize = 4;

/// Time between two progress messages.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of the manifest in one message.
const MANIFEST_PIECE_BYTES: usize = 32 * 1024;

/// Directories that a data directory has to have, parents first.
const DIRECTORIES: [&str; 5] = ["base", "pg_wal", "pg_wal/archive_status", "pg_tblspc", "pg_replslot"];

/// `BASE_BACKUP`: a thread reads the files and encodes what is sent; this task sends it.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Send>(
    serving: &mut Serving<S>,
    options: BaseBackupOptions,
) -> Result<(), ConnectionError> {
    if let CompressionChoice::Server { method, .. } = &options.compression {
        let text = format!("compression of a base backup by the server is not supported: {method}");
        let hint = "Let the client compress: pg_basebackup --compress=client-gzip.";
        serving.outbound.refuse(&ErrorFields::error("0A000", text).with_hint(hint));
        return Ok(());
    }
    serving.row.update(SenderReport { state: SenderState::Backup, ..SenderReport::default() });
    let (pieces, mut received) = mpsc::channel(PIECES_AHEAD);
    let host = Arc::clone(&serving.host);
    let thread = tokio::task::spawn_blocking(move || {
        let mut out = Pieces { pieces, buffer: BytesMut::new() };
        back_up(host.as_ref(), &options, &mut out)
    });
    let mut phase = serving.host.phase();
    loop {
        // dropping `received` on the way out makes the thread stop
        let piece = tokio::select! {
            piece = received.recv() => piece,
            () = phase_reached(&mut phase, ServerPhase::Draining) => {
                let text = "terminating connection due to administrator command";
                return tell_and_close(&mut serving.outbound, ErrorFields::error("57P01", text).fatal()).await;
            }
        };
        let Some(piece) = piece else { break };
        serving.outbound.buffer.extend_from_slice(&piece);
        serving.outbound.flush().await?;
    }
    serving.row.update(SenderReport::default());
    match thread.await {
        Ok(Ok(())) => {
            put_command_complete(&mut serving.outbound.buffer, "BASE_BACKUP");
            serving.outbound.ready();
        }
        Ok(Err(error)) => {
            tracing::warn!(client = %serving.session.application_name, "base backup failed: {}", error.message);
            serving.outbound.refuse(&error);
        }
        Err(panic) => serving.outbound.refuse(&ErrorFields::error("XX000", panic.to_string())),
    }
    Ok(())
}

/// Encoded messages on their way to the client.
struct Pieces {
    pieces: mpsc::Sender<Bytes>,
    buffer: BytesMut,
}

impl Pieces {
    fn send(&mut self) -> io::Result<()> {
        let piece = self.buffer.split().freeze();
        self.pieces.blocking_send(piece).map_err(|_| io::Error::other("the client is gone"))
    }
}

/// The archive inside the copy stream.
struct Archive<'a> {
    out: &'a mut Pieces,
    done: u64,
    progress: Option<Instant>,
}

impl BackupSink for Archive<'_> {
    fn archive(&mut self, bytes: Bytes) -> io::Result<()> {
        self.done += bytes.len() as u64;
        put_tagged(&mut self.out.buffer, b'd', &bytes);
        if self.progress.is_some_and(|last| last.elapsed() >= PROGRESS_INTERVAL) {
            self.progress = Some(Instant::now());
            put_tagged(&mut self.out.buffer, b'p', &self.done.to_be_bytes());
        }
        self.out.send()
    }
}

fn put_tagged(out: &mut BytesMut, tag: u8, bytes: &[u8]) {
    put_copy_data(out, &[&[tag], bytes].concat());
}

fn gone(error: io::Error) -> ErrorFields {
    ErrorFields::error("08006", error.to_string())
}

fn back_up(
    host: &dyn ReplicationHost,
    options: &BaseBackupOptions,
    out: &mut Pieces,
) -> Result<(), ErrorFields> {
    let mut backup = host.start_backup(options.checkpoint == CheckpointMode::Fast)?;
    let start = backup.start();
    let files = backup.files();
    let size_kib = files.iter().map(|file| file.size).sum::<u64>().div_ceil(1024);
    put_result_set(&mut out.buffer, &ResultSet::backup_position(start.redo, start.timeline));
    put_result_set(&mut out.buffer, &ResultSet::backup_tablespaces(options.progress.then_some(size_kib)));
    put_copy_response(&mut out.buffer, CopyDirection::Out, 0);
    put_tagged(&mut out.buffer, b'n', b"base.tar\0\0");
    out.send().map_err(gone)?;

    let label = label(host, options, start);
    let (manifest, end) = archive(host, options, backup.as_mut(), &label, &files, out)?;
    if let Some(manifest) = manifest {
        put_copy_data(&mut out.buffer, b"m");
        for piece in manifest.finish().as_bytes().chunks(MANIFEST_PIECE_BYTES) {
            put_tagged(&mut out.buffer, b'd', piece);
        }
    }
    put_copy_done(&mut out.buffer);
    put_result_set(&mut out.buffer, &ResultSet::backup_position(end, start.timeline));
    out.send().map_err(gone)
}

fn label(host: &dyn ReplicationHost, options: &BaseBackupOptions, start: BackupStart) -> BackupFile {
    let label = BackupLabel {
        start: start.redo,
        checkpoint: start.checkpoint,
        timeline: start.timeline,
        from_follower: host.is_follower(),
        time: BackupLabel::time_text(start.time),
        label: options.label.clone(),
        system_id: host.system_id(),
        segment_size: host.segment_size(),
    };
    BackupFile::in_memory(BACKUP_LABEL_FILE, label.to_text(), start.time)
}

/// Writes the archive; gives the manifest and the position that makes the copy consistent.
fn archive(
    host: &dyn ReplicationHost,
    options: &BaseBackupOptions,
    backup: &mut dyn RunningBackup,
    label: &BackupFile,
    files: &[BackupFile],
    out: &mut Pieces,
) -> Result<(Option<ManifestWriter>, Lsn), ErrorFields> {
    let failed = |error: walship_basebackup::TakeError| ErrorFields::error("58030", error.to_string());
    let manifest = match options.manifest {
        ManifestMode::No => None,
        ManifestMode::Yes => Some(ManifestWriter::new(options.manifest_checksums, false)),
        ManifestMode::ForceEncode => Some(ManifestWriter::new(options.manifest_checksums, true)),
    };
    let group_access = host.show("data_directory_mode").is_some_and(|mode| mode.ends_with("50"));
    let rate = options.max_rate_kib.map(|kib| u64::from(kib) * 1024);
    let mut sink = Archive { out, done: 0, progress: options.progress.then(Instant::now) };
    let mut taker = Taker::new(&mut sink, manifest, Modes::new(group_access), rate, Timestamp::now());
    taker.file(label).map_err(failed)?;
    for directory in DIRECTORIES {
        taker.directory(directory).map_err(failed)?;
    }
    for file in files {
        taker.file(file).map_err(failed)?;
    }
    let start = backup.start();
    let end = backup.stop()?;
    // without it nobody could say which segments come next, wherever they come from
    if let Some(history) = host.read_history(start.timeline)? {
        let path = format!("pg_wal/{}", history_file_name(start.timeline));
        let file = BackupFile::in_memory(path, history.to_text(), Timestamp::now());
        taker.unlisted_file(&file).map_err(failed)?;
    }
    if options.wal {
        for file in log_files(host, start, end)? {
            taker.unlisted_file(&file).map_err(failed)?;
        }
    }
    let manifest = taker.finish().map_err(failed)?;
    let done = sink.done;
    if options.progress {
        put_tagged(&mut out.buffer, b'p', &done.to_be_bytes());
    }
    Ok((manifest, end))
}

/// The segments from `start` to `end`, each with the mark that PostgreSQL gives to what
/// need not be archived again.
fn log_files(
    host: &dyn ReplicationHost,
    start: BackupStart,
    end: Lsn,
) -> Result<Vec<BackupFile>, ErrorFields> {
    let (size, now) = (host.segment_size(), Timestamp::now());
    let log = host.log();
    let mut files = Vec::new();
    let last = size.segment_of(Lsn(end.0.saturating_sub(1)));
    let mut segment = size.segment_of(start.redo);
    while segment <= last {
        let name = segment_file_name(start.timeline, segment, size);
        let content = Arc::new(Segment { log: Arc::clone(&log), start: size.start_of(segment), end });
        files.push(BackupFile { path: format!("pg_wal/{name}"), size: size.bytes(), modified: now, content });
        files.push(BackupFile::in_memory(format!("pg_wal/archive_status/{name}.done"), "", now));
        segment = SegmentNo(segment.0 + 1);
    }
    Ok(files)
}

/// A segment of the log as a file; zeroes behind the end of the backup.
struct Segment {
    log: Arc<dyn LogSource>,
    start: Lsn,
    end: Lsn,
}

impl FileContent for Segment {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let from = Lsn(self.start.0.saturating_add(offset));
        let to = Lsn(from.0.saturating_add(buffer.len() as u64)).min(self.end);
        if from >= to {
            return Ok(0);
        }
        let bytes = self.log.read(from, to).map_err(|error| io::Error::other(error.message))?;
        let length = bytes.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), bytes.get(..length)) {
            to.copy_from_slice(from);
        }
        Ok(length)
    }
}
