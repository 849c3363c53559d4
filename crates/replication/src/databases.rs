use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use walship_protocol::wire::{
    CopyDirection, ErrorFields, FrontendMessage, put_command_complete, put_copy_data, put_copy_done,
    put_copy_response,
};
use walship_types::DatabaseName;

use super::channel::ConnectionError;
use super::serve::{Serving, blocking};

/// Bytes of a database file in one message.
const PIECE_BYTES: usize = 256 * 1024;

/// Pieces between the disk and the network.
const PIECES_AHEAD: usize = 4;

/// A file in transit; it goes when this is dropped.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new(directory: &Path) -> Scratch {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Scratch { path: directory.join(format!("transit.{}.{number}.tmp", std::process::id())) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // the node may have moved it to where it belongs
        let _ = std::fs::remove_file(&self.path);
    }
}

fn io_error(operation: &str, path: &Path, error: &io::Error) -> ErrorFields {
    let sqlstate = if error.kind() == io::ErrorKind::StorageFull { "53100" } else { "58030" };
    ErrorFields::error(sqlstate, format!("could not {operation} \"{}\": {error}", path.display()))
}

/// `WALSHIP_EXPORT_DATABASE`: a plain SQLite file as a copy stream.
pub(super) async fn export<S: AsyncRead + AsyncWrite + Send>(
    serving: &mut Serving<S>,
    name: DatabaseName,
) -> Result<(), ConnectionError> {
    let scratch = Arc::new(Scratch::new(&serving.host.scratch_directory()));
    let (host, file) = (Arc::clone(&serving.host), Arc::clone(&scratch));
    let made = blocking(move || host.export_database(name.as_str(), &file.path)).await.and_then(|made| made);
    if let Err(error) = made {
        serving.outbound.refuse(&error);
        return Ok(());
    }
    put_copy_response(&mut serving.outbound.buffer, CopyDirection::Out, 0);
    let (pieces, mut received) = mpsc::channel::<Bytes>(PIECES_AHEAD);
    let reader = tokio::task::spawn_blocking(move || read_pieces(&scratch.path, &pieces));
    while let Some(piece) = received.recv().await {
        put_copy_data(&mut serving.outbound.buffer, &piece);
        serving.outbound.flush().await?;
    }
    match reader.await.map_err(|error| ErrorFields::error("XX000", error.to_string())).and_then(|read| read) {
        Ok(()) => {
            put_copy_done(&mut serving.outbound.buffer);
            put_command_complete(&mut serving.outbound.buffer, "WALSHIP_EXPORT_DATABASE");
            serving.outbound.ready();
        }
        Err(error) => serving.outbound.refuse(&error),
    }
    Ok(())
}

fn read_pieces(path: &Path, pieces: &mpsc::Sender<Bytes>) -> Result<(), ErrorFields> {
    let failed = |error: io::Error| io_error("read", path, &error);
    let mut file = File::open(path).map_err(failed)?;
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let read = (&mut file).take(PIECE_BYTES as u64).read_to_end(&mut piece).map_err(failed)?;
        if read == 0 || pieces.blocking_send(piece.into()).is_err() {
            return Ok(());
        }
    }
}

/// `WALSHIP_IMPORT_DATABASE`: a database of the plain SQLite file that the client sends.
pub(super) async fn import<S: AsyncRead + AsyncWrite + Send>(
    serving: &mut Serving<S>,
    name: DatabaseName,
) -> Result<(), ConnectionError> {
    let scratch = Arc::new(Scratch::new(&serving.host.scratch_directory()));
    put_copy_response(&mut serving.outbound.buffer, CopyDirection::In, 0);
    serving.outbound.flush().await?;
    let (pieces, received) = mpsc::channel::<Bytes>(PIECES_AHEAD);
    let file = Arc::clone(&scratch);
    let writer = tokio::task::spawn_blocking(move || write_pieces(&file.path, received));
    let mut given_up = None;
    loop {
        let frame = serving.inbound.next().await?;
        match FrontendMessage::of(&frame)? {
            // a writer that failed is asked why once the client is done
            FrontendMessage::CopyData(_) => drop(pieces.send(frame.body).await),
            FrontendMessage::CopyDone => break,
            FrontendMessage::CopyFail(reason) => {
                given_up = Some(ErrorFields::error("57014", format!("COPY from stdin failed: {reason}")));
                break;
            }
            FrontendMessage::Flush | FrontendMessage::Sync => {}
            _ => {
                let text =
                    format!("unexpected message \"{}\" during COPY from stdin", frame.tag.escape_ascii());
                given_up = Some(ErrorFields::error("08P01", text));
                break;
            }
        }
    }
    drop(pieces);
    let written = writer.await.map_err(|error| ErrorFields::error("XX000", error.to_string()));
    let result = match (given_up, written.and_then(|written| written)) {
        (Some(error), _) | (None, Err(error)) => Err(error),
        (None, Ok(())) => {
            let host = Arc::clone(&serving.host);
            blocking(move || host.import_database(name.as_str(), &scratch.path)).await.and_then(|made| made)
        }
    };
    match result {
        Ok(()) => {
            put_command_complete(&mut serving.outbound.buffer, "WALSHIP_IMPORT_DATABASE");
            serving.outbound.ready();
        }
        Err(error) => serving.outbound.refuse(&error),
    }
    Ok(())
}

fn write_pieces(path: &Path, mut pieces: mpsc::Receiver<Bytes>) -> Result<(), ErrorFields> {
    let failed = |error: io::Error| io_error("write", path, &error);
    let mut file = File::create_new(path).map_err(failed)?;
    while let Some(piece) = pieces.blocking_recv() {
        file.write_all(&piece).map_err(failed)?;
    }
    Ok(())
}
