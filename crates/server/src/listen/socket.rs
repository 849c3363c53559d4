use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use walship_sql::roles::TlsSession;

use crate::access::tls_session;

/// A connection as it was accepted, and encrypted if its client asked for that.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over TCP, inside TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// Over a Unix socket.
    Unix(UnixStream),
}

/// The same for a thread that blocks on it. The TLS state moves with it: a session reads
/// and writes on one thread, so that nothing is shared.
#[derive(Debug)]
pub(super) enum BlockingSocket {
    Tcp(std::net::TcpStream),
    Tls(Box<StreamOwned<ServerConnection, std::net::TcpStream>>),
    Unix(std::os::unix::net::UnixStream),
}

/// Ends a read that blocks, from any thread.
#[derive(Debug)]
pub(super) enum ReadStopper {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

fn blocking(stream: TcpStream) -> io::Result<std::net::TcpStream> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

impl Socket {
    /// The TCP stream below, if it is one.
    pub(crate) fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Socket::Tcp(stream) => Some(stream),
            Socket::Tls(stream) => Some(stream.get_ref().0),
            Socket::Unix(_) => None,
        }
    }

    /// Whether it is encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Socket::Tls(_))
    }

    /// What its handshake came to, if there was one.
    pub(crate) fn tls_session(&self) -> Option<TlsSession> {
        match self {
            Socket::Tls(stream) => Some(tls_session(stream)),
            _ => None,
        }
    }

    /// Makes the handshake of a client that was told to begin it.
    pub(crate) async fn into_tls(self, config: Arc<ServerConfig>) -> io::Result<Socket> {
        match self {
            Socket::Tcp(stream) => {
                let stream = TlsAcceptor::from(config).accept(stream).await?;
                Ok(Socket::Tls(Box::new(stream)))
            }
            other => Ok(other),
        }
    }

    /// How many bytes have come that nobody has read, at most one.
    pub(super) async fn has_unread(&self) -> bool {
        let Socket::Tcp(stream) = self else { return false };
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        std::future::poll_fn(|context| match stream.poll_peek(context, &mut buffer) {
            Poll::Ready(Ok(bytes)) => Poll::Ready(bytes > 0),
            _ => Poll::Ready(false),
        })
        .await
    }

    /// Goes over to the runtime that runs the caller, whose thread alone is woken for it from
    /// now on.
    pub(crate) fn change_runtime(&mut self) -> io::Result<()> {
        let moved = |stream: &TcpStream| {
            let same = std::net::TcpStream::from(stream.as_fd().try_clone_to_owned()?);
            TcpStream::from_std(same)
        };
        match self {
            Socket::Tcp(stream) => *stream = moved(stream)?,
            Socket::Tls(stream) => {
                let below = stream.get_mut().0;
                *below = moved(below)?;
            }
            Socket::Unix(stream) => {
                let same = std::os::unix::net::UnixStream::from(stream.as_fd().try_clone_to_owned()?);
                *stream = UnixStream::from_std(same)?;
            }
        }
        Ok(())
    }

    pub(super) fn into_blocking(self) -> io::Result<BlockingSocket> {
        match self {
            Socket::Tcp(stream) => Ok(BlockingSocket::Tcp(blocking(stream)?)),
            Socket::Tls(stream) => {
                let (stream, connection) = stream.into_inner();
                Ok(BlockingSocket::Tls(Box::new(StreamOwned::new(connection, blocking(stream)?))))
            }
            Socket::Unix(stream) => {
                let stream = stream.into_std()?;
                stream.set_nonblocking(false)?;
                Ok(BlockingSocket::Unix(stream))
            }
        }
    }
}

impl BlockingSocket {
    pub(super) fn read_stopper(&self) -> io::Result<ReadStopper> {
        match self {
            BlockingSocket::Tcp(stream) => stream.try_clone().map(ReadStopper::Tcp),
            BlockingSocket::Tls(stream) => stream.sock.try_clone().map(ReadStopper::Tcp),
            BlockingSocket::Unix(stream) => stream.try_clone().map(ReadStopper::Unix),
        }
    }
}

impl ReadStopper {
    /// Ends a read that blocks; writing goes on.
    pub(super) fn stop_reading(&self) {
        // a connection that is gone needs no end
        let _ = match self {
            ReadStopper::Tcp(stream) => stream.shutdown(Shutdown::Read),
            ReadStopper::Unix(stream) => stream.shutdown(Shutdown::Read),
        };
    }
}

impl io::Read for BlockingSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            BlockingSocket::Tcp(stream) => stream.read(buffer),
            // an end without TLS's own goodbye is one as well: messages carry their length,
            // so that a cut cannot be taken for a whole
            BlockingSocket::Tls(stream) => match stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                result => result,
            },
            BlockingSocket::Unix(stream) => stream.read(buffer),
        }
    }
}

impl io::Write for BlockingSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            BlockingSocket::Tcp(stream) => stream.write(bytes),
            BlockingSocket::Tls(stream) => stream.write(bytes),
            BlockingSocket::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            BlockingSocket::Tls(stream) => stream.flush(),
            BlockingSocket::Tcp(_) | BlockingSocket::Unix(_) => Ok(()),
        }
    }
}

impl Drop for BlockingSocket {
    fn drop(&mut self) {
        if let BlockingSocket::Tls(stream) = self {
            // TLS's goodbye, so that the client need not take the end for a cut
            stream.conn.send_close_notify();
            let _ = stream.conn.write_tls(&mut stream.sock);
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Socket::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Socket::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Socket::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Socket::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(context),
            Socket::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Socket::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
