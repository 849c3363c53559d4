use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use walship_protocol::wire::{
    ErrorFields, Frame, FrameError, MalformedMessage, TransactionStatus, decode_frame, put_error,
    put_ready_for_query,
};

/// Longest message of a replication client, in bytes: a piece of a copy stream of ours is
/// a quarter of it, a command far less.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Read ahead of what was understood, in bytes.
const READ_AHEAD_BYTES: usize = 16 * 1024;

/// Why a replication connection ended.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The client went without a word.
    #[error("unexpected end of the connection")]
    Closed,
    /// The network said no.
    #[error("could not talk to the client: {0}")]
    Io(#[from] io::Error),
    /// The client sent what is no message.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The message is not what its type says.
    #[error(transparent)]
    Malformed(#[from] MalformedMessage),
    /// It was told why, and the connection ends.
    #[error("{}", .0.message)]
    Told(Box<ErrorFields>),
    /// It broke the protocol inside a stream.
    #[error("{0}")]
    Violation(String),
    /// Nothing was heard of it, or it did not read, for `wal_sender_timeout`.
    #[error("terminating walsender process due to replication timeout: nothing heard for {} s", .0.as_secs())]
    TimedOut(std::time::Duration),
}

/// What the client sends, message by message.
pub(super) struct Inbound<S> {
    half: ReadHalf<S>,
    buffer: BytesMut,
}

/// What is sent to the client.
pub(super) struct Outbound<S> {
    half: WriteHalf<S>,
    pub(super) buffer: BytesMut,
}

impl<S: AsyncRead> Inbound<S> {
    pub(super) fn new(half: ReadHalf<S>, buffer: BytesMut) -> Inbound<S> {
        Inbound { half, buffer }
    }

    /// The next message. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Frame, ConnectionError> {
        loop {
            if let Some(frame) = decode_frame(&mut self.buffer, MESSAGE_BYTES_MAX)? {
                return Ok(frame);
            }
            self.buffer.reserve(READ_AHEAD_BYTES);
            if self.half.read_buf(&mut self.buffer).await? == 0 {
                return Err(ConnectionError::Closed);
            }
        }
    }
}

impl<S: AsyncWrite> Outbound<S> {
    pub(super) fn new(half: WriteHalf<S>) -> Outbound<S> {
        Outbound { half, buffer: BytesMut::new() }
    }

    /// Sends what is in the buffer.
    pub(super) async fn flush(&mut self) -> Result<(), ConnectionError> {
        while !self.buffer.is_empty() {
            if self.half.write_buf(&mut self.buffer).await? == 0 {
                return Err(ConnectionError::Closed);
            }
        }
        Ok(self.half.flush().await?)
    }

    /// Sends what is in the buffer, and `body` after it without a copy.
    pub(super) async fn flush_with(&mut self, body: Bytes) -> Result<(), ConnectionError> {
        self.half.write_all_buf(&mut (&mut self.buffer).chain(body)).await?;
        Ok(self.half.flush().await?)
    }

    /// Tells an error; unless it is fatal the connection takes commands again.
    pub(super) fn refuse(&mut self, error: &ErrorFields) {
        put_error(&mut self.buffer, error);
        self.ready();
    }

    /// Ready for the next command.
    pub(super) fn ready(&mut self) {
        put_ready_for_query(&mut self.buffer, TransactionStatus::Idle);
    }

    /// Closes our direction.
    pub(super) async fn close(&mut self) {
        // the client may be gone already
        let _ = self.half.shutdown().await;
    }
}
