use std::sync::Arc;

use walship_basebackup::tar::{END_OF_ARCHIVE, member_bytes};
use walship_basebackup::{
    BACKUP_LABEL_FILE, BackupFile, BackupLabel, ManifestWriter, Modes, TakeError, Taker,
};
use walship_node::{BackupPhase, BackupProgress};
use walship_protocol::wire::{
    CopyDirection, ErrorFields, put_copy_data, put_copy_done, put_copy_response, put_result_set,
};
use walship_protocol::{BaseBackupOptions, CheckpointMode, ManifestMode, ResultSet};
use walship_types::{Lsn, Timestamp, history_file_name};

use super::archiving::wait_for_archive;
use super::log_files::{log_file_sizes, log_files};
use super::pace::Pace;
use super::pieces::{Archive, Pieces};
use crate::host::{BackupStart, ReplicationHost, RunningBackup};

/// Bytes of the manifest in one message.
const MANIFEST_PIECE_BYTES: usize = 32 * 1024;

/// How many times as long as it works a backup pauses while transactions commit.
const YIELD_SETTING: &str = "base_backup_yield";

/// Directories that a data directory has to have, parents first.
const DIRECTORIES: [&str; 5] = ["base", "pg_wal", "pg_wal/archive_status", "pg_tblspc", "pg_replslot"];

/// Takes the backup and encodes the whole answer but its last tag; blocks.
pub(super) fn back_up(
    host: &dyn ReplicationHost,
    options: &BaseBackupOptions,
    out: &mut Pieces,
    progress: &Arc<BackupProgress>,
) -> Result<(), ErrorFields> {
    progress.enter(BackupPhase::WaitingForCheckpoint);
    let mut backup = host.start_backup(options.checkpoint == CheckpointMode::Fast)?;
    progress.enter(BackupPhase::EstimatingSize);
    let start = backup.start();
    let files = backup.files();
    let label = label(host, options, start);
    let total = options.progress.then(|| archive_bytes(host, options, start, &label, &files));
    if let Some(total) = total {
        progress.expect(total);
    }
    progress.enter(BackupPhase::StreamingFiles);
    put_result_set(&mut out.buffer, &ResultSet::backup_position(start.redo, start.timeline));
    let total_kib = total.map(|total| total.div_ceil(1024));
    put_result_set(&mut out.buffer, &ResultSet::backup_tablespaces(total_kib));
    put_copy_response(&mut out.buffer, CopyDirection::Out, 0);
    out.put(b'n', b"base.tar\0\0");
    out.send().map_err(gone)?;

    let (manifest, end) = archive(host, options, backup.as_mut(), (&label, &files), out, progress)?;
    if options.wait {
        wait_for_archive(backup.as_mut(), out, progress)?;
    }
    if let Some(manifest) = manifest {
        put_copy_data(&mut out.buffer, b"m");
        for piece in manifest.finish().as_bytes().chunks(MANIFEST_PIECE_BYTES) {
            out.put(b'd', piece);
        }
    }
    put_copy_done(&mut out.buffer);
    put_result_set(&mut out.buffer, &ResultSet::backup_position(end, start.timeline));
    out.send().map_err(gone)
}

pub(super) fn gone(error: std::io::Error) -> ErrorFields {
    ErrorFields::error("08006", error.to_string())
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

/// Bytes of the whole archive. Only the log of the time that the backup takes can still
/// come on top, if the log is part of it.
fn archive_bytes(
    host: &dyn ReplicationHost,
    options: &BaseBackupOptions,
    start: BackupStart,
    label: &BackupFile,
    files: &[BackupFile],
) -> u64 {
    let directories = DIRECTORIES.iter().map(|_| 0);
    let files = files.iter().chain([label]).map(|file| file.size);
    let log = options.wal.then(|| log_file_sizes(host.segment_size(), start, host.log().flushed()));
    let members = directories.chain(files).chain(log.into_iter().flatten()).map(member_bytes);
    members.sum::<u64>() + END_OF_ARCHIVE.len() as u64
}

/// Writes the archive; gives the manifest and the position that makes the copy consistent.
fn archive(
    host: &dyn ReplicationHost,
    options: &BaseBackupOptions,
    backup: &mut dyn RunningBackup,
    (label, files): (&BackupFile, &[BackupFile]),
    out: &mut Pieces,
    progress: &Arc<BackupProgress>,
) -> Result<(Option<ManifestWriter>, Lsn), ErrorFields> {
    let failed = |error: TakeError| match error {
        TakeError::Sink(error) => gone(error),
        error => ErrorFields::error("58030", error.to_string()),
    };
    let manifest = match options.manifest {
        ManifestMode::No => None,
        ManifestMode::Yes => Some(ManifestWriter::new(options.manifest_checksums, false)),
        ManifestMode::ForceEncode => Some(ManifestWriter::new(options.manifest_checksums, true)),
    };
    let group_access = host.show("data_directory_mode").is_some_and(|mode| mode.ends_with("50"));
    let rate = options.max_rate_kib.map(|kib| u64::from(kib) * 1024);
    let pauses = host.show(YIELD_SETTING).and_then(|pauses| pauses.parse().ok()).unwrap_or_default();
    let mut sink = Archive::new(out, options.progress, progress, Pace::new(host.log(), pauses));
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
        progress.enter(BackupPhase::TransferringLog);
        for file in log_files(host, start, end) {
            taker.unlisted_file(&file).map_err(failed)?;
        }
    }
    let manifest = taker.finish().map_err(failed)?;
    sink.finish();
    Ok((manifest, end))
}
