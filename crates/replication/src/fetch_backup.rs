use std::path::PathBuf;

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;
use walship_basebackup::{Modes, Restore, RestoreError, Store};
use walship_client::{ClientError, Connection, Event, Purpose, QueryResult};
use walship_protocol::wire::CopyDirection;
use walship_protocol::{BaseBackupOptions, Command, Target};
use walship_types::{Lsn, TimelineId};

use super::OtherLogFormat;

/// Pieces between the network and the disk.
const PIECES_AHEAD: usize = 16;

/// Why a base backup could not be fetched. Nothing is left of it.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The connection or the server.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// To be followed, and its log has another format.
    #[error(transparent)]
    OtherLogFormat(#[from] OtherLogFormat),
    /// The archive, or the disk that it goes to.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// The server's answer has not what it must have.
    #[error("invalid response from server to BASE_BACKUP: {0}")]
    Response(&'static str),
    /// The thread that unpacks is gone.
    #[error("unpacking the backup was given up: {0}")]
    Thread(String),
}

/// A backup that was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchedBackup {
    /// Where replay starts.
    pub start: Lsn,
    /// What has to be replayed before it is consistent.
    pub end: Lsn,
    /// The timeline of both.
    pub timeline: TimelineId,
}

/// Bytes so far, and the server's estimate of all (0 if it made none).
pub type Progress<'a> = &'a mut (dyn FnMut(u64, u64) + Send);

/// Where a fetched backup goes.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Must be empty or not exist.
    pub directory: PathBuf,
    /// Unpacked, or as the archive that it comes as.
    pub format: BackupFormat,
    /// Files that are added to it (`standby.signal`).
    pub extra: Vec<(String, Vec<u8>)>,
}

/// How a backup is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupFormat {
    /// As a data directory.
    Plain,
    /// As a tar file, compressed with zstd at this level if there is one.
    Tar {
        /// 1 to 22.
        zstd_level: Option<i32>,
    },
}

/// The one or the other, while it is written.
enum Unpack {
    Plain(Restore),
    Tar(Store),
}

impl Unpack {
    fn begin(to: &Destination, modes: Modes, options: &BaseBackupOptions) -> Result<Unpack, RestoreError> {
        let sums = options.manifest_checksums;
        Ok(match to.format {
            BackupFormat::Plain => Unpack::Plain(Restore::begin(&to.directory, modes, sums)?),
            BackupFormat::Tar { zstd_level } => {
                Unpack::Tar(Store::begin(&to.directory, modes, sums, zstd_level)?)
            }
        })
    }

    fn piece(&mut self, piece: Piece) -> Result<(), RestoreError> {
        match (self, piece) {
            (Unpack::Plain(restore), Piece::Archive(bytes)) => restore.archive(bytes),
            (Unpack::Plain(restore), Piece::Manifest(bytes)) => restore.manifest(&bytes),
            (Unpack::Tar(store), Piece::Archive(bytes)) => store.archive(bytes),
            (Unpack::Tar(store), Piece::Manifest(bytes)) => store.manifest(&bytes),
        }
    }

    fn finish(mut self, extra: &[(String, Vec<u8>)]) -> Result<(), RestoreError> {
        for (name, content) in extra {
            match &mut self {
                Unpack::Plain(restore) => restore.add_file(name, content)?,
                Unpack::Tar(store) => store.add_file(name, content)?,
            }
        }
        match self {
            Unpack::Plain(restore) => restore.finish(),
            Unpack::Tar(store) => store.finish(),
        }
    }
}

enum Piece {
    Archive(Bytes),
    Manifest(Bytes),
}

/// Takes a base backup of the server. Everything is durable and held against the manifest
/// when this returns; a failure leaves nothing that looks like a backup.
pub async fn fetch_base_backup(
    target: &Target,
    options: &BaseBackupOptions,
    to: Destination,
    progress: Progress<'_>,
) -> Result<FetchedBackup, FetchError> {
    let mut connection = Connection::connect(target, Purpose::Replication, "walship").await?;
    let mode = connection.query("SHOW data_directory_mode").await?;
    let mode = mode.first().and_then(|result| result.text("data_directory_mode")).unwrap_or("0700");
    let modes = Modes::new(mode.ends_with("50"));
    let mut unpack = Unpack::begin(&to, modes, options)?;
    let (pieces, mut received) = mpsc::channel(PIECES_AHEAD);
    let unpacking = tokio::task::spawn_blocking(move || -> Result<(), RestoreError> {
        let mut complete = false;
        while let Some(piece) = received.blocking_recv() {
            match piece {
                Some(piece) => unpack.piece(piece)?,
                None => complete = true,
            }
        }
        // a stream that broke off leaves nothing: dropping removes what was unpacked
        if complete {
            unpack.finish(&to.extra)?;
        }
        Ok(())
    });
    let command = Command::BaseBackup(options.clone()).to_string();
    let received = receive(&mut connection, &command, &pieces, progress).await;
    drop(pieces);
    let unpacked = unpacking.await.map_err(|error| FetchError::Thread(error.to_string()))?;
    connection.close().await;
    // a full disk ends the stream too, and is the better reason
    unpacked?;
    received
}

async fn receive(
    connection: &mut Connection,
    command: &str,
    pieces: &mpsc::Sender<Option<Piece>>,
    progress: Progress<'_>,
) -> Result<FetchedBackup, FetchError> {
    connection.start(command).await?;
    let (mut positions, mut total, mut done, mut in_manifest) = (Vec::new(), 0, 0, false);
    loop {
        match connection.next().await? {
            Event::Complete(result) => {
                if let Some(kib) = result.text("size").and_then(|size| size.parse::<u64>().ok()) {
                    total = kib.saturating_mul(1024);
                }
                positions.extend(position(&result));
            }
            Event::Data(mut data) => {
                let tag = data.try_get_u8().map_err(|_| FetchError::Response("an empty message"))?;
                let piece = match tag {
                    b'd' if in_manifest => Piece::Manifest(data),
                    b'd' => {
                        done += data.len() as u64;
                        progress(done, total);
                        Piece::Archive(data)
                    }
                    b'm' => {
                        in_manifest = true;
                        continue;
                    }
                    b'n' | b'p' => continue,
                    _ => return Err(FetchError::Response("a message of unknown type")),
                };
                let gone = |_| FetchError::Thread("it has failed".to_owned());
                pieces.send(Some(piece)).await.map_err(gone)?;
            }
            Event::Copy(CopyDirection::Out) | Event::CopyDone | Event::Notice(_) => {}
            Event::Copy(_) => return Err(FetchError::Response("another kind of copy stream")),
            Event::Ready => break,
        }
    }
    let [(start, timeline), (end, _)] = positions[..] else {
        return Err(FetchError::Response("not a start and an end position"));
    };
    // only now is it known to be whole
    let gone = |_| FetchError::Thread("it has failed".to_owned());
    pieces.send(None).await.map_err(gone)?;
    Ok(FetchedBackup { start, end, timeline })
}

fn position(result: &QueryResult) -> Option<(Lsn, TimelineId)> {
    let lsn = result.text("recptr")?.parse().ok()?;
    Some((lsn, TimelineId(result.text("tli")?.parse().ok()?)))
}
