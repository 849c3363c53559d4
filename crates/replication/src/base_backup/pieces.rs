use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use walship_basebackup::BackupSink;
use walship_node::BackupProgress;
use walship_protocol::wire::{put_copy_data, put_copy_data_head};

use super::pace::Pace;

/// Pieces (of up to 256 KiB) between the thread that reads files and the task that
/// sends: enough that neither waits for the other's every step.
pub(super) const PIECES_AHEAD: usize = 4;

/// Bytes up to which a part of the archive is copied behind the messages before it,
/// rather than sent by itself: headers of members, the padding behind them.
const COPIED_BYTES_MAX: usize = 8 * 1024;

/// Time between two progress messages.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Messages, and the rest of the last of them.
pub(super) struct Piece {
    pub(super) head: Bytes,
    pub(super) body: Bytes,
}

/// Encoded messages on their way to the client.
pub(super) struct Pieces {
    pieces: mpsc::Sender<Piece>,
    pub(super) buffer: BytesMut,
}

impl Pieces {
    pub(super) fn new(pieces: mpsc::Sender<Piece>) -> Pieces {
        Pieces { pieces, buffer: BytesMut::new() }
    }

    /// Hands over what was encoded.
    pub(super) fn send(&mut self) -> io::Result<()> {
        self.send_with(Bytes::new())
    }

    fn send_with(&mut self, body: Bytes) -> io::Result<()> {
        let piece = Piece { head: self.buffer.split().freeze(), body };
        self.pieces.blocking_send(piece).map_err(|_| io::Error::other("the client is gone"))
    }

    /// Whether the client is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.pieces.is_closed()
    }

    /// A message of the copy stream with its kind in front.
    pub(super) fn put(&mut self, kind: u8, bytes: &[u8]) {
        put_copy_data_head(&mut self.buffer, &[kind], bytes.len());
        self.buffer.extend_from_slice(bytes);
    }
}

/// The archive inside the copy stream.
pub(super) struct Archive<'a> {
    out: &'a mut Pieces,
    done: u64,
    /// When progress was told last; `None` if it is not wanted.
    told: Option<Instant>,
    progress: &'a Arc<BackupProgress>,
    pace: Pace,
}

impl<'a> Archive<'a> {
    pub(super) fn new(
        out: &'a mut Pieces,
        tell: bool,
        progress: &'a Arc<BackupProgress>,
        pace: Pace,
    ) -> Archive<'a> {
        Archive { out, done: 0, told: tell.then(Instant::now), progress, pace }
    }

    /// Tells how many bytes there were in all.
    pub(super) fn finish(self) {
        if self.told.is_some() {
            put_progress(&mut self.out.buffer, self.done);
        }
    }
}

impl BackupSink for Archive<'_> {
    fn archive(&mut self, bytes: Bytes) -> io::Result<()> {
        self.done += bytes.len() as u64;
        if self.told.is_some_and(|last| last.elapsed() >= PROGRESS_INTERVAL) {
            self.told = Some(Instant::now());
            put_progress(&mut self.out.buffer, self.done - bytes.len() as u64);
        }
        if bytes.len() <= COPIED_BYTES_MAX {
            self.out.put(b'd', &bytes);
            self.progress.add(bytes.len() as u64);
            return if self.out.buffer.len() > COPIED_BYTES_MAX { self.out.send() } else { Ok(()) };
        }
        put_copy_data_head(&mut self.out.buffer, b"d", bytes.len());
        self.out.send_with(bytes)?;
        self.pace.after_piece();
        Ok(())
    }
}

fn put_progress(out: &mut BytesMut, done: u64) {
    let mut message = [0; 9];
    message[0] = b'p';
    message[1..].copy_from_slice(&done.to_be_bytes());
    put_copy_data(out, &message);
}
