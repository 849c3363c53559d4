use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;
use walship_protocol::{Host, HostAddress};
use walship_tls::end_point_hash;

/// A connected socket of either family, encrypted if so agreed.
#[derive(Debug)]
pub(crate) enum Transport {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

impl Transport {
    pub(crate) async fn connect(host: &Host) -> io::Result<Transport> {
        match &host.address {
            HostAddress::Tcp(name) => {
                let stream = TcpStream::connect((name.as_str(), host.port)).await?;
                // reports and commands are small and somebody waits for each
                stream.set_nodelay(true)?;
                Ok(Transport::Tcp(stream))
            }
            HostAddress::Unix(directory) => {
                let path = directory.join(format!(".s.PGSQL.{}", host.port));
                Ok(Transport::Unix(UnixStream::connect(path).await?))
            }
        }
    }
}

impl Transport {
    /// Our end's address; `None` for a Unix socket.
    pub(crate) fn local_address(&self) -> Option<std::net::SocketAddr> {
        match self {
            Transport::Tcp(stream) => stream.local_addr().ok(),
            Transport::Tls(stream) => stream.get_ref().0.local_addr().ok(),
            Transport::Unix(_) => None,
        }
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Transport::Tls(_))
    }

    /// What a login can be tied to: the hash of the server's certificate.
    pub(crate) fn end_point(&self) -> Option<Vec<u8>> {
        let Transport::Tls(stream) = self else { return None };
        let (_, connection) = stream.get_ref();
        end_point_hash(connection.peer_certificates()?.first()?)
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Transport::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Transport::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
